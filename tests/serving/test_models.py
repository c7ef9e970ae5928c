"""What a server asks of a modality: a model that is opened once says what `predict` says, and refuses in sentences."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from limbeck.deploy.metadata import METADATA_KEY
from limbeck.modalities.image import predict as image_predict
from limbeck.modalities.image import serve as image_serve
from limbeck.modalities.image.export import image_metadata
from limbeck.modalities.text import predict as text_predict
from limbeck.modalities.text import serve as text_serve
from limbeck.modalities.text.export import text_metadata
from tests.helpers.exported import COLOUR
from tests.helpers.tiny_text import CLASSES, TEXTS, tiny_tokenizer

PAIR = ("premise", "hypothesis")


def picture(seed: int, height: int = 15, width: int = 20, kind: str = "PNG", **how: Any) -> bytes:
    """A file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind, **how)
    return file.getvalue()


def copied(text_folder: Path, folder: Path, **facts: Any) -> Path:
    """The same classifier of texts, which says other things of itself."""
    said = text_metadata(name="tiny", classes=CLASSES, vocabulary=len(tiny_tokenizer()), max_length=16, **facts)
    copyfile(text_folder / "tokenizer.json", folder / "tokenizer.json")
    return saying(said, text_folder / "model.onnx", folder / "model.onnx")


def saying(said: dict[str, Any], model: Path, to: Path) -> Path:
    """A copy of a model with other metadata."""
    proto = onnx.load(model)
    onnx.helper.set_model_props(proto, {METADATA_KEY: json.dumps(said)})
    onnx.save(proto, to)
    return to


def said_by(does: Any, path: Path, given: list[Any]) -> tuple[list[Any], Any]:
    """What is said of examples that are read one by one and asked together; and how sure it is of each."""
    model = does.opened(path)
    inputs = [does.read(model, one, number) for number, one in enumerate(given, 1)]
    answers = list(does.ask(model, inputs))
    return [does.told(model, one, 2) for one in answers], does.sureness(model, answers)


def close(found: Any, expected: Any) -> bool:
    """Whether two plain values are alike, numbers within rounding."""
    flat = [
        json.dumps(json.loads(json.dumps(one), parse_float=lambda x: f"{float(x):.4g}")) for one in (found, expected)
    ]
    return flat[0] == flat[1]


@pytest.mark.parametrize("numbers", [None, [{"name": f"x{n}", "unit": "degrees" if n else ""} for n in range(4)]])
def test_an_upload_is_answered_as_its_file_is(
    model: Path, tmp_path: Path, numbers: list[dict[str, str]] | None
) -> None:
    path = model
    if numbers is not None:
        path = saying(image_metadata(name="", classes=(), numbers=numbers, **COLOUR), model, tmp_path / "student.onnx")
    turned = Image.Exif()
    turned[0x0112] = 6
    uploads = [picture(0), picture(1, kind="JPEG", exif=turned), picture(2, 12, 12, "GIF")]
    files = [tmp_path / str(number) for number in range(3)]
    for file, upload in zip(files, uploads):
        file.write_bytes(upload)
    expected = [
        {k: v for k, v in one.items() if k != "image"}
        for one in image_predict.plain(image_predict.predict(path, files, 2))
    ]
    packed = [uploads[0], {"b64": base64.b64encode(uploads[1]).decode()}, uploads[2]]
    found, sure = said_by(image_serve, path, packed)
    assert close(found, expected)
    if numbers is not None:
        assert sure is None
    else:
        assert sure == pytest.approx([one["top"][0]["probability"] for one in expected], rel=1e-4)


@pytest.mark.parametrize("facts", [{}, {"multi_label": True}, {"pair": PAIR}], ids=["one", "several", "pair"])
def test_a_text_is_answered_as_on_the_command_line(text_folder: Path, tmp_path: Path, facts: dict[str, Any]) -> None:
    path = copied(text_folder, tmp_path, **facts)
    given: list[Any] = list(zip(TEXTS, TEXTS[::-1])) if "pair" in facts else TEXTS
    as_json = [list(one) if isinstance(one, tuple) else one for one in given]
    expected = [{"top": one["top"]} for one in text_predict.plain(text_predict.predict(path, given, 2))]
    found, sure = said_by(text_serve, path, as_json)
    assert close(found, expected)
    if facts.get("multi_label"):
        whole = text_predict.predict(path, given, 9)
        least = [min(max(p, 1 - p) for _, p in one.classes) for one in whole]
        assert sure == pytest.approx(least, rel=1e-4)
    else:
        assert sure == pytest.approx([one["top"][0]["probability"] for one in expected], rel=1e-4)


def header(side: int) -> bytes:
    """The beginning of a PNG file that says it is so large."""
    said = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + said
        + struct.pack(">I", zlib.crc32(said))
        + struct.pack(">I", 9)
        + b"IDAT"
    )


IMAGES_REFUSED = [
    (header(60_000), "image 7 has more than the 10000 pixels"),
    (header(5_000), "image 7 is 5000x5000, more than the 10000 pixels"),
    (b"no image", "image 7 cannot be read: it is no PNG"),
    (picture(0)[:200], "image 7 cannot be read"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image 7 cannot be read"),
    (picture(0, 101, 100), "image 7 is 100x101, more than the 10000 pixels"),
    ({"b64": "not base64!"}, "instance 7: its b64 is not base64"),
    ({"b64": "é"}, "instance 7: its b64 is not base64"),
    ({"b64": "\ud800"}, "instance 7: its b64 is not base64"),
    ("a text", "instance 7 is no image"),
    (None, "instance 7 is no image"),
]
TEXTS_REFUSED = [
    (b"\xff\xfe", "text 7 is not UTF-8"),
    ("  ", "text 7 is empty"),
    ("x" * 10_001, "text 7 is of 10001 characters"),
    ("half \ud800", "text 7 has half characters"),
    (["a", "b"], "example 7 is a pair: this model takes single texts"),
    (["a"], "instance 7 is no text"),
    ([1, 2], "instance 7 is no text"),
    ({"text": "a"}, 'instance 7 is no text: "a text" is one'),
]


@pytest.fixture(scope="module")
def opened(model: Path, text_folder: Path) -> dict[str, tuple[Any, Any]]:
    return {
        "image": (image_serve, image_serve.opened(model, largest=10_000)),
        "text": (text_serve, text_serve.opened(text_folder / "model.onnx", largest=10_000)),
    }


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [*(("image", *one) for one in IMAGES_REFUSED), *(("text", *one) for one in TEXTS_REFUSED)],
    ids=lambda one: "" if not isinstance(one, str) else one[:30],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(opened: Any, kind: str, given: Any, said: str) -> None:
    does, model = opened[kind]
    large = "more than" in said or ("characters" in said and "half" not in said)
    with pytest.raises(does.TooLarge if large else ValueError) as refused:
        does.read(model, given, 7)
    assert str(refused.value).startswith(said)
    assert "<_io" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x")], ids=["gone", "broken"]
)
def test_a_model_that_cannot_be_used_is_refused_before_it_serves(
    text_folder: Path, tmp_path: Path, wrong: Callable[[Path], Any]
) -> None:
    path = copied(text_folder, tmp_path)
    wrong(tmp_path / "tokenizer.json")
    with pytest.raises(ValueError, match="tokenizer"):
        text_serve.opened(path)
