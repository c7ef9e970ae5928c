"""An exported classifier of sounds that is opened once and asked about many uploads; what a server needs of it. Stands alone"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from .predict import FILES, Metadata, answers_of, open_model, read_metadata, read_sound, softmax, window

__all__ = ["FILES"]

EXAMPLE, MEASURE, LARGEST = "sound", "samples", 10_000_000
NEEDS = ("onnxruntime", "numpy")
AT_ONCE = 64


class TooLarge(ValueError):
    """A sound of more samples than are taken."""


class Opened(NamedTuple):
    """A model, and what it says of itself."""

    path: Path
    session: onnxruntime.InferenceSession
    metadata: Metadata
    samples: int  # of the window
    largest: int  # samples, as they are in the file

    @property
    def name(self) -> str:
        return self.metadata.name or self.path.name

    @property
    def takes(self) -> str:
        return '{"b64": "a WAV file in base64"}'


def opened(path: Path, *, largest: int = LARGEST) -> Opened:
    """A model on one thread, tried on silence. ``ValueError`` where it is missing or cannot be used."""
    session = open_model(path, threads=1)
    metadata = read_metadata(session, path)
    if metadata.samples is None:
        raise ValueError(f"model {path} hears no window of one length: ask it by limbeck predict.")
    model = Opened(path, session, metadata, metadata.samples, largest)
    ask(model, [np.zeros(model.samples, np.float32)])
    return model


def beside(model: Opened) -> list[str]:
    """Nothing."""
    del model
    return []


def read(model: Opened, given: Any, number: int) -> np.ndarray:
    """The model's input for a WAV file's bytes, or for ``{"b64": ...}`` (RFC 4648, 4); float32 (samples,).

    ``ValueError`` where it is no such thing; :class:`TooLarge`.
    """
    data = given if isinstance(given, bytes) else _decoded(given, number)
    if len(data) > model.largest:  # of a byte a sample at least
        raise TooLarge(f"sound {number} has more than the {model.largest} samples that are taken here.")
    try:
        return window(read_sound(data, model.metadata.rate), model.samples)
    except ValueError as error:
        raise ValueError(f"sound {number} cannot be read: {str(error).rstrip('.')}.") from None


def ask(model: Opened, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Logits (B, classes)."""
    width, name = len(model.metadata.classes), model.session.get_inputs()[0].name
    parts = [np.stack(inputs[start : start + AT_ONCE]) for start in range(0, len(inputs), AT_ONCE)]
    return np.concatenate([answers_of(model.session, {name: x}, (len(x), width), model.path) for x in parts])


def told(model: Opened, answer: np.ndarray, top: int) -> dict[str, Any]:
    """The likeliest classes, as ``limbeck predict --json`` has them."""
    shares = softmax(answer[None])[0]
    best = np.argsort(-shares, kind="stable")[:top]
    return {"top": [{"class": model.metadata.classes[c], "probability": float(shares[c])} for c in best]}


def sureness(model: Opened, answers: Sequence[np.ndarray]) -> np.ndarray | None:
    """(B,) the largest probability."""
    del model
    return softmax(np.stack(answers)).max(axis=1)


def _decoded(given: Any, number: int) -> bytes:
    text = given.get("b64") if isinstance(given, dict) else None
    if not isinstance(text, str):
        raise ValueError(f'instance {number} is no sound: {{"b64": "a WAV file in base64"}} is one.')
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError(f"instance {number}: its b64 is not base64.") from None
