"""Claims about what an image's pixels become: bits of grey, transparency, very unequal sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limbeck.errors import BadInput
from limbeck.modalities.image import picture as predict_picture
from limbeck.modalities.image import predict as predicting
from limbeck.modalities.image.load import load
from limbeck.modalities.image.recipe import Data
from limbeck.vision import pixels as training
from limbeck.vision.pixels import Preparation, bits_in_use, upright
from tests.helpers.pixels import grey, shape_in_alpha, write

# Grey of more than 8 bits


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_is_scaled_by_the_bits_that_training_images_use(bits, tmp_path):
    write(tmp_path, grey(bits))
    write(tmp_path, grey(16), "test", count=2)
    splits = load(Data(name=str(tmp_path), validation_fraction=0.3))
    both = torch.cat([splits.train.images, splits.validation.images])
    expected = {
        (grey(bits)(n, 1000 * n + i) // 2 ** (bits - 8)).astype(np.uint8).tobytes() for n in (0, 1) for i in range(20)
    }
    assert {image.numpy().tobytes() for image in both} == expected
    (note,) = [note for note in splits.notes if "more than 8 bits" in note]
    assert (
        f"40 of 40 images are grey of more than 8 bits and use {bits} bits (the largest value is {2**bits - 1})" in note
    )
    # The test split is read as the training images are, whatever it holds itself.
    first = np.minimum(grey(16)(0, 0).astype(int) // 2 ** (bits - 8), 255)
    test = splits.test.open("figures")
    assert np.array_equal(test.images[0, 0].numpy(), first)
    assert any(f"what is above {2**bits - 1} is cut" in note for note in splits.test.notes) == (bits < 16)


@pytest.mark.parametrize("kind", ["gif", "tiff"])
def test_of_several_frames_the_first_is_read_and_that_is_said(kind, tmp_path):
    random = np.random.default_rng(0)
    first = []
    for label in range(2):
        (tmp_path / str(label)).mkdir()
        for index in range(20):
            frames = [Image.fromarray(random.integers(0, 256, (6, 6), dtype=np.uint8)) for _ in range(3)]
            more = {"save_all": True, "append_images": frames[1:]} if index < 4 else {}
            frames[0].save(tmp_path / str(label) / f"{index:02d}.{kind}", **more)
            first.append(np.asarray(frames[0]).tobytes())
    splits = load(Data(name=str(tmp_path), test=None, channels=1))
    assert "split 'train': 8 of 40 images have several frames or pages, of which the first is read." in splits.notes
    read = [splits.train.images, splits.validation.images]
    assert {one.numpy().tobytes() for images in read for one in images} <= set(first)


def test_grey_that_loses_nearly_all_its_levels_is_said(tmp_path):
    levels = np.arange(30000, 30256, dtype=np.uint16).reshape(16, 16)
    random = np.random.default_rng(0)
    for label in range(2):
        (tmp_path / str(label)).mkdir()
        for index in range(20):
            pixels = random.permuted(levels.ravel()).reshape(16, 16)
            Image.fromarray(pixels).save(tmp_path / str(label) / f"{index:02d}.png")
    # Of 15 bits in use, rounded up to 16, the high byte stays: 117 = 30000 // 256, and 118 = 30255 // 256.
    notes = " ".join(load(Data(name=str(tmp_path))).notes)
    assert (
        "40 of 40 images keep fewer than 16 levels of grey though their files hold more (one keeps 2 of 256)" in notes
    )


def test_a_class_too_dark_for_the_bits_of_all_is_said(tmp_path):
    def make(number: int, seed: int) -> np.ndarray:
        if number == 0:
            return grey(12)(1, seed)
        return np.random.default_rng(seed).permutation(96).reshape(8, 12).astype(np.uint16)

    write(tmp_path, make)
    # 12 bits lose the lower four: 96 levels become 96 / 16 = 6.
    notes = " ".join(load(Data(name=str(tmp_path), size=8)).notes)
    assert "20 of 40 images keep fewer than 16 levels of grey though their files hold more (one keeps 6 of 96)" in notes


def test_a_test_split_made_grey_is_said_when_it_is_read(tmp_path):
    random = np.random.default_rng(0)
    for split, shape in (("train", (6, 6)), ("test", (6, 6, 3))):
        for label in range(2):
            (tmp_path / split / str(label)).mkdir(parents=True)
            for index in range(20):
                pixels = random.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / str(label) / f"{index:02d}.png")
    said = "split 'test': 40 of 40 images are colour and were made grey like the training images"
    for channels, noted in ((None, True), (1, False)):
        splits = load(Data(name=str(tmp_path), channels=channels))
        splits.test.open("figures")
        assert (said in " ".join(splits.test.notes)) == noted


def test_bits_in_use():
    peaks = (0, 255, 256, 1023, 1024, 4095, 4096, 16383, 16384, 65535, 65536)
    assert [bits_in_use(peak) for peak in peaks] == [8, 8, 10, 10, 12, 12, 14, 14, 16, 16, 18]


def test_negative_grey_is_refused(tmp_path):
    write(tmp_path, grey(12))
    Image.fromarray(np.full((8, 8), -1024, dtype=np.int32)).save(tmp_path / "train" / "cat" / "scan.tiff")
    with pytest.raises(BadInput, match=r"scan\.tiff\).*its pixels go down to -1024"):
        load(Data(name=str(tmp_path)))
    with pytest.raises(ValueError, match=r"scan\.tiff cannot be read.*go down to -1024"):
        predicting.read_image(tmp_path / "train" / "cat" / "scan.tiff")


def test_colour_of_16_bits_is_said(tmp_path):
    """Pillow gives the upper 8 bits alone, so 12 bits in use are 4 bits left."""
    write(tmp_path, lambda number, seed: Image.fromarray(grey(8)(number, seed).astype(np.uint8)).convert("RGB"))
    for name in ("cat", "dog"):
        raw = np.random.default_rng(5).integers(0, 4096, (8, 8, 3)).astype(">u2")
        (tmp_path / "train" / name / "deep.ppm").write_bytes(b"P6 8 8 65535\n" + raw.tobytes())
        png_of_16_bits(tmp_path / "train" / name / "deep.png", raw)
    notes = load(Data(name=str(tmp_path))).notes
    (note,) = [note for note in notes if "16 bits a channel" in note]
    assert (
        "2 of 44 images have 16 bits a channel in colour, of which the upper 8 are read; the largest is 15 of 255"
        in note
    )


def png_of_16_bits(path: Path, pixels_HWC: np.ndarray) -> None:
    """By the format's own description (ISO/IEC 15948), since Pillow writes none."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels_HWC.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels_HWC)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


