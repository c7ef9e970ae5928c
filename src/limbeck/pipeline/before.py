"""What stages of a run's folder took when they were made, and what others of their kind will take by that. No torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..sections.recipe import Recipe
from .stages import finished_in


@dataclass(frozen=True)
class Made:
    """A finished stage: what it was made of, what is said of it, and what it took."""

    ingredients: dict[str, Any]
    facts: dict[str, Any]
    folder: Path

    @property
    def seconds(self) -> float | None:
        """From when it was begun to when it was finished; a training's own where it says so."""
        if isinstance(told := self.facts.get("seconds"), int | float):
            return float(told)
        try:
            begun, done = (self.folder / name for name in ("ingredients.json", "done.json"))
            took = done.stat().st_mtime - begun.stat().st_mtime
        except OSError:
            return None
        return took if took > 0.01 else None  # a copy has other times

    @property
    def bytes(self) -> int:
        """What it takes on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


class Before:
    """The finished stages of a run's folder."""

    def __init__(self, out: Path) -> None:
        self._made: dict[str, list[Made]] = {}
        for folder, done in finished_in(out):
            try:
                ingredients = json.loads((folder / "ingredients.json").read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError):
                continue
            if isinstance(ingredients, dict):
                self._made.setdefault(folder.parent.name, []).append(Made(ingredients, done["facts"], folder))

    def training(self, name: str, model: dict[str, Any], train: dict[str, Any]) -> tuple[float | None, int | None]:
        """Seconds and bytes of one training of a model: those of the same model by its epochs; None where there was none.

        Where ``train`` says None of its epochs, as many as then.
        """
        found = [one for one in self._made.get(name, ()) if one.ingredients.get("model") == model]
        alike = [one for one in found if one.ingredients["train"].get("batch_size") == train["batch_size"]]
        for one in reversed(alike or found):
            if one.seconds is not None:
                before = one.ingredients["train"]["epochs"]
                return one.seconds * (train["epochs"] or before) / before, one.bytes
        return None, None

    def targets(self, recipe: Recipe) -> tuple[float | None, int | None]:
        """Seconds and bytes of the soft targets, by views, from others of this run."""
        for one in reversed(self._made.get("targets", ())):
            views, seconds = one.ingredients.get("count"), one.seconds
            if isinstance(views, int) and views and seconds is not None:
                share = (1 if recipe.asked_once else recipe.targets.views) / views
                return seconds * share, round(one.bytes * share)
        return None, None

    def other(self, name: str) -> float | None:
        """Seconds of an evaluation, an export or a report, as the last one took."""
        made = self._made.get(name)
        return made[-1].seconds if made else None
