"""An exported classifier of texts that is opened once and asked about many; what a server needs of it. Stands alone"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import tokenizers

from .predict import (
    FILES,
    Metadata,
    Text,
    answers_of,
    check,
    model_inputs,
    open_model,
    open_tokenizer,
    read_metadata,
    sigmoid,
    softmax,
)

__all__ = ["FILES"]

EXAMPLE, MEASURE, LARGEST = "text", "characters", 100_000
NEEDS = ("onnxruntime", "numpy", "tokenizers")


class TooLarge(ValueError):
    """A text of more characters than are taken."""


class Opened(NamedTuple):
    """A model with its tokenizer, and what it says of itself."""

    path: Path
    session: onnxruntime.InferenceSession
    metadata: Metadata
    tokenizer: tokenizers.Tokenizer
    largest: int  # characters; of a pair, of both sides

    @property
    def name(self) -> str:
        return self.metadata.name or self.path.name

    @property
    def takes(self) -> str:
        pair = self.metadata.pair
        return '"a text"' if pair is None else f'["{pair[0]}", "{pair[1]}"]'


def opened(path: Path, *, largest: int = LARGEST) -> Opened:
    """A model on one thread, tried on a short text. ``ValueError`` where it, or its tokenizer, is missing or cannot be used."""
    session = open_model(path, threads=1)
    metadata = read_metadata(session, path)
    tokenizer = open_tokenizer(Path(path).parent / metadata.tokenizer, metadata)
    model = Opened(path, session, metadata, tokenizer, largest)
    ask(model, ["a text" if metadata.pair is None else ("a text", "another")])
    return model


def beside(model: Opened) -> list[str]:
    """The tokenizer."""
    return [model.metadata.tokenizer]


def read(model: Opened, given: Any, number: int) -> Text:
    """The text, or the pair, of a JSON value or of a body in UTF-8. ``ValueError`` where it is none; :class:`TooLarge`."""
    if isinstance(given, bytes):
        try:
            given = given.decode()
        except UnicodeDecodeError:
            raise ValueError(f"text {number} is not UTF-8.") from None
    sides = given if isinstance(given, list) else [given]
    if len(sides) != (2 if isinstance(given, list) else 1) or not all(isinstance(side, str) for side in sides):
        raise ValueError(f"instance {number} is no text: {model.takes} is one.")
    if any("\ud800" <= character <= "\udfff" for side in sides for character in side):
        raise ValueError(f"text {number} has half characters (surrogates) in it, which are no text.")
    if (length := sum(map(len, sides))) > model.largest:
        raise TooLarge(
            f"text {number} is of {length} characters, more than the {model.largest} characters that are taken here."
        )
    text: Text = (sides[0], sides[1]) if isinstance(given, list) else sides[0]
    check(text, number, model.metadata)
    return text


def ask(model: Opened, inputs: Sequence[Text]) -> np.ndarray:
    """Logits (B, classes)."""
    given = model_inputs(model.tokenizer, inputs, model.metadata)
    return answers_of(model.session, given, (len(inputs), len(model.metadata.classes)), model.path)


def told(model: Opened, answer: np.ndarray, top: int) -> dict[str, Any]:
    """The likeliest classes, as ``limbeck predict --json`` has them; of several labels each has a probability of its own."""
    shares = (sigmoid if model.metadata.multi_label else softmax)(answer[None])[0]
    best = np.argsort(-shares, kind="stable")[:top]
    return {"top": [{"class": model.metadata.classes[c], "probability": float(shares[c])} for c in best]}


def sureness(model: Opened, answers: Sequence[np.ndarray]) -> np.ndarray | None:
    """(B,) the largest probability; of several labels, how likely the yes or no of the least sure class is."""
    if not model.metadata.multi_label:
        return softmax(np.stack(answers)).max(axis=1)
    yes_BC = sigmoid(np.stack(answers))
    return np.maximum(yes_BC, 1 - yes_BC).min(axis=1)
