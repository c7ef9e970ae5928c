"""Claims about ids, splits and loading, on the digits and on small data sets written as people write them."""

import io
import os
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from limbeck.data import images as images_module
from limbeck.data.examples import Examples, HeldOut
from limbeck.data.ids import carve, content_ids, example_ids
from limbeck.data.images import allocate, gather
from limbeck.data.load import load
from limbeck.errors import BadInput
from limbeck.recipe import Data, Transfer


@pytest.fixture(autouse=True)
def _no_mirrors(monkeypatch):
    monkeypatch.delenv("LIMBECK_DATA", raising=False)


def picture(seed: int, size=(6, 6), mode="L") -> Image.Image:
    depth = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, *depth), dtype=np.uint8))


def png(seed: int, size=(6, 6), mode="L") -> dict:
    file = io.BytesIO()
    picture(seed, size, mode).save(file, format="png")
    return {"bytes": file.getvalue(), "path": f"{seed}.png"}


CORRUPT = {"bytes": b"\x89PNG\r\n\x1a\n and nothing more", "path": "broken.png"}
CLASSES = datasets.ClassLabel(names=["cat", "dog"])


def split(cells: list, labels: list, kind=CLASSES, **more) -> datasets.Dataset:
    columns = {"image": cells, "label": labels, **{name: value for name, (value, _) in more.items()}}
    features = {
        "image": datasets.Image(),
        "label": kind,
        **{name: feature for name, (_, feature) in more.items()},
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def write(folder: Path, **splits: datasets.Dataset) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        rows.to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return str(folder)


def many(count=80, start=0) -> datasets.Dataset:
    return split([png(start + seed) for seed in range(count)], [seed % 2 for seed in range(count)])


def write_image_folder(root: Path, classes=("cat", "dog"), count=40, start=0) -> str:
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(start + 1000 * number + index).save(root / name / f"{index:03d}.png")
    return str(root)


# What is loaded


def test_digits_are_split_in_three_and_scaled_to_bytes():
    splits = load(Data(name="digits"))
    test = splits.test.open("figures")
    assert splits.train.images.shape[1:] == (1, 8, 8)
    assert splits.train.images.dtype == torch.uint8
    assert int(splits.train.images.max()) == 255
    assert splits.classes == tuple("0123456789")
    assert len(splits.train) + len(splits.validation) + len(test) == 1797
    ids = torch.cat([splits.train.ids, splits.validation.ids, test.ids])
    assert len(torch.unique(ids)) == 1797
    scaled = splits.train.images.double() / 255
    assert splits.mean[0] == pytest.approx(float(scaled.mean()), abs=1e-6)
    assert splits.std[0] == pytest.approx(float(scaled.std(correction=0)), abs=1e-6)


def test_pixels_labels_and_names_of_a_parquet_data_set(tmp_path):
    name = write(tmp_path / "set", train=many(), validation=many(20, 500), test=many(10, 900))
    splits = load(Data(name=name, validation="validation"))
    assert splits.classes == ("cat", "dog")
    assert (len(splits.train), len(splits.validation)) == (80, 20)
    for row in (0, 1, 79):
        assert np.array_equal(splits.train.images[row, 0].numpy(), np.asarray(picture(row)))
    assert splits.train.labels.tolist() == [row % 2 for row in range(80)]
    assert len(splits.notes) == 1  # where the splits come from
    test = splits.test.open("figures")
    assert np.array_equal(test.images[3, 0].numpy(), np.asarray(picture(903)))


def test_image_folder_with_and_without_split_folders(tmp_path):
    plain = load(Data(name=write_image_folder(tmp_path / "plain")))
    assert plain.classes == ("cat", "dog")
    assert len(plain.train) + len(plain.validation) + plain.test.count == 80
    write_image_folder(tmp_path / "both" / "train")
    write_image_folder(tmp_path / "both" / "val", count=5, start=300)
    write_image_folder(tmp_path / "both" / "test", classes=("dog",), count=3, start=600)
    both = load(Data(name=str(tmp_path / "both"), validation="validation"))
    assert (len(both.train), len(both.validation), both.test.count) == (80, 10, 3)
    assert both.test.open("figures").labels.tolist() == [1, 1, 1]


def test_a_class_named_train_is_a_class(tmp_path):
    splits = load(Data(name=write_image_folder(tmp_path / "vehicles", ("bus", "train"))))
    assert splits.classes == ("bus", "train")


def test_image_folder_and_parquet_of_the_same_pictures_are_the_same_data(tmp_path):
    folder = write_image_folder(tmp_path / "folder")
    seeds = list(range(40)) + [1000 + index for index in range(40)]
    parquet = write(tmp_path / "parquet", train=split([png(seed) for seed in seeds], [0] * 40 + [1] * 40))
    assert load(Data(name=folder)).fingerprint == load(Data(name=parquet)).fingerprint


def test_a_mirror_stands_for_a_hub_name(tmp_path, monkeypatch):
    write(tmp_path / "mirrors" / "pets", train=many())
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path / "mirrors"))
    assert load(Data(name="somebody/pets", config="plain")).classes == ("cat", "dog")


