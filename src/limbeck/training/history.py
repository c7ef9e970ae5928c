"""The story of a training run, one record an epoch, on disk."""

from __future__ import annotations

import json
from pathlib import Path

from ..files import write_json


def write_history(folder: Path, history: list[dict[str, float]]) -> None:
    """Writes ``history.json`` atomically."""
    write_json(folder / "history.json", history)


def read_history(folder: Path) -> list[dict[str, float]]:
    """What :func:`write_history` wrote."""
    return json.loads((folder / "history.json").read_text(encoding="utf-8"))
