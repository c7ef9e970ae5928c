#!/usr/bin/env python3
"""Classify texts with an exported model: ONNX Runtime, NumPy and tokenizers are all it needs.

    pip install onnxruntime numpy tokenizers
    python predict.py student/model.onnx "a text" "another"
    python predict.py student/model.onnx "a premise" "a hypothesis"   # a model of pairs takes the two sides of one

The model carries its class names and its longest input in its metadata (a LiteRT file, which needs ai-edge-litert, beside it in
FILE.tflite.json), and its tokenizer lies beside it. This file stands alone: copy it wherever the model goes.

How a text becomes the model's input, exactly as in training: the tokenizer splits it and adds its special tokens; what
is longer than the model's longest input is cut off there, of a pair the longer side first.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import tokenizers

from ...models.exported import (
    METADATA_KEY,  # noqa: F401 - which such a module offers
    SCHEMA_VERSION,
    answer_problem,
    answers_of,
    brief,
    dimensions,
    first_line,
    metadata_of,
    names_in,
    open_model,
    printable,
    softmax,
    taken,
    whole,
)

PAIRS_VERSION = 2  # of models of pairs
BATCH = 32
FILES = False  # whether an example on the command line is the name of a file
MOST_TOKENS = 1_000_000

Text = str | tuple[str, str]


class Prediction(NamedTuple):
    """The most probable classes of a text, or of a pair, best first, with their probabilities."""

    text: Text
    classes: list[tuple[str, float]]


class Metadata(NamedTuple):
    """What an exported model says of itself."""

    name: str
    classes: tuple[str, ...]
    multi_label: bool
    max_length: int
    vocabulary: int
    tokenizer: str  # file beside the model
    pair: tuple[str, str] | None = None  # what the sides of a pair are called; None where it takes single texts
    segments: bool = False  # whether it reads segment ids


def predict(model: Path, texts: Sequence[Text], top: int = 3) -> list[Prediction]:
    """The ``top`` most probable classes of every text, or of every pair where the model takes pairs; two strings are one.

    Where a text may have several labels each class has a probability of its own, and they do not sum to 1. Raises
    ``ValueError``, with a sentence, for a model or a tokenizer that is missing or cannot be used, for an empty text, and for
    pairs where the model takes single texts, or the other way round.
    """
    if top < 1:
        raise ValueError(f"top is {top}; at least 1 class can be asked for.")
    session = open_model(model)
    metadata = read_metadata(session, model)
    texts = _arranged(texts, metadata.pair)
    for number, text in enumerate(texts, 1):
        check(text, number, metadata)
    tokenizer = open_tokenizer(Path(model).parent / metadata.tokenizer, metadata)
    predictions = []
    for start in range(0, len(texts), BATCH):
        some = list(texts[start : start + BATCH])
        inputs = model_inputs(tokenizer, some, metadata)
        logits_BC = answers_of(session, inputs, (len(some), len(metadata.classes)), model)
        probabilities_BC = sigmoid(logits_BC) if metadata.multi_label else softmax(logits_BC)
        for text, probabilities_C in zip(some, probabilities_BC):
            best = np.argsort(-probabilities_C, kind="stable")[:top]
            predictions.append(Prediction(text, [(metadata.classes[c], float(probabilities_C[c])) for c in best]))
    return predictions


def open_tokenizer(path: Path, metadata: Metadata) -> tokenizers.Tokenizer:
    """The tokenizer beside a model, cutting and padding as the model wants it."""
    if not path.is_file():
        raise ValueError(f"tokenizer {path} does not exist: it belongs beside the model; copy it there.")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the reader raises a bare Exception
        raise ValueError(f"tokenizer {path} cannot be read: copy it again. ({first_line(error)})") from error
    if tokenizer.get_vocab_size() > metadata.vocabulary:
        raise ValueError(
            f"tokenizer {path} knows {tokenizer.get_vocab_size()} tokens and the model {metadata.vocabulary}: they do not "
            "belong together; take the tokenizer that was exported with the model."
        )
    tokenizer.enable_truncation(metadata.max_length, direction=(tokenizer.truncation or {}).get("direction", "right"))
    if tokenizer.padding is None:
        tokenizer.enable_padding()
    return tokenizer


def model_inputs(tokenizer: tokenizers.Tokenizer, texts: Sequence[Text], metadata: Metadata) -> dict[str, np.ndarray]:
    """What the model is given of these texts: int64 (B, L) each."""
    if metadata.pair is None:
        encoded = tokenizer.encode_batch(list(texts))
        tokens = [(one.ids, one.attention_mask, one.type_ids) for one in encoded]
    else:
        tokens = _pairs(tokenizer, texts, metadata.max_length)
    columns = [np.array(column, dtype=np.int64) for column in zip(*tokens)]
    names = ("input_ids", "attention_mask", "token_type_ids")
    return dict(zip(names, columns if metadata.segments else columns[:2]))


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens stay of two sides that have ``room`` together: the longer one gives way until both are alike."""
    if first + second <= room:
        return first, second
    short = min(first, second, room // 2)
    return (short, room - short) if first <= second else (room - short, short)


def read_metadata(session: onnxruntime.InferenceSession, path: Path) -> Metadata:
    """What the model says of itself; ``ValueError`` where that is nothing, makes no sense, or its graph contradicts it."""
    return metadata_of(session, path, _parse_metadata, _graph_problem, unknown="classes")


def sigmoid(logits_BC: np.ndarray) -> np.ndarray:
    """A probability for each class."""
    return 1 / (1 + np.exp(-np.clip(logits_BC.astype(np.float64), -700, 700)))


def table(predictions: Sequence[Prediction]) -> str:
    """The predictions for a person: a line a text, its classes after it."""
    lines = []
    for text, classes in predictions:
        sides = [text] if isinstance(text, str) else text
        shown = " | ".join(_shortened(" ".join(side.split()), 60 // len(sides)) for side in sides)
        told = ", ".join(f"{printable(name)} {100 * probability:.1f} %" for name, probability in classes)
        lines.append(f"{printable(shown)}: {told}")
    return "\n".join(lines)


def plain(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The predictions as JSON can say them."""
    told = [[{"class": name, "probability": probability} for name, probability in one.classes] for one in predictions]
    return [{"text": one.text, "top": top} for one, top in zip(predictions, told)]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Classify texts with an exported model.")
    parser.add_argument("model", type=Path, help="an exported .onnx file, its tokenizer beside it")
    parser.add_argument("texts", nargs="+", metavar="text", help="texts; of a model of pairs the two sides of one")
    parser.add_argument("--top", type=int, default=3, help="show the N likeliest classes")
    given = parser.parse_args(arguments)
    try:
        print(table(predict(given.model, given.texts, given.top)))
    except ValueError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def _parse_metadata(value: dict[str, Any]) -> Metadata:
    version = value["schema_version"]
    if version not in (SCHEMA_VERSION, PAIRS_VERSION):
        raise ValueError(f"schema_version is {version!r}, this program reads {SCHEMA_VERSION} and {PAIRS_VERSION}")
    if value["task"] != "text-classification":
        raise ValueError(f"task is {value['task']!r}, this program does text-classification")
    given = value["input"]
    tokenizer = given["tokenizer"]
    if not isinstance(tokenizer, str) or "\0" in tokenizer or Path(tokenizer).name != tokenizer:
        raise ValueError("input.tokenizer must be the name of a file beside the model")
    metadata = Metadata(
        name=str(value.get("name", "")),
        classes=names_in(value["classes"], "classes"),
        multi_label=value["multi_label"],
        max_length=whole(given, "max_length", MOST_TOKENS),
        vocabulary=whole(given, "vocabulary", 2**31 - 1),
        tokenizer=tokenizer,
        pair=_pair(given["pair"]) if version == PAIRS_VERSION else None,
        segments="token_type_ids" in names_in(given.get("names", []), "input.names", 0),
    )
    if type(metadata.multi_label) is not bool:
        raise ValueError(f"multi_label is {brief(metadata.multi_label)}, not true or false")
    return metadata


def _pair(names: Any) -> tuple[str, str]:
    if not isinstance(names, list) or len(names) != 2:
        raise ValueError("input.pair must hold the names of two sides")
    return str(names[0]), str(names[1])


def _arranged(texts: Sequence[Text], pair: tuple[str, str] | None) -> list[Text]:
    """Texts as they are, or two strings for a model of pairs, such as stand on a command line, as its one pair."""
    if pair is None or not all(isinstance(text, str) for text in texts):
        return list(texts)
    if len(texts) != 2:
        said = f"{len(texts)} text{'s were' if len(texts) != 1 else ' was'} given, and this model takes a pair"
        raise ValueError(f"{said}: give its two sides, '{pair[0]}' and '{pair[1]}', each in quotes.")
    return [(str(texts[0]), str(texts[1]))]


def check(text: Text, number: int, metadata: Metadata) -> None:
    """``ValueError`` where it is no text, or no pair, such as the model takes; ``number`` is what it is called by."""
    if isinstance(text, str) != (metadata.pair is None):
        takes = "single texts" if metadata.pair is None else f"pairs ({', '.join(metadata.pair)})"
        given = "one text" if isinstance(text, str) else "a pair"
        raise ValueError(f"example {number} is {given}: this model takes {takes}.")
    if metadata.pair is None or isinstance(text, str):
        if not str(text).strip():
            raise ValueError(f"text {number} is empty: give a text with something in it.")
    elif empty := [name for name, side in zip(metadata.pair, text, strict=True) if not side.strip()]:
        raise ValueError(f"'{empty[0]}' is empty: give a text with something in it.")


def _pairs(
    tokenizer: tokenizers.Tokenizer, texts: Sequence[Text], max_length: int
) -> list[tuple[list[int], list[int], list[int]]]:
    """Ids, mask and segment ids of pairs, cut off here: the tokenizer would make every combination of what it cut from
    either side, and where both are long that fills the memory."""
    truncation, padding = tokenizer.truncation or {}, tokenizer.padding or {}
    last = truncation.get("direction") == "left"
    tokenizer.no_truncation()
    tokenizer.no_padding()
    uncut = tokenizer.encode_batch(list(texts))
    tokenizer.enable_truncation(**truncation)  # the next batch is cut and filled alike
    tokenizer.enable_padding(**padding)
    rows = []
    for one in uncut:
        places = [[at for at, side in enumerate(one.sequence_ids) if side == number] for number in (0, 1)]
        room = max(0, max_length - (len(one) - len(places[0]) - len(places[1])))
        stay = longest_first(len(places[0]), len(places[1]), room)
        gone = {at for here, n in zip(places, stay) for at in (here[: len(here) - n] if last else here[n:])}
        kept = [at for at in range(len(one)) if at not in gone]
        rows.append(([one.ids[at] for at in kept], [1] * len(kept), [one.type_ids[at] for at in kept]))
    longest = max(len(ids) for ids, _, _ in rows)
    fill = (padding.get("pad_id", 0), 0, padding.get("pad_type_id", 0))

    def padded(values: list[int], by: int) -> list[int]:
        more = [by] * (longest - len(values))
        return more + values if padding.get("direction") == "left" else values + more

    return [tuple(padded(column, by) for column, by in zip(row, fill)) for row in rows]  # type: ignore[misc]


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _graph_problem(session: onnxruntime.InferenceSession, metadata: Metadata) -> str | None:
    """What the graph takes or answers otherwise than the metadata says."""
    takes = session.get_inputs()
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if metadata.segments else [])]
    ids = all(one.type == "tensor(int64)" and len(one.shape) == 2 for one in takes)
    if not ids or sorted(one.name for one in takes) != sorted(names):
        return f"takes {taken(session)}; {', '.join(names)} are needed, each tensor(int64) (batch, length)"
    if any(isinstance(side, int) for one in takes for side in one.shape):
        return f"takes texts of {dimensions(takes[0].shape)}, where any number and any length are needed"
    return answer_problem(session, len(metadata.classes))


if __name__ == "__main__":
    sys.exit(main())