FASHION = Path(os.environ.get("LIMBECK_DATA") or Path(__file__).parents[3] / "shared/data") / "fashion_mnist"


@pytest.mark.skipif(not FASHION.is_dir(), reason="Fashion-MNIST is not here")
def test_real_fashion_mnist_reads_as_its_own_decoder_reads_it(tmp_path, monkeypatch):
    whole = datasets.Dataset.from_parquet(str(next(FASHION.glob("train-*"))))
    some = whole.select(range(300))
    splits = load(Data(name=write(tmp_path / "fashion", train=some)))
    assert len(splits.classes) == 10
    by_content = {tuple(np.asarray(row["image"]).ravel().tolist()): row["label"] for row in some}
    for image, label in zip(splits.train.images, splits.train.labels):
        assert by_content[tuple(image.flatten().tolist())] == int(label)


def test_texts_and_plain_integers_are_labels_too(tmp_path):
    labels = ["n02", "n01"] * 40
    texts = split([png(seed) for seed in range(80)], labels, datasets.Value("string"))
    splits = load(Data(name=write(tmp_path / "texts", train=texts, test=texts)))
    assert splits.classes == ("n01", "n02")
    assert splits.test.open("figures").labels.tolist() == [1, 0] * 40
    numbers = split([png(seed) for seed in range(80)], [2, 0, 1, 0] * 20, datasets.Value("int32"))
    assert load(Data(name=write(tmp_path / "numbers", train=numbers))).classes == ("0", "1", "2")


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


def test_limit_takes_the_smallest_ids_of_train_and_leaves_the_others_alone():
    whole, some = load(Data(name="digits")), load(Data(name="digits", limit=200))
    assert torch.equal(some.validation.ids, whole.validation.ids)
    assert sorted(some.train.ids.tolist()) == sorted(whole.train.ids.tolist())[:200]


# Ids and splits


def test_ids_and_fingerprint_do_not_depend_on_the_order_of_rows(tmp_path):
    rows = datasets.concatenate_datasets([many(), many(7)])
    turned = rows.select(np.random.default_rng(0).permutation(len(rows)))
    first = load(Data(name=write(tmp_path / "a", train=rows)))
    second = load(Data(name=write(tmp_path / "b", train=turned)))
    assert first.fingerprint == second.fingerprint
    assert (first.mean, first.std) == (second.mean, second.std)
    at = second.train.position_of(first.train.ids)
    assert torch.equal(second.train.images[at], first.train.images)
    assert torch.equal(second.train.labels[at], first.train.labels)