# Transparency


@pytest.mark.parametrize(("background", "level"), [("white", 255), ("grey", 128), ("black", 0)])
def test_transparent_places_are_laid_on_the_background(background, level, tmp_path):
    write(tmp_path, shape_in_alpha(40))
    splits = load(Data(name=str(tmp_path), background=background, validation_fraction=0.3))
    assert splits.train.images.shape[1:] == (3, 8, 8)
    alphas = [
        np.random.default_rng(1000 * n + i).integers(0, 256, (8, 8), dtype=np.uint8) / 255
        for n in (0, 1)
        for i in range(20)
    ]
    laid = np.stack([alpha * 40 + (1 - alpha) * level for alpha in alphas])
    for image in splits.train.images:
        assert np.abs(laid - image[1].numpy()).max((1, 2)).min() <= 1
    assert (
        f"split 'train': 40 of 40 images are transparent in places and are laid on {background} (data.background)."
        in splits.notes
    )


def transparent(kind: str) -> Image.Image:
    rng = np.random.default_rng(3)
    picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    alpha = Image.fromarray(rng.integers(0, 200, (8, 8), dtype=np.uint8))
    if kind == "LA":
        return Image.merge("LA", [picture.convert("L"), alpha])
    if kind == "P":
        palette = picture.quantize(16)
        palette.info["transparency"] = bytes(range(0, 160, 10))
        return palette
    if kind in ("L", "RGB"):  # one value is transparent
        image = picture.convert(kind)
        image.info["transparency"] = image.getpixel((0, 0))
        return image
    return Image.merge("RGBA", [*picture.split(), alpha])


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "L", "RGB"])
def test_every_kind_of_transparency_is_seen_and_keeps_its_number_of_channels(kind):
    image = transparent(kind)
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., :3] * alpha + 90 * (1 - alpha)
    laid = upright(image, Preparation(background=90))
    assert laid.mode == ("L" if kind.startswith("L") else "RGB")
    assert np.abs(np.asarray(laid.convert("RGB")) - expected).max() <= 1
    assert (alpha < 1).any()


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
def test_what_is_opaque_throughout_stays_to_the_byte(kind):
    image = transparent(kind)
    if kind == "P":
        image.info["transparency"] = bytes([255] * 16)
    else:
        image.putalpha(255)
    assert upright(image, Preparation(background=90)) is image


