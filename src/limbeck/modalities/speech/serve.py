"""An exported classifier of sounds that is opened once and asked about many uploads; what a server needs of it. Stands alone"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from .predict import FILES, Metadata, answers_of, open_model, read_metadata, read_sound, said_in, softmax, window

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
    samples: int | None  # of the window; None: any number
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
    model = Opened(path, session, metadata, metadata.samples, largest)
    ask(model, [np.zeros(model.samples or metadata.rate, np.float32)])
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
        heard = read_sound(data, model.metadata.rate)
        return heard if model.samples is None else window(heard, model.samples)
    except ValueError as error:
        raise ValueError(f"sound {number} cannot be read: {str(error).rstrip('.')}.") from None


def ask(model: Opened, inputs: Sequence[np.ndarray]) -> np.ndarray | list[np.ndarray]:
    """Logits (B, classes), or of each sound those at its frames, (L, symbols)."""
    width, name = len(model.metadata.classes), model.session.get_inputs()[0].name
    if model.metadata.writes:
        return [answers_of(model.session, {name: x[None]}, (1, None, width), model.path)[0] for x in inputs]
    parts = [np.stack(inputs[start : start + AT_ONCE]) for start in range(0, len(inputs), AT_ONCE)]
    return np.concatenate([answers_of(model.session, {name: x}, (len(x), width), model.path) for x in parts])


def told(model: Opened, answer: np.ndarray, top: int) -> dict[str, Any]:
    """The likeliest classes, as ``limbeck predict --json`` has them; or what was said."""
    if model.metadata.writes:
        return {"text": said_in(answer, model.metadata, 1, 0)[0][0]}
    shares = softmax(answer[None])[0]
    best = np.argsort(-shares, kind="stable")[:top]
    return {"top": [{"class": model.metadata.classes[c], "probability": float(shares[c])} for c in best]}


def sureness(model: Opened, answers: Sequence[np.ndarray]) -> np.ndarray | None:
    """(B,) the largest probability; None of transcripts."""
    return None if model.metadata.writes else softmax(np.stack(answers)).max(axis=1)


def _decoded(given: Any, number: int) -> bytes:
    text = given.get("b64") if isinstance(given, dict) else None
    if not isinstance(text, str):
        raise ValueError(f'instance {number} is no sound: {{"b64": "a WAV file in base64"}} is one.')
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError(f"instance {number}: its b64 is not base64.") from None
