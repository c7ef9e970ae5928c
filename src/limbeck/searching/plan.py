"""What a search would do: its space, how many students, what its budget is, and what of it is there already. No torch."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import BadInput, shown
from ..pipeline.before import Before
from ..pipeline.stages import check_free, finished_in
from ..recipe.read import resolved_yaml
from ..sections.recipe import Recipe
from ..sections.search import Search, seconds_of
from .budget import fits
from .candidates import recipe_with
from .dimensions import ASSISTANT, TEACHER, VIEWS, Space
from .precision import formats_in, key_of, with_precision
from .rungs import rung_epochs
from .space import control_space, space_of
from .trials import Trial

ARMS = {"student": "with a teacher", "baseline": "without one"}
# How many are tried, and what is done with them afterwards, may change from one command to the next.
MAY_CHANGE = ("name", "seeds", "search.trials", "search.time", "search.finalists", "search.keep")
JOURNALS = {"student": "journal.log", "baseline": "control.log"}


@dataclass(frozen=True)
class Plan:
    """What a search would do.

    Attributes:
        space: what varies.
        control: what varies where the same student has no teacher.
        search: how many trials, which budget.
        stores: how many sets of soft targets the choices of teachers, assistants and views come to.
        formats: in which students are deployed.
        epochs: of a student in full, the fewest and the most.
        rungs: the epochs after which the weak stop, of a student with the most.
        trained: students that the finalists come to, over all seeds, controls among them.
        there: finished stages of the folder, by their name.
        tried: trials of each arm whose fate is known.
        measured: costs that are known, by architecture.
        seconds: about what the trials that are left take, were all of them trained in full; None where nothing is known.
    """

    space: Space
    control: Space
    search: Search
    stores: int
    formats: tuple[str, ...]
    epochs: tuple[int, int]
    rungs: tuple[int, ...]
    trained: int
    there: Mapping[str, int]
    tried: Mapping[str, list[Trial]]
    measured: Mapping[str, Mapping[str, Any]]
    seconds: float | None

    @property
    def within(self) -> int:
        """How many of the measured architectures fit the budget."""
        return sum(fits(cost, self.search.budget) for cost in self.measured.values())


def check_folder(out: Path, recipe: Recipe) -> None:
    """Raises :class:`limbeck.errors.BadInput` where a search's folder would be a file, or holds a run, or another search, or what else."""
    check_free(out)
    if (out / "recipe.yaml").is_file() and not (out / "search").is_dir():
        raise BadInput(
            f"{out} is the folder of a run, and a search has a folder of its own: choose another with --out."
        )
    if otherwise := _set_otherwise(recipe, out / "search.recipe.yaml"):
        raise BadInput(f"{out} holds another search: {otherwise}. Choose another folder with --out, or empty this one.")


def plan(recipe: Recipe, out: Path) -> Plan:
    """Looks at the recipe and the search's folder; reads no data, builds no model, writes nothing.

    Raises :class:`limbeck.errors.BadInput` where the space is refused, or the folder holds something else.
    """
    recipe = with_precision(recipe)
    check_folder(out, recipe)
    search, space = recipe.search or Search(), space_of(recipe)
    base = recipe_with(recipe, {})
    knobs = [one.knob for one in space.dimensions if one.name == "train.epochs"]
    numbers = [one for knob in knobs for one in (knob.choices if knob.kind == "list" else (knob.low, knob.high))]
    epochs = [int(one) for one in numbers if one is not None] or [base.train.epochs]
    choices = {one.name: one.knob.choices for one in space.dimensions if one.name in (TEACHER, VIEWS, ASSISTANT)}
    assistants = sum(one is not None for one in choices.pop(ASSISTANT, (base.assistant,)))
    tried = {arm: _tried(out / "search" / name, arm) for arm, name in JOURNALS.items()}
    return Plan(
        space=space,
        control=control_space(space, recipe),
        search=search,
        stores=math.prod(len(one) for one in choices.values()) * (1 + assistants),
        formats=formats_in(recipe),
        epochs=(min(epochs), max(epochs)),
        rungs=rung_epochs(search.rungs, max(epochs)),
        trained=search.finalists * recipe.seeds * (3 if recipe.smoothed else 2),
        there=Counter(folder.parent.name for folder, _ in finished_in(out)),
        tried=tried,
        measured=dict(_measured(tried)),
        seconds=_seconds(base, search, tried, out),
    )


def _tried(journal: Path, arm: str) -> list[Trial]:
    if not journal.is_file():  # a plan in a new folder does not wait for Optuna
        return []
    from .journal import trials_in

    return trials_in(journal, arm)


def _set_otherwise(recipe: Recipe, file: Path) -> str:
    """Which field the search that wrote this file has otherwise, and how; empty where it is of the same recipe, or wrote none yet."""
    if not file.is_file():
        return ""
    try:
        there, here = (_fields(yaml.safe_load(one)) for one in (file.read_text("utf-8"), resolved_yaml(recipe)))
    except (
        yaml.YAMLError,
        UnicodeDecodeError,
        AttributeError,
    ):  # it is not read by a search, and written anew by the next
        return ""
    paths = sorted(
        {**here, **there}, key=lambda path: not path.startswith("search.")
    )  # what was asked, then what it leads to
    for path in paths:
        if there.get(path) != here.get(path):
            return f"{path} is {shown(there.get(path))} there, and {shown(here.get(path))} here"
    return ""


def _fields(values: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """Values by the path of their field, without those that one search may have otherwise from one command to the next."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{within}{name}"
        if isinstance(value, Mapping) and value:
            found |= _fields(value, f"{path}.")
        elif path not in MAY_CHANGE:
            found[path] = value or None if isinstance(value, Mapping) else value
    return found


def _measured(tried: Mapping[str, list[Trial]]) -> Iterator[tuple[str, dict[str, float]]]:
    for trials in tried.values():
        for one in trials:
            if one.cost:
                named = None if one.architecture is None else key_of(one.architecture, one.format)
                yield named or json.dumps(one.values, sort_keys=True), one.cost


def _seconds(base: Recipe, search: Search, tried: Mapping[str, list[Trial]], out: Path) -> float | None:
    """By the trials that were trained; else, were each the recipe's own student, by an earlier run of that recipe."""
    left = sum(max(0, search.trials - sum(one.seconds > 0 for one in trials)) for trials in tried.values())
    taken = [one.seconds for trials in tried.values() for one in trials if one.seconds > 0]
    if taken:
        known: float | None = left * sum(taken) / len(taken)
    else:
        model = {"name": base.student.model, "knobs": base.student.knobs}
        before = Before(out.parent / str(base.name))
        each = before.training("student", model, base.train.model_dump(mode="json"))[0]
        known = None if each is None else left * each
    if known is None or search.time is None:
        return known
    return min(known, seconds_of(search.time))