def test_the_fingerprint_sees_labels_pixels_and_class_names(tmp_path):
    cells, labels = [png(seed) for seed in range(80)], [0, 1] * 40
    relabelled = [1, 0] * 40
    other = [*cells[:-1], png(999)]
    renamed = datasets.ClassLabel(names=["cat", "fox"])
    sets = [
        split(cells, labels),
        split(cells, relabelled),
        split(other, labels),
        split(cells, labels, renamed),
    ]
    prints = {load(Data(name=write(tmp_path / str(n), train=rows))).fingerprint for n, rows in enumerate(sets)}
    assert len(prints) == 4


pixels_strategy = st.lists(st.integers(0, 3), min_size=1, max_size=40)


@given(pixels_strategy, st.randoms())
@settings(max_examples=50, deadline=None)
def test_ids_are_unique_and_stable_under_reordering(values, random):
    labels = torch.tensor([value % 2 for value in values])
    images = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1)
    ids = example_ids(content_ids(images), labels)
    order = torch.tensor(random.sample(range(len(values)), len(values)))
    turned = example_ids(content_ids(images[order]), labels[order])
    assert len(set(ids.tolist())) == len(values)
    assert sorted(zip(ids.tolist(), values)) == sorted(zip(turned.tolist(), [values[at] for at in order]))


@given(pixels_strategy, pixels_strategy)
@settings(max_examples=50, deadline=None)
def test_more_examples_move_no_example_and_no_id(values, added):
    old = content_ids(torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1))
    new = content_ids(torch.tensor(values + added, dtype=torch.uint8).view(-1, 1, 1, 1))
    assert torch.equal(example_ids(old, None), example_ids(new, None)[: len(values)])
    assert torch.equal(carve(old, 0.3, "validation"), carve(new, 0.3, "validation")[: len(values)])


def test_carving_takes_its_share_independently_of_other_carvings():
    content = content_ids(torch.arange(40_000, dtype=torch.float32).view(-1, 1, 1, 1))
    for fraction in (0.05, 0.1, 0.5):
        share = carve(content, fraction, "test").double().mean()
        assert abs(float(share) - fraction) < 4 * (fraction * (1 - fraction) / 40_000) ** 0.5
    test, validation = carve(content, 0.1, "test"), carve(content, 0.1, "validation")
    assert abs(float((test & validation).double().mean()) - 0.01) < 4 * (0.01 / 40_000) ** 0.5
    assert not (carve(content, 0.1, "test") & ~carve(content, 0.2, "test")).any()


def test_type_and_shape_are_part_of_the_content():
    bytes_N = torch.zeros(1, 1, 2, 8, dtype=torch.uint8)
    ids = {int(content_ids(bytes_N)), int(content_ids(bytes_N.view(1, 1, 4, 4)))}
    ids.add(int(content_ids(torch.zeros(1, 1, 2, 2))))
    assert len(ids) == 3


def test_copies_of_an_image_fall_on_the_same_side(tmp_path):
    rows = many(120)
    copies = datasets.concatenate_datasets([rows, rows, rows])
    splits = load(Data(name=write(tmp_path / "set", train=copies), validation_fraction=0.3))
    held = [content_ids(part.images) for part in (splits.train, splits.validation, splits.test.open("figures"))]
    assert sum(len(part) for part in held) == 360
    seen: set[int] = set()
    for part in held:
        assert not seen & set(part.tolist())
        seen |= set(part.tolist())


def test_a_given_validation_split_that_overlaps_train_is_noted(tmp_path):
    name = write(tmp_path / "set", train=many(), validation=many(20, 70), test=many(8, 900))
    splits = load(Data(name=name, validation="validation"))
    assert len(splits.train) == 80
    assert splits.notes[1:] == ("10 of 80 training images stand in the validation split too.",)


def test_a_validation_split_left_unused_is_noted(tmp_path):
    name = write(tmp_path / "set", train=many(), validation=many(20, 500))
    assert any("data.validation: validation would" in note for note in load(Data(name=name)).notes)


