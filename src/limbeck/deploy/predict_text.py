#!/usr/bin/env python3
"""Classify texts with an exported model: ONNX Runtime, NumPy and tokenizers are all it needs.

    pip install onnxruntime numpy tokenizers
    python predict.py student/model.onnx "a text" "another"

The model carries its class names and its longest input in its metadata, and its tokenizer lies beside it, so nothing
else has to be said. This file stands alone: copy it wherever the model goes.

How a text becomes the model's input, exactly as in training: the tokenizer splits it and adds its special tokens; what
is longer than the model's longest input is cut off there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import tokenizers

METADATA_KEY = "limbeck"
SCHEMA_VERSION = 1
BATCH = 32


class Prediction(NamedTuple):
    """A text's most probable classes, best first, with their probabilities."""

    text: str
    classes: list[tuple[str, float]]


class Metadata(NamedTuple):
    """What an exported model says of itself."""

    name: str
    classes: tuple[str, ...]
    multi_label: bool
    max_length: int
    vocabulary: int
    tokenizer: str  # file beside the model


def predict(model: Path, texts: Sequence[str], top: int = 3) -> list[Prediction]:
    """The ``top`` most probable classes of every text.

    Where a text may have several labels each class has a probability of its own, and they do not sum to 1. Raises
    ``ValueError``, with a sentence, for a model or a tokenizer that is missing or cannot be used, and for an empty text.
    """
    if top < 1:
        raise ValueError(f"top is {top}; at least 1 class can be asked for.")
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise ValueError(f"text {number} is empty: give a text with something in it.")
    session = open_model(model)
    metadata = read_metadata(session, model)
    tokenizer = open_tokenizer(Path(model).parent / metadata.tokenizer, metadata)
    predictions = []
    for start in range(0, len(texts), BATCH):
        some = list(texts[start : start + BATCH])
        encoded = tokenizer.encode_batch(some)
        inputs = {
            "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
            "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
        }
        logits_BC = np.asarray(session.run(None, inputs)[0])
        if logits_BC.shape != (len(some), len(metadata.classes)):
            raise ValueError(
                f"{model} answers with shape {logits_BC.shape}, but its metadata names "
                f"{len(metadata.classes)} classes: export it again."
            )
        probabilities_BC = sigmoid(logits_BC) if metadata.multi_label else softmax(logits_BC)
        for text, probabilities_C in zip(some, probabilities_BC):
            best = np.argsort(-probabilities_C, kind="stable")[:top]
            predictions.append(Prediction(text, [(metadata.classes[c], float(probabilities_C[c])) for c in best]))
    return predictions


def open_model(path: Path) -> onnxruntime.InferenceSession:
    """A CPU session of the model; ``ValueError`` where the file is missing or is no ONNX model."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"model {path} is a folder: give the .onnx file in it, such as {path / 'model.onnx'}.")
    if not path.is_file():
        raise ValueError(f"model {path} does not exist: give the path of an exported .onnx file.")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and said below
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise ValueError(
            f"model {path} cannot be loaded: it is not an ONNX model, or it is damaged. "
            f"Export or copy it again. (ONNX Runtime says: {_first_line(error)})"
        ) from error


def open_tokenizer(path: Path, metadata: Metadata) -> tokenizers.Tokenizer:
    """The tokenizer beside a model, cutting and padding as the model wants it."""
    if not path.is_file():
        raise ValueError(f"tokenizer {path} does not exist: it belongs beside the model; copy it there.")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the reader raises a bare Exception
        raise ValueError(
            f"tokenizer {path} cannot be read: it is damaged; copy it again. ({_first_line(error)})"
        ) from error
    if tokenizer.get_vocab_size() > metadata.vocabulary:
        raise ValueError(
            f"tokenizer {path} knows {tokenizer.get_vocab_size()} tokens and the model {metadata.vocabulary}: they do not "
            "belong together; take the tokenizer that was exported with the model."
        )
    tokenizer.enable_truncation(metadata.max_length)
    if tokenizer.padding is None:
        tokenizer.enable_padding()
    return tokenizer


def read_metadata(session: onnxruntime.InferenceSession, path: Path) -> Metadata:
    """What the model says of itself; ``ValueError`` where it says nothing or something that makes no sense."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ValueError(
            f"model {path} has no '{METADATA_KEY}' metadata, so its classes are unknown: "
            "use a model that 'limbeck run' wrote."
        )
    try:
        return _parse_metadata(json.loads(text))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"model {path} has '{METADATA_KEY}' metadata that cannot be used ({error}): export it again."
        ) from error


def softmax(logits_BC: np.ndarray) -> np.ndarray:
    """Probabilities that sum to 1."""
    powers_BC = np.exp(logits_BC.astype(np.float64) - logits_BC.max(axis=1, keepdims=True))
    return powers_BC / powers_BC.sum(axis=1, keepdims=True)


def sigmoid(logits_BC: np.ndarray) -> np.ndarray:
    """A probability for each class."""
    return 1 / (1 + np.exp(-np.clip(logits_BC.astype(np.float64), -700, 700)))


def table(predictions: Sequence[Prediction]) -> str:
    """The predictions for a person: a line a text, its classes after it."""
    lines = []
    for text, classes in predictions:
        shown = " ".join(text.split())
        shown = shown if len(shown) <= 60 else shown[:59] + "…"
        told = ", ".join(f"{printable(name)} {100 * probability:.1f} %" for name, probability in classes)
        lines.append(f"{printable(shown)}: {told}")
    return "\n".join(lines)


def printable(text: str) -> str:
    """``text`` with control characters (which could steer a terminal) and lone surrogates escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Classify texts with an exported model.")
    parser.add_argument("model", type=Path, help="an exported .onnx file, its tokenizer beside it")
    parser.add_argument("texts", nargs="+", metavar="text")
    parser.add_argument("--top", type=int, default=3, help="show the N likeliest classes")
    given = parser.parse_args(arguments)
    try:
        print(table(predict(given.model, given.texts, given.top)))
    except ValueError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def _parse_metadata(value: dict[str, Any]) -> Metadata:
    if value["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {value['schema_version']!r}, this program reads {SCHEMA_VERSION}")
    if value["task"] != "text-classification":
        raise ValueError(f"task is {value['task']!r}, this program does text-classification")
    given = value["input"]
    tokenizer = str(given["tokenizer"])
    if Path(tokenizer).name != tokenizer:
        raise ValueError("input.tokenizer must be the name of a file beside the model")
    metadata = Metadata(
        name=str(value.get("name", "")),
        classes=tuple(str(name) for name in value["classes"]),
        multi_label=bool(value["multi_label"]),
        max_length=int(given["max_length"]),
        vocabulary=int(given["vocabulary"]),
        tokenizer=tokenizer,
    )
    if metadata.max_length < 1:
        raise ValueError("input.max_length must be at least 1")
    return metadata


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    sys.exit(main())
