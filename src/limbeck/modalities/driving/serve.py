"""An exported driver that is opened once and asked about many states; what a server needs of it. Stands alone"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from .predict import FILES, Metadata, answers_of, open_model, read_metadata, read_state, softmax

__all__ = ["FILES"]

EXAMPLE, MEASURE, LARGEST = "state", "numbers", 1_000_000
NEEDS = ("onnxruntime", "numpy")


class TooLarge(ValueError):
    """A state of more numbers than are taken."""


class Opened(NamedTuple):
    """A model, and what it says of itself."""

    path: Path
    session: onnxruntime.InferenceSession
    metadata: Metadata
    largest: int  # numbers of a state

    @property
    def name(self) -> str:
        return self.metadata.name or self.path.name

    @property
    def takes(self) -> str:
        return f"[x1, ..., x{self.metadata.numbers}]"


def opened(path: Path, *, largest: int = LARGEST) -> Opened:
    """A model on one thread, tried on a state of zeros. ``ValueError`` where it is missing or cannot be used."""
    session = open_model(path, threads=1)
    model = Opened(path, session, read_metadata(session, path), largest)
    ask(model, [np.zeros(model.metadata.numbers, np.float32)])
    return model


def beside(model: Opened) -> list[str]:
    """Nothing."""
    del model
    return []


def read(model: Opened, given: Any, number: int) -> np.ndarray:
    """The model's input (F,) float32 for a list of numbers, for rows of them as the simulator has them, or for a text with commas.

    ``ValueError`` where it is no such thing; :class:`TooLarge`.
    """
    if isinstance(given, bytes):
        given = given.decode("utf-8", "replace").strip()
    if isinstance(given, str):
        if given.count(",") >= model.largest:
            raise TooLarge(f"state {number} has more than the {model.largest} numbers that are taken here.")
        return read_state(given, model.metadata.numbers)
    rows = given if isinstance(given, list) else [None]
    flat = [one for row in rows for one in (row if isinstance(row, list) else [row])]
    if not flat or not all(type(one) in (int, float) for one in flat):
        raise ValueError(f"instance {number} is no state: {model.takes}, numbers in one list or row by row, is one.")
    if len(flat) > model.largest:
        raise TooLarge(f"state {number} has more than the {model.largest} numbers that are taken here.")
    if len(flat) != model.metadata.numbers:
        raise ValueError(f"state {number} has {len(flat)} number(s); the model takes {model.metadata.numbers}.")
    try:
        with np.errstate(over="ignore"):
            state_F = np.array(flat, np.float64).astype(np.float32)
    except OverflowError:  # a whole number of more than 308 digits
        state_F = np.array([np.inf], np.float32)
    if not np.isfinite(state_F).all():
        raise ValueError(f"state {number} has a number that is not finite in float32.")
    return state_F


def ask(model: Opened, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Logits (B, actions)."""
    states_BF, name = np.stack(inputs), model.session.get_inputs()[0].name
    return answers_of(model.session, {name: states_BF}, (len(states_BF), len(model.metadata.classes)), model.path)


def told(model: Opened, answer: np.ndarray, top: int) -> dict[str, Any]:
    """The likeliest actions, as ``limbeck predict --json`` has them."""
    shares = softmax(answer[None])[0]
    best = np.argsort(-shares, kind="stable")[:top]
    return {"top": [{"class": model.metadata.classes[a], "probability": float(shares[a])} for a in best]}


def sureness(model: Opened, answers: Sequence[np.ndarray]) -> np.ndarray:
    """(B,) the largest probability."""
    return softmax(np.stack(answers)).max(axis=1)