def test_transfer_examples_have_no_labels_and_stand_in_no_other_split(tmp_path):
    name = write(tmp_path / "set", train=many(100))
    pool = write(tmp_path / "pool", train=many(130))
    splits = load(Data(name=name, transfer=Transfer(name=pool)))
    assert splits.transfer.labels is None
    assert {tuple(image.flatten().tolist()) for image in splits.transfer.images} == {
        tuple(np.asarray(picture(seed)).ravel().tolist()) for seed in range(100, 130)
    }
    assert "100 of 130 transfer images" in splits.notes[-1]
    fewer = load(Data(name=name, transfer=Transfer(name=pool, limit=7)))
    assert sorted(fewer.transfer.ids.tolist()) == sorted(splits.transfer.ids.tolist())[:7]
    assert fewer.fingerprint != splits.fingerprint


def test_a_transfer_folder_needs_no_classes(tmp_path):
    (tmp_path / "loose").mkdir()
    for seed in range(9):
        picture(5000 + seed).save(tmp_path / "loose" / f"{seed}.png")
    splits = load(Data(name=write(tmp_path / "set", train=many()), transfer=Transfer(name=str(tmp_path / "loose"))))
    assert len(splits.transfer) == 9


# The test split is held out


def test_the_test_split_opens_once_and_tells_the_recorder(tmp_path):
    splits = load(Data(name=write(tmp_path / "set", train=many(), test=many(8, 76))))
    purposes: list[str] = []
    splits.test.record_with(purposes.append)
    assert not splits.test.opened
    assert len(splits.test.open("figures")) == 8
    assert splits.test.notes == ["4 of 8 test images stand in the training data too."]
    with pytest.raises(RuntimeError, match=r"already opened for 'figures'.*'more figures'"):
        splits.test.open("more figures")
    assert purposes == ["figures"]


def test_a_carved_test_split_opens_once_too():
    splits = load(Data(name="digits"))
    splits.test.open("figures")
    with pytest.raises(RuntimeError, match="already opened"):
        splits.test.open("figures")


def test_nothing_of_the_test_split_is_read_before_it_is_opened(tmp_path):
    wrong = split([png(500), CORRUPT, png(502)], [0, 1, -1])
    splits = load(Data(name=write(tmp_path / "labels", train=many(), test=wrong)))
    with pytest.raises(BadInput, match=r"'test', row 2 \(counted from 0\): label -1"):
        splits.test.open("figures")
    corrupt = split([png(500), CORRUPT, png(502)], [0, 1, 1])
    splits = load(Data(name=write(tmp_path / "image", train=many(), test=corrupt)))
    assert splits.test.count == 3
    with pytest.raises(BadInput, match=r"'test', row 1 \(broken.png\)"):
        splits.test.open("figures")


def test_a_failed_opening_counts_as_one():
    def read(notes):
        raise BadInput("no")

    held = HeldOut(read)
    with pytest.raises(BadInput):
        held.open("figures")
    with pytest.raises(RuntimeError):
        held.open("figures")


# Bad input


def refused(pattern: str, **data) -> None:
    with pytest.raises(BadInput, match=pattern) as caught:
        load(Data(**data))
    message = str(caught.value)
    assert message.endswith((".", "?"))
    assert "\n" not in message


def test_a_missing_folder_is_named(tmp_path):
    refused(r"data\.name: there is no folder \./nowhere", name="./nowhere")
    refused("there is no folder", name=str(tmp_path / "gone"))
    (tmp_path / "a.parquet").write_bytes(b"")
    refused("is a file: name the folder", name=str(tmp_path / "a.parquet"))


def test_an_unknown_hub_name_without_a_network_is_refused_at_once(monkeypatch):
    # The address of documentation (RFC 2606): it resolves nowhere, with or without a network.
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "https://hub.invalid")
    for proxy in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    refused(r"'no-one/no-data-set'.*hub cannot be reached.*LIMBECK_DATA", name="no-one/no-data-set")


