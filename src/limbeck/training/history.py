"""The story of a training run, one record an epoch, on disk."""

from __future__ import annotations

import json
from pathlib import Path

from ..files import write_json
from ..sections.train import Train


def score(record: dict[str, float], plan: Train) -> list[float]:
    """What an epoch is kept for, where the best is: its accuracy, or with ``patience`` alone its loss; more is better."""
    accuracy, nll = record["validation_accuracy"], record["validation_nll"]
    return [accuracy, -nll] if plan.keep == "best" else [-nll, accuracy]


def kept(history: list[dict[str, float]], plan: Train) -> dict[str, float]:
    """The record of the epoch whose weights a training kept; the first of equals."""
    if plan.keep == "last" and plan.patience is None:
        return history[-1]
    return max(history, key=lambda record: score(record, plan))


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """Writes ``history.json`` atomically."""
    write_json(folder / "history.json", history)


def read_history(folder: Path) -> list[dict[str, float]]:
    """What :func:`write_history` wrote."""
    return json.loads((folder / "history.json").read_text(encoding="utf-8"))
