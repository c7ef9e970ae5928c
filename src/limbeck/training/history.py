"""The story of a training run, one record an epoch, on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..evaluation.figure import Figure
from ..files import write_json
from ..sections.train import Train


def field(figure: Figure) -> str:
    """What a record calls a figure over the validation split: ``validation_accuracy``."""
    return f"validation_{figure.name}"


def reached(record: dict[str, float], figures: Sequence[Figure]) -> list[float]:
    """What models are chosen by, then their loss: the first two ``figures`` of a record, each so that more is better."""
    return [figure.sign * record[field(figure)] for figure in figures[:2]]


def score(record: dict[str, float], plan: Train, figures: Sequence[Figure]) -> list[float]:
    """What an epoch is kept for, where the best is: the first of ``figures``, or with ``patience`` alone its loss; more is better."""
    first, loss = reached(record, figures)
    return [first, loss] if plan.keep == "best" else [loss, first]


def kept(history: list[dict[str, float]], plan: Train, figures: Sequence[Figure]) -> dict[str, float]:
    """The record of the epoch whose weights a training kept; the first of equals. ``figures`` are the kind's."""
    if plan.keep == "last" and plan.patience is None:
        return history[-1]
    return max(history, key=lambda record: score(record, plan, figures))


def ended(history: list[dict[str, float]], plan: Train, figures: Sequence[Figure]) -> bool:
    """Whether a training is at its end: all its epochs done, or its patience out. ``figures`` are the kind's."""
    if plan.patience is None or not history:
        return len(history) >= plan.epochs
    loss = figures[1]
    losses = [-loss.sign * record[field(loss)] for record in history]
    return len(history) >= plan.epochs or len(losses) - 1 - losses.index(min(losses)) >= plan.patience


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """Writes ``history.json`` atomically."""
    write_json(folder / "history.json", history)


def read_history(folder: Path) -> list[dict[str, float]]:
    """What :func:`write_history` wrote."""
    return json.loads((folder / "history.json").read_text(encoding="utf-8"))