def test_a_mirror_folder_that_is_none_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path / "gone"))
    refused("LIMBECK_DATA is .*gone", name="somebody/pets")


def test_folders_that_hold_no_data(tmp_path):
    (tmp_path / "empty").mkdir()
    refused("holds neither images nor data files", name=str(tmp_path / "empty"))
    (tmp_path / "flat").mkdir()
    picture(1).save(tmp_path / "flat" / "one.png")
    refused("one.png lies directly in", name=str(tmp_path / "flat"))
    (tmp_path / "garbage").mkdir()
    (tmp_path / "garbage" / "train.parquet").write_bytes(b"PAR1 not really")
    refused(r"data\.name: the data set '.*garbage/train.parquet' cannot be read", name=str(tmp_path / "garbage"))


def test_an_empty_split_is_named(tmp_path):
    write_image_folder(tmp_path / "folder" / "train")
    (tmp_path / "folder" / "test" / "cat").mkdir(parents=True)
    refused("data.test: split 'test' of .* is empty", name=str(tmp_path / "folder"))
    refused("data.name: split 'train' of .* is empty", name=write(tmp_path / "set", train=split([], [])))
    refused("data.name: split 'test' of .* is empty", name=write(tmp_path / "held", train=many(), test=split([], [])))


def test_a_missing_split_lists_those_there_are(tmp_path):
    name = write(tmp_path / "set", train=many(), validation=many(8))
    refused(
        r"data\.train: .* no split 'tain'; it has train, validation. Did you mean 'train'",
        name=name,
        train="tain",
    )
    refused(r"data\.validation: .* no split 'holdout'", name=name, validation="holdout")
    refused(r"data\.test: .* no split 'tests'", name=name, test="tests")
    refused(r"data\.transfer\.split: .* no split 'more'", name=name, transfer=Transfer(name=name, split="more"))


@pytest.mark.parametrize("test", ["test", None])
def test_the_test_split_cannot_select(tmp_path, test):
    name = write(tmp_path / "set", train=many(), test=many(8))
    refused("is the test split, which cannot be used for selection", name=name, validation="test", test=test)


def test_a_split_cannot_play_two_parts(tmp_path):
    name = write(tmp_path / "set", train=many(), holdout=many(8))
    refused("'train' is the training split, which cannot be used for sel", name=name, validation="train")
    refused("data.test: 'train' is the training split", name=name, test="train")
    refused("'holdout' is the test split", name=name, validation="holdout", test="holdout")


@pytest.mark.parametrize("value", [-1, 2, 7])
def test_labels_out_of_range_are_named(tmp_path, value):
    plain = datasets.Dataset.from_dict({"image": [png(seed) for seed in range(80)]}).cast_column(
        "image", datasets.Image()
    )
    labels = [0, 1] * 39 + [0, value]
    rows = plain.add_column("label", labels)
    if value == -1:
        refused(r"row 79 \(counted from 0\): label -1 is out of range", name=write(tmp_path / "set", train=rows))
    # A ClassLabel column that states fewer classes than its values, as a careless writer leaves it.
    table = rows.data.table
    schema = split([png(0)], [0]).data.table.schema
    careless = table.replace_schema_metadata(schema.metadata)
    (tmp_path / "careless").mkdir()
    parquet.write_table(careless, tmp_path / "careless" / "train.parquet")
    pattern = rf"split 'train', row 79 \(counted from 0\): label {value} is out of range.*with 2 classes labels must lie in 0 to 1"
    refused(pattern, name=str(tmp_path / "careless"))


def test_a_label_that_is_not_there_is_named(tmp_path):
    rows = split([png(seed) for seed in range(80)], [0, 1] * 39 + [0, None])
    refused(
        r"'train', row 79 \(counted from 0\): column 'label' holds no label", name=write(tmp_path / "set", train=rows)
    )


