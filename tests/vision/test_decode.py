"""Images as they are decoded: sizes, channels, memory, and files that are broken."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.errors import BadInput
from limbeck.modalities.image.load import load
from limbeck.modalities.image.recipe import Data
from limbeck.vision import decode as images_module
from limbeck.vision.decode import allocate, gather
from tests.helpers.written_images import CORRUPT, many, png, refused, split, write, write_image_folder


@pytest.fixture(autouse=True)
def _no_mirrors(monkeypatch):
    monkeypatch.delenv("LIMBECK_DATA", raising=False)


def test_size_resizes_the_short_side_and_crops_the_middle(tmp_path):
    stripes = np.zeros((10, 30), dtype=np.uint8)
    stripes[:, 10:20] = 200
    wide = io.BytesIO()
    Image.fromarray(stripes).save(wide, format="png")
    cells = [{"bytes": wide.getvalue(), "path": None}] + [png(seed, (9, 12)) for seed in range(79)]
    name = write(tmp_path / "set", train=split(cells, [0, 1] * 40), validation=many(10, 500))
    splits = load(Data(name=name, size=10, validation="validation", test=None, validation_fraction=0.2))
    assert splits.train.images.shape[1:] == (1, 10, 10)
    whole = torch.cat([splits.train.images, splits.test.open("figures").images])
    assert (whole == 200).flatten(1).all(1).any()


def test_channels_convert_and_default_to_the_first_image(tmp_path):
    cells = [png(0)] + [png(seed, mode="RGB") for seed in range(1, 80)]
    name = write(tmp_path / "set", train=split(cells, [0, 1] * 40))
    grey = load(Data(name=name))
    assert grey.train.images.shape[1] == 1
    assert "79 of 80 images are colour" in grey.notes[1]
    colour = load(Data(name=name, channels=3))
    assert colour.train.images.shape[1] == 3
    assert len(colour.mean) == 3


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.full((6, 6), 0x8040, dtype=np.uint16)).save(file, format="png")
    cells = [{"bytes": file.getvalue(), "path": None}] * 10 + [png(seed) for seed in range(70)]
    splits = load(Data(name=write(tmp_path / "set", train=split(cells, [0, 1] * 40), test=many(4, 500))))
    whole = torch.cat([splits.train.images, splits.validation.images])
    assert int((whole == 0x80).flatten(1).all(1).sum()) == 10


def test_images_beyond_memory_go_to_a_file(tmp_path, monkeypatch):
    name = write(tmp_path / "set", train=many())
    in_memory = load(Data(name=name))
    monkeypatch.setattr(images_module, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    on_disk = load(Data(name=name))
    assert on_disk.fingerprint == in_memory.fingerprint
    assert torch.equal(on_disk.train.images, in_memory.train.images)
    assert not list(tmp_path.glob("limbeck-images-*"))
    kept = gather(torch.arange(400, dtype=torch.uint8).view(100, 1, 2, 2), torch.tensor([3, 1]))
    assert kept.flatten().tolist() == [12, 13, 14, 15, 4, 5, 6, 7]
    with pytest.raises(BadInput, match="TMPDIR"):
        allocate((1 << 50,))


def test_a_corrupt_image_is_named_or_skipped(tmp_path):
    rows = split([png(seed) for seed in range(79)] + [CORRUPT], [0, 1] * 40)
    name = write(tmp_path / "set", train=rows, test=many(4))
    refused(r"split 'train', row 79 \(broken.png\): the image cannot be read.*on_corrupt: skip", name=name)
    splits = load(Data(name=name, on_corrupt="skip"))
    assert len(splits.train) + len(splits.validation) == 79
    assert any("1 of 80 images cannot be read and are left out: row 79 (broken.png)" in note for note in splits.notes)
    clean = load(Data(name=write(tmp_path / "clean", train=rows.select(range(79)), test=many(4))))
    assert clean.fingerprint == splits.fingerprint


def test_a_truncated_file_in_a_folder_is_named_by_its_path(tmp_path):
    name = write_image_folder(tmp_path / "set")
    broken = tmp_path / "set" / "dog" / "007.png"
    broken.write_bytes(broken.read_bytes()[:50])
    refused(r"row 47 \(.*dog/007\.png\): the image cannot be read", name=name)


def test_corrupt_first_and_missing_cells(tmp_path):
    rows = split([CORRUPT, None] + [png(seed) for seed in range(78)], [0, 1] * 40)
    name = write(tmp_path / "set", train=rows)
    refused(r"row 0 \(broken.png\)", name=name)
    splits = load(Data(name=name, on_corrupt="skip"))
    assert any("2 of 80 images cannot be read" in note for note in splits.notes)
    nothing = split([CORRUPT] * 4, [0, 1, 0, 1])
    refused("no image that can be read", name=write(tmp_path / "none", train=nothing), on_corrupt="skip")


def test_images_of_several_sizes_are_refused_with_both(tmp_path):
    rows = split([png(seed) for seed in range(79)] + [png(79, (9, 7))], [0, 1] * 40)
    name = write(tmp_path / "set", train=rows)
    refused(r"row 79 is 9x7, while row 0 is 6x6: set data\.size \(such as 6\)", name=name)
    refused(r"row 79 is 9x7", name=name, on_corrupt="skip")
    other = write(tmp_path / "other", train=many(), validation=split([png(1, (8, 8))], [0]))
    pattern = "'validation', row 0 is 8x8, while the training images are 6x6"
    refused(pattern, name=other, validation="validation")
