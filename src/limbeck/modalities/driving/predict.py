#!/usr/bin/env python3
"""Tell what an exported driver does in a state, or let it drive: ONNX Runtime and NumPy are all it needs, and the simulator to drive in.

    pip install onnxruntime numpy
    python predict.py student.onnx 1,0.9,0.3,0.3,0,1,0.1,0,-0.05,0,...

    pip install gymnasium highway-env
    python predict.py student.onnx --drive 7

A state is the observation of the simulator that the driver was made for, row after row, as numbers with commas between them. The model
carries in its metadata what its actions are called and how many numbers a state has. This file stands alone: copy it wherever the model goes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
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
    first_line,
    metadata_of,
    names_in,
    open_model,
    printable,
    softmax,
    taken,
    whole,
)

BATCH = 256
FILES = False  # whether an example on the command line is the name of a file
MOST_NUMBERS = 1_000_000


class Prediction(NamedTuple):
    """The likeliest actions in a state, best first, with their probabilities."""

    state: str
    actions: list[tuple[str, float]]


class Metadata(NamedTuple):
    """What an exported model says of itself: what it takes and what its outputs mean."""

    name: str
    task: str
    classes: tuple[str, ...]  # its actions
    numbers: int  # of a state
    environment: str
    settings: dict[str, Any]  # of it, where they are not its own


class Outcome(NamedTuple):
    """How an episode went."""

    decisions: int
    reward: float
    speed: float  # mean, metres a second
    crashed: bool


def predict(model: Path, states: Sequence[str], top: int = 3) -> list[Prediction]:
    """The ``top`` likeliest actions in every state.

    Raises ``ValueError``, with a sentence, for a model or a state that is missing or cannot be used.
    """
    if top < 1:
        raise ValueError(f"top is {top}; at least 1 can be asked for.")
    session = open_model(model)
    metadata = read_metadata(session, model)
    given_NF = np.stack([read_state(one, metadata.numbers) for one in states])
    name = session.get_inputs()[0].name
    parts = [given_NF[start : start + BATCH] for start in range(0, len(given_NF), BATCH)]
    logits_NA = np.concatenate([answers_of(session, {name: x}, (len(x), len(metadata.classes)), model) for x in parts])
    found = []
    for state, shares_A in zip(states, softmax(logits_NA), strict=True):
        best = np.argsort(-shares_A, kind="stable")[:top]
        found.append(Prediction(state, [(metadata.classes[a], float(shares_A[a])) for a in best]))
    return found


def drive(model: Path, seed: int) -> Outcome:
    """One episode of the simulator from a seed, in the environment that the driver was made for.

    Raises ``ValueError`` as :func:`predict`, and where the simulator is not installed, or has no such environment.
    """
    session = open_model(model, threads=1)
    metadata = read_metadata(session, model)
    if not metadata.environment:
        raise ValueError(f"model {model} was made of states that no environment is known of: give a state.")
    try:
        gymnasium, _ = import_module("gymnasium"), import_module("highway_env")  # which nothing else here needs
    except ModuleNotFoundError as missing:
        raise ValueError(f"to drive needs {missing.name}: pip install gymnasium highway-env.") from None
    try:
        env = gymnasium.make(metadata.environment, config=metadata.settings)
    except Exception as error:  # of gymnasium's own kinds
        raise ValueError(f"there is no environment {brief(metadata.environment)} ({first_line(error)}).") from error
    name, actions = session.get_inputs()[0].name, len(metadata.classes)
    observation, _ = env.reset(seed=seed)
    reward, speeds, ended, crashed = 0.0, [], False, False
    while not ended:
        state_F = np.asarray(observation, np.float32).reshape(1, -1)
        if state_F.shape[1] != metadata.numbers:
            raise ValueError(f"the environment shows {state_F.shape[1]} numbers; the model takes {metadata.numbers}.")
        action = int(answers_of(session, {name: state_F}, (1, actions), model)[0].argmax())
        observation, gained, terminated, truncated, info = env.step(action)
        reward, ended, crashed = reward + float(gained), terminated or truncated, bool(info["crashed"])
        speeds.append(float(info["speed"]))
    return Outcome(len(speeds), reward, sum(speeds) / len(speeds), crashed)


def read_state(text: str, numbers: int) -> np.ndarray:
    """A state (F,) float32; ``ValueError`` where it is none, or of another size."""
    try:
        state_F = np.array([float(one) for one in text.replace(";", ",").split(",")], np.float32)
    except ValueError:
        raise ValueError(f"state {brief(text)} is no list of numbers with commas between them.") from None
    if len(state_F) != numbers:
        raise ValueError(f"state {brief(text)} has {len(state_F)} number(s); the model takes {numbers}.")
    if not np.isfinite(state_F).all():
        raise ValueError(f"state {brief(text)} has a number that is not finite.")
    return state_F


def read_metadata(session: onnxruntime.InferenceSession, path: Path) -> Metadata:
    """What the model says of itself; ``ValueError`` where that is nothing, makes no sense, or its graph contradicts it."""
    return metadata_of(session, path, parse_metadata, _graph_problem, unknown="actions")


def parse_metadata(value: dict[str, Any]) -> Metadata:
    """What a file says of itself; ``KeyError``, ``TypeError`` or ``ValueError`` where it makes no sense."""
    if value["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {value['schema_version']!r}, this program reads {SCHEMA_VERSION}")
    if value["task"] != "control":
        raise ValueError(f"task is {brief(value['task'])}, this program does control")
    return Metadata(
        name=str(value.get("name", "")),
        task="control",
        classes=names_in(value["classes"], "classes"),
        numbers=whole(value["input"], "numbers", MOST_NUMBERS),
        environment=str(value["input"]["environment"]),
        settings=dict(value["input"]["settings"]),
    )


def table(predictions: Sequence[Prediction]) -> str:
    """The predictions for a person to read, one state a block; names cannot steer the terminal."""
    lines = []
    for prediction in predictions:
        lines.append(printable(brief(prediction.state)))
        lines += [f"  {probability:7.2%}  {printable(name)}" for name, probability in prediction.actions]
    return "\n".join(lines)


def plain(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The predictions as JSON can say them."""
    return [
        {"state": state, "top": [{"class": name, "probability": share} for name, share in actions]}
        for state, actions in predictions
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: prints what is done in each state; 2 where the model or a state cannot be used."""
    parser = argparse.ArgumentParser(
        description="Tell what an exported driver does in a state, or let it drive.",
        epilog="example: python %(prog)s student.onnx 1,0.9,0.3,0.3,0,...",
    )
    parser.add_argument("model", type=Path, help="the exported .onnx file")
    parser.add_argument("states", nargs="*", help="numbers with commas between them")
    parser.add_argument("--drive", type=int, metavar="SEED", help="drive an episode of the simulator instead")
    parser.add_argument("--top", type=int, default=3, help="how many actions to name, likeliest first (default: 3)")
    given = parser.parse_args(arguments)
    if (given.drive is None) == (not given.states):
        parser.error("give states, or a seed to --drive from")
    try:
        if given.drive is None:
            print(table(predict(given.model, given.states, given.top)))
        else:
            outcome = drive(given.model, given.drive)
            ended = "a crash" if outcome.crashed else "its time"
            print(
                f"{outcome.decisions} decisions, ended by {ended}; reward {outcome.reward:.2f}, {outcome.speed:.1f} m/s"
            )
    except ValueError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def _graph_problem(session: Any, metadata: Metadata) -> str | None:
    """What the graph takes or answers otherwise than the metadata says."""
    takes = session.get_inputs()
    if len(takes) != 1 or takes[0].type != "tensor(float)" or len(takes[0].shape) != 2:
        return f"takes {taken(session)}; one input of states is needed, tensor(float) (batch, numbers)"
    batch, numbers = takes[0].shape
    if isinstance(batch, int):
        return f"takes exactly {batch} state(s) at a time, where any number is needed"
    if isinstance(numbers, int) and numbers != metadata.numbers:
        return f"takes {numbers} numbers, but its metadata speaks of {metadata.numbers}"
    return answer_problem(session, len(metadata.classes))


if __name__ == "__main__":
    sys.exit(main())
