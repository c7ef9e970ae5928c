"""An exported model of images that is opened once and asked about many uploads; what a server needs of it. Stands alone"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from PIL import Image

from .picture import MOST_PIXELS, upright
from .predict import FILES, Metadata, answers_of, open_model, preprocess, read_metadata, softmax

__all__ = ["FILES"]

EXAMPLE, MEASURE, LARGEST = "image", "pixels", MOST_PIXELS
NEEDS = ("onnxruntime", "numpy", "pillow")
# Pillow reads many more, some by starting programs (EPS): not what strangers send.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")


class TooLarge(ValueError):
    """An image of more pixels than are taken."""


class Opened(NamedTuple):
    """A model, and what it says of itself."""

    path: Path
    session: onnxruntime.InferenceSession
    metadata: Metadata
    largest: int  # pixels
    formats: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.metadata.name or self.path.name

    @property
    def takes(self) -> str:
        return '{"b64": "a file in base64"}'


def opened(path: Path, *, largest: int = LARGEST) -> Opened:
    """A model on one thread, tried on a blank image. ``ValueError`` where it is missing or cannot be used."""
    session = open_model(path, threads=1)
    metadata = read_metadata(session, path)
    Image.init()
    model = Opened(path, session, metadata, largest, tuple(name for name in FORMATS if name in Image.OPEN))
    ask(model, [np.zeros((metadata.channels, metadata.height, metadata.width), np.float32)])
    return model


def beside(model: Opened) -> list[str]:
    """Nothing."""
    del model
    return []


def read(model: Opened, given: Any, number: int) -> np.ndarray:
    """The model's input for a file's bytes, or for ``{"b64": ...}`` (RFC 4648, 4); float32 (channels, height, width).

    ``ValueError`` where it is no such thing, or no image in one of ``FORMATS``; :class:`TooLarge`.
    """
    data = given if isinstance(given, bytes) else _decoded(given, number)
    try:
        with Image.open(BytesIO(data), formats=model.formats) as image:
            if image.width * image.height > model.largest:
                raise TooLarge(
                    f"image {number} is {image.width}x{image.height}, more than the {model.largest} pixels that are taken here."
                )
            return preprocess(upright(image), model.metadata)
    except TooLarge:
        raise
    except Image.DecompressionBombError:  # so many that Pillow does not even open it
        raise TooLarge(f"image {number} has more than the {model.largest} pixels that are taken here.") from None
    except Exception as error:  # of a damaged file Pillow's readers raise whatever they come upon
        formats = ", ".join(name for name in model.formats if name != "MPO")
        why = str(error).strip().splitlines()[0] if type(error) is ValueError and str(error).strip() else None
        said = why or f"it is no {formats}, or it is damaged"
        raise ValueError(f"image {number} cannot be read: {said.rstrip('.')}.") from None


def ask(model: Opened, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Logits (B, classes), or numbers (B, D)."""
    metadata = model.metadata
    most = max(1, MOST_PIXELS // (metadata.height * metadata.width))
    width, name = len(metadata.numbers or metadata.classes), model.session.get_inputs()[0].name
    parts = [np.stack(inputs[start : start + most]) for start in range(0, len(inputs), most)]
    return np.concatenate([answers_of(model.session, {name: x}, (len(x), width), model.path) for x in parts])


def told(model: Opened, answer: np.ndarray, top: int) -> dict[str, Any]:
    """The likeliest classes, or the numbers, as ``limbeck predict --json`` has them."""
    metadata = model.metadata
    if metadata.numbers:
        named = zip(metadata.numbers, answer.tolist())
        return {"numbers": [{"name": name, "value": value, "unit": unit} for (name, unit), value in named]}
    shares = softmax(answer[None])[0]
    best = np.argsort(-shares, kind="stable")[:top]
    return {"top": [{"class": metadata.classes[c], "probability": float(shares[c])} for c in best]}


def sureness(model: Opened, answers: Sequence[np.ndarray]) -> np.ndarray | None:
    """(B,) the largest probability; None of numbers."""
    return None if model.metadata.numbers else softmax(np.stack(answers)).max(axis=1)


def _decoded(given: Any, number: int) -> bytes:
    text = given.get("b64") if isinstance(given, dict) else None
    if not isinstance(text, str):
        raise ValueError(f'instance {number} is no image: {{"b64": "a file in base64"}} is one.')
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError(f"instance {number}: its b64 is not base64.") from None