def test_a_class_missing_from_train_is_named(tmp_path):
    kind = datasets.ClassLabel(names=["cat", "dog", "emu"])
    rows = split([png(seed) for seed in range(80)], [0, 2] * 40, kind)
    refused(r"no example of 1 of 3 classes \('dog'\)", name=write(tmp_path / "set", train=rows))
    texts = split([png(seed) for seed in range(80)], ["a", "b"] * 40, datasets.Value("string"))
    other = split([png(seed) for seed in range(8)], ["a", "c"] * 4, datasets.Value("string"))
    name = write(tmp_path / "texts", train=texts, validation=other)
    refused(r"'validation', row 1 \(counted from 0\): class 'c' is missing", name=name, validation="validation")
    write_image_folder(tmp_path / "images" / "train")
    write_image_folder(tmp_path / "images" / "test", classes=("cat", "gnu"), count=2)
    refused("class 'gnu' of .*test is missing", name=str(tmp_path / "images"))


def test_a_limit_that_loses_a_class_says_so():
    refused("no example of .* left after data.limit: 3", name="digits", limit=3)


def test_a_split_too_small_to_carve(tmp_path):
    kind = datasets.ClassLabel(names=["cat", "dog", "emu"])
    rows, test = (split([png(start + seed) for seed in range(3)], [0, 1, 2], kind) for start in (0, 100))
    refused(
        "a validation split of 0.001 carved from 3 training examples leaves none in it",
        name=write(tmp_path / "set", train=rows, test=test),
        validation_fraction=0.001,
    )


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


def test_columns_that_cannot_be_told_are_listed(tmp_path):
    cells, labels = [png(seed) for seed in range(80)], [0, 1] * 40
    two = split(cells, labels, coarse=(labels, CLASSES))
    name = write(tmp_path / "labels", train=two)
    refused(r"label, coarse may all be labels: name one with data\.label", name=name)
    assert load(Data(name=name, label="coarse")).classes == ("cat", "dog")
    refused("data.label: there is no column 'coarser'. Did you mean 'coarse'", name=name, label="coarser")
    name = write(tmp_path / "images", train=split(cells, labels, mask=(cells, datasets.Image())))
    refused(r"2 columns hold images: name one with data\.image; the columns are image \(Image\)", name=name)
    assert len(load(Data(name=name, image="mask")).train)
    none = datasets.Dataset.from_dict({"text": ["a"] * 80, "label": labels})
    name = write(tmp_path / "none", train=none)
    refused(r"no column holds images: .* text \(string\), label \(int64\)", name=name)
    refused("data.image: column 'label' holds no images", name=name, image="label")


def test_splits_that_number_their_classes_differently(tmp_path):
    kind = datasets.ClassLabel(names=["dog", "cat"])
    other = split([png(seed) for seed in range(8)], [0, 1] * 4, kind)
    datasets.DatasetDict({"train": many(), "validation": other}).save_to_disk(tmp_path / "set")
    refused("split 'validation' numbers its classes", name=str(tmp_path / "set"), validation="validation")


def test_a_transfer_set_with_nothing_new(tmp_path):
    name = write(tmp_path / "set", train=many())
    refused("transfer set holds no image that the other", name=name, transfer=Transfer(name=name))


# Examples


def test_examples_find_their_ids():
    ids = torch.tensor([9, 2, 5])
    examples = Examples(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 2]), ids)
    assert examples.position_of(torch.tensor([5, 9])).tolist() == [2, 0]
    taken = examples.take(torch.tensor([2, 0]))
    assert (taken.ids.tolist(), taken.labels.tolist()) == ([5, 9], [2, 0])
    for absent in (1, 7, 100):
        with pytest.raises(KeyError, match=str(absent)):
            examples.position_of(torch.tensor([5, absent]))


def test_two_examples_of_one_id_are_refused():
    with pytest.raises(BadInput, match="rows 0 and 2 have the same example id 4"):
        Examples(torch.zeros(3, 1, 2, 2), None, torch.tensor([4, 1, 4]))