# Nothing to see


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda number, seed: np.zeros((6, 6), np.uint8), r"the 40 training images are alike, pixel for pixel \(all black\)"),
        (lambda number, seed: np.arange(36, dtype=np.uint8).reshape(6, 6), "the 40 training images are alike, pixel for pixel, so"),
        (lambda number, seed: np.full((6, 6), seed % 251, np.uint8), "the 40 training images are each of one colour throughout, so"),
        (shape_in_alpha(255), r"alike, pixel for pixel \(all white\).*data\.background"),
    ],
)  # fmt: skip
def test_images_with_nothing_to_see_are_refused_as_that(make, sentence, tmp_path):
    write(tmp_path, make)
    with pytest.raises(BadInput, match=sentence):
        load(Data(name=str(tmp_path)))


# Very unequal sides


def wide(width: int, height: int) -> Image.Image:
    """Waves that stay away from 0 and 255, where scaling one side before the other would show."""
    y, x, channel = np.mgrid[:height, :width, :3]
    return Image.fromarray((128 + 60 * np.sin(x * 0.37 + channel) * np.cos(y * 0.41)).astype(np.uint8))


@pytest.mark.parametrize("shape", [(3000, 5), (5, 3000), (901, 7)])
@pytest.mark.parametrize("size", [32, 3])
def test_cropping_first_gives_what_scaling_first_does(shape, size, monkeypatch):
    whole = training.pixels(wide(*shape), 3, size)
    by_predict = np.asarray(predicting.cover(wide(*shape), size, size))
    monkeypatch.setattr(training, "MOST_PIXELS", size * size)
    monkeypatch.setattr(predict_picture, "MOST_PIXELS", size * size)
    cropped = training.pixels(wide(*shape), 3, size)
    assert cropped.shape == (3, size, size)
    assert np.abs(cropped.astype(int) - whole).max() <= 1
    np.testing.assert_array_equal(by_predict, whole.transpose(1, 2, 0))
    np.testing.assert_array_equal(np.asarray(predicting.cover(wide(*shape), size, size)), cropped.transpose(1, 2, 0))


@pytest.mark.parametrize("shape", [(60_000, 2), (2, 60_000)])
def test_no_more_pixels_are_made_than_stated(shape, monkeypatch):
    made = []
    resize = Image.Image.resize

    def watched(self, size, *more):
        made.append(size[0] * size[1])
        return resize(self, size, *more)

    monkeypatch.setattr(Image.Image, "resize", watched)
    training.pixels(wide(*shape), 3, 64)  # whole, it would have 123 million
    predicting.cover(wide(*shape), 64, 64)
    assert len(made) == 2
    assert max(made) <= training.MOST_PIXELS == predicting.MOST_PIXELS == training.LARGEST_SIZE**2


def test_sizes_beyond_the_limit_are_refused():
    said = {"schema_version": 1, "task": "image-classification", "classes": ["a", "b"]}
    given = {"channels": 1, "height": 2, "width": 1 << 24, "mean": [0], "std": [1], "scale": "0-1"}
    with pytest.raises(
        ValueError, match=r"input\.height and input\.width are 2 and 16777216, more than 16777216 pixels"
    ):
        predicting.parse_metadata(said | {"input": given})
    with pytest.raises(BadInput, match="4097 was given; it should be less than or equal to 4096"):
        Data(name="digits", size=4097)
