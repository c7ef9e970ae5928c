#!/usr/bin/env python3
"""Tell which word or sound was recorded, or write down what was said, with an exported model: ONNX Runtime and NumPy are all it needs.

    pip install onnxruntime numpy
    python predict.py student.onnx hello.wav
    python predict.py student.onnx hello.wav --beam 8
    python predict.py student.onnx --stream hour.wav

The model carries the names of its classes or symbols and what it takes in its metadata; nothing else has to be said. This file stands
alone: copy it wherever the model goes.

How a WAV file (8, 16, 24 or 32 bits, or floats) becomes the model's input, exactly as in training: its channels are averaged; it is brought to
the model's rate where it has another (`input.rate`); and where the model hears a window (`input.samples`), a shorter sound is put in the
middle of silence, and of a longer one the middle is taken. What frequencies are in it the model finds itself.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

from ...models.exported import (
    METADATA_KEY,  # noqa: F401 - which such a module offers
    SCHEMA_VERSION,
    answer_problem,
    answers_of,
    brief,
    metadata_of,
    names_in,
    open_model,
    printable,
    softmax,
    taken,
    whole,
)
from .stream import CausalFrames, CausalMean, Frames, Letters, Sliding, Words
from .symbols import beam, path_of
from .wav import read_sound, window

BATCH = 64
FILES = True  # whether an example on the command line is the name of a file
MOST_SAMPLES = 100_000_000
BLOCK_MS, EVERY_MS = 20, 100  # of a stream: what comes at a time, and how often a model is asked


class Prediction(NamedTuple):
    """A sound's most probable classes, best first, with their probabilities; or what was said, likeliest first, with the natural logarithm of
    its probability where it was searched for."""

    sound: Path
    classes: list[tuple[str, float]]
    texts: tuple[tuple[str, float | None], ...] = ()


class Metadata(NamedTuple):
    """What an exported model says of itself: what it takes and what its outputs mean."""

    name: str
    task: str
    classes: tuple[str, ...]  # or symbols, of which the first is the blank
    rate: int
    samples: int | None  # of its window; None: any number
    frames: Frames | None = None  # of a model that hears no future

    @property
    def writes(self) -> bool:
        """Whether it says symbols of frames."""
        return self.task == "automatic-speech-recognition"


def predict(model: Path, sounds: Sequence[Path | str], top: int = 3, width: int = 0) -> list[Prediction]:
    """The ``top`` most probable classes of every sound, which are WAV files, or what was said in it.

    ``width``: of the search among what may have been said, which then gives ``top`` texts; 0: the likeliest path alone.

    Raises ``ValueError``, with a sentence, for a model or a sound that is missing or cannot be used.
    """
    if top < 1:
        raise ValueError(f"top is {top}; at least 1 can be asked for.")
    if width < 0:
        raise ValueError(f"beam is {width}; it is how many texts are searched among, or 0 for the likeliest path.")
    session = open_model(model)
    metadata = read_metadata(session, model)
    heard = [read_sound(sound, metadata.rate) for sound in sounds]
    return [
        Prediction(Path(sound), [], said_in(logits, metadata, top, width))
        if metadata.writes
        else Prediction(Path(sound), likeliest(logits, metadata, top))
        for sound, logits in zip(sounds, answers_to(session, metadata, heard, model), strict=True)
    ]


def answers_to(session: Any, metadata: Metadata, heard: Sequence[np.ndarray], model: Path) -> list[np.ndarray]:
    """Logits (C,) of each sound, or of its frames (L, V). ``ValueError`` as :func:`answers_of`."""
    name, classes = session.get_inputs()[0].name, len(metadata.classes)
    if metadata.writes:
        return [answers_of(session, {name: one[None]}, (1, None, classes), model)[0] for one in heard]
    assert metadata.samples is not None
    inputs = [window(one, metadata.samples) for one in heard]
    parts = [np.stack(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)]
    return [one for x in parts for one in answers_of(session, {name: x}, (len(x), classes), model)]


def likeliest(logits_C: np.ndarray, metadata: Metadata, top: int) -> list[tuple[str, float]]:
    """The most probable classes, best first."""
    shares_C = softmax(logits_C[None])[0]
    best = np.argsort(-shares_C, kind="stable")[:top]
    return [(metadata.classes[c], float(shares_C[c])) for c in best]


def said_in(logits_LV: np.ndarray, metadata: Metadata, top: int, width: int) -> tuple[tuple[str, float | None], ...]:
    """What was said, as text."""
    if not width:
        return (("".join(metadata.classes[v] for v, _ in path_of(logits_LV)).strip(), None),)
    found = beam(logits_LV, width)[:top]
    return tuple(("".join(metadata.classes[v] for v in symbols).strip(), score) for symbols, score in found)


def stream(model: Path, sound: Path, threshold: float = 0.8, tell: Any = print) -> dict[str, float]:
    """Feeds a WAV file to a model in blocks of 20 ms, and tells what it says as it says it.

    Returns the ``seconds`` of sound, the seconds that the model and this program ``took``, and the latter's ``share`` of the former.

    Raises ``ValueError`` as :func:`predict`, and where the model has to hear a sound whole.
    """
    session = open_model(model, threads=1)
    metadata = read_metadata(session, model)
    heard_S = read_sound(sound, metadata.rate)
    feeding, wording = streamed(session, metadata, model, threshold)
    block = max(1, metadata.rate * BLOCK_MS // 1000)
    took, line = 0.0, ""
    for start in range(0, len(heard_S), block):
        began = time.perf_counter()
        last = start + block >= len(heard_S)
        logits = feeding.feed(heard_S[start : start + block], last=last)
        new = "" if logits is None else wording.of(logits)
        took += time.perf_counter() - began
        if not metadata.writes and new:
            tell(f"{min(start + block, len(heard_S)) / metadata.rate:8.2f} s  {printable(new)}")
        line += new if metadata.writes else ""
        while metadata.writes and (" " in line.lstrip() or (last and line.strip())):
            word, _, line = line.lstrip().partition(" ")
            tell(f"{min(start + block, len(heard_S)) / metadata.rate:8.2f} s  {printable(word)}")
    seconds = len(heard_S) / metadata.rate
    return {"seconds": seconds, "took": took, "share": took / seconds}


def streamed(session: Any, metadata: Metadata, model: Path, threshold: float = 0.8) -> tuple[Any, Any]:
    """What is fed with blocks and answers with logits, and what makes words of these. ``ValueError`` for a model that has to hear all."""
    name, classes = session.get_inputs()[0].name, len(metadata.classes)
    every = max(1, metadata.rate * EVERY_MS // 1000)

    def ask(samples_S: np.ndarray) -> np.ndarray:
        shape = (1, None, classes) if metadata.writes else (1, classes)
        return answers_of(session, {name: samples_S[None]}, shape, model)[0]

    if metadata.frames is not None:
        at_once = max(1, every // metadata.frames.every)
        if metadata.writes:
            return CausalFrames(ask, metadata.frames, at_once), Letters(metadata.classes)
        assert metadata.samples is not None
        frames = max(0, metadata.samples - metadata.frames.first) // metadata.frames.every + 1
        return CausalMean(ask, metadata.frames, at_once, frames), Words(metadata.classes, threshold)
    if metadata.writes or metadata.samples is None:
        raise ValueError(
            f"model {model} hears a sound whole, the end with the beginning, so it cannot be asked as sound comes: train a student "
            "with causal: true, or leave out --stream."
        )
    return Sliding(ask, metadata.samples, every), Words(metadata.classes, threshold)


def read_metadata(session: onnxruntime.InferenceSession, path: Path) -> Metadata:
    """What the model says of itself; ``ValueError`` where that is nothing, makes no sense, or its graph contradicts it."""
    return metadata_of(session, path, parse_metadata, _graph_problem, unknown="classes and rate")


def parse_metadata(value: dict[str, Any]) -> Metadata:
    """What a file says of itself; ``KeyError``, ``TypeError`` or ``ValueError`` where it makes no sense."""
    if value["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {value['schema_version']!r}, this program reads {SCHEMA_VERSION}")
    task = value["task"]
    if task not in ("audio-classification", "automatic-speech-recognition"):
        raise ValueError(
            f"task is {brief(task)}, this program does audio-classification and automatic-speech-recognition"
        )
    given = value["input"]
    writes = task == "automatic-speech-recognition"
    return Metadata(
        name=str(value.get("name", "")),
        task=task,
        classes=names_in(value["classes"], "classes"),
        rate=whole(given, "rate", 1_000_000),
        samples=None if writes else whole(given, "samples", MOST_SAMPLES),
        frames=_parted(given["causal"]) if "causal" in given else None,
    )


def table(predictions: Sequence[Prediction]) -> str:
    """The predictions for a person to read, one sound a block; names cannot steer the terminal."""
    lines = []
    for prediction in predictions:
        lines.append(printable(str(prediction.sound)))
        lines += [f"  {probability:7.2%}  {printable(name)}" for name, probability in prediction.classes]
        lines += [
            f"  {printable(text)}" if score is None else f"  {score:8.2f}  {printable(text)}"
            for text, score in prediction.texts
        ]
    return "\n".join(lines)


def plain(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The predictions as JSON can say them."""
    return [
        {
            "sound": str(sound),
            "text": texts[0][0],
            **({} if texts[0][1] is None else {"texts": [{"text": one, "log_probability": p} for one, p in texts]}),
        }
        if texts
        else {"sound": str(sound), "top": [{"class": name, "probability": share} for name, share in classes]}
        for sound, classes, texts in predictions
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: prints each sound's classes or words; 2 where the model or a sound cannot be used."""
    parser = argparse.ArgumentParser(
        description="Tell which word or sound was recorded, or write down what was said, with an exported model.",
        epilog="example: python %(prog)s student.onnx hello.wav --top 5",
    )
    parser.add_argument("model", type=Path, help="the exported .onnx file")
    parser.add_argument("sounds", type=Path, nargs="+", help="WAV files")
    parser.add_argument("--top", type=int, default=3, help="how many classes or texts to name, best first (default: 3)")
    parser.add_argument(
        "--beam", type=int, default=0, help="search among so many texts; 0: the likeliest path (default)"
    )
    parser.add_argument("--stream", action="store_true", help="feed one WAV file in blocks of 20 ms instead")
    parser.add_argument(
        "--threshold", type=float, default=0.8, help="of a stream: from which probability a word is told (default: 0.8)"
    )
    given = parser.parse_args(arguments)
    try:
        if not given.stream:
            print(table(predict(given.model, given.sounds, given.top, given.beam)))
        else:
            if len(given.sounds) > 1:
                raise ValueError(f"--stream feeds one WAV file, and {len(given.sounds)} were given.")
            cost = stream(given.model, given.sounds[0], given.threshold)
            print(f"{cost['seconds']:.2f} s of sound in {cost['took']:.3f} s: real-time factor {cost['share']:.4f}")
    except ValueError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def _graph_problem(session: Any, metadata: Metadata) -> str | None:
    """What the graph takes or answers otherwise than the metadata says."""
    takes = session.get_inputs()
    if len(takes) != 1 or takes[0].type != "tensor(float)" or len(takes[0].shape) != 2:
        return f"takes {taken(session)}; one input of sounds is needed, tensor(float) (batch, samples)"
    batch, samples = takes[0].shape
    if isinstance(batch, int):
        return f"takes exactly {batch} sound(s) at a time, where any number is needed"
    if isinstance(samples, int) and samples != metadata.samples:
        return f"takes {samples} samples, but its metadata speaks of {metadata.samples or 'any number'}"
    return answer_problem(session, len(metadata.classes), 3 if metadata.writes else 2)


def _parted(given: Any) -> Frames:
    if not isinstance(given, dict):
        raise ValueError(f"input.causal is {brief(given)}, not a section of numbers")
    before = given["before"]
    if type(before) is not int or not 0 <= before <= MOST_SAMPLES:
        raise ValueError(f"input.causal.before is {brief(before)}; it must be a whole number from 0 on")
    return Frames(whole(given, "every", MOST_SAMPLES), whole(given, "first", MOST_SAMPLES), before)


if __name__ == "__main__":
    sys.exit(main())
