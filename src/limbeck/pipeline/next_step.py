"""What to do about what a diagnosis found: a command that keeps what is finished, or what to change in a Python call. No torch"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from ..evaluation import diagnosis
from ..evaluation.diagnosis import Finding
from ..modalities import part_of
from ..objectives.catalogue import CATALOGUE
from ..objectives.catalogue.settings import Kind
from ..sections.knob import Knob
from ..sections.recipe import Recipe
from ..sections.section import Section
from ..sections.targets import Targets
from ..sections.train import Train

_MORE = 4
"""How many times the epochs, or the views, where there were too few."""
_SIZES = ("width", "hidden")
_OTHER = {diagnosis.COLD: "higher", diagnosis.HOT: "lower"}
_VARIED = {
    "classes": {"views.shift": 0.1, "views.drop": 0.1},  # of images, and of texts
    # a number may change where a picture moves, and seldom where it is a little brighter
    "values": {"views.color.brightness": 0.2},
}


@dataclass(frozen=True)
class Step:
    """What to do next.

    Attributes:
        how: ``run`` the recipe again with ``settings``; ``search`` for a student; ``do`` what ``text`` says.
        settings: ``section.field=value`` each, as ``limbeck run --set`` takes them.
    """

    how: Literal["run", "search", "do"]
    settings: tuple[str, ...] = ()
    text: str = ""

    def said(self, run: Path) -> str:
        """It as a person is told it, of the run in that folder: a command to paste, or a sentence."""
        recipe = shlex.quote(str(run / "recipe.yaml"))
        if self.how == "do":
            return self.text
        if self.how == "search":
            return f"limbeck search {recipe}"
        changes = " ".join(f"--set {shlex.quote(one)}" for one in self.settings)
        return f"limbeck run {recipe} --out {shlex.quote(str(run))} {changes}"


def next_step(recipe: Recipe, finding: Finding, kind: str, epochs: int, *, in_python: bool) -> Step | None:
    """What to do about a finding; None where there is nothing to mend.

    ``kind`` is that of the answers, ``epochs`` how many the student was trained for, which is less than the recipe's where
    it was stopped early; ``in_python``: the run was made by :func:`limbeck.distill`, so that there is no recipe to run.
    """
    if finding.kind == diagnosis.KEPT:
        return None
    if in_python:
        return Step("do", text=_in_call(recipe, finding, kind, epochs))
    if changes := _changes(recipe, finding, kind, epochs):
        return Step("run", tuple(changes))
    if finding.kind == diagnosis.WEAK:
        return Step(
            "do", text="name a better teacher, or more of them (teacher.ensemble): this one is not trained here."
        )
    if finding.kind == diagnosis.DATA:
        return Step("do", text="give more examples; the student needs no labels for them (data.transfer).")
    return Step("search")


def _changes(recipe: Recipe, finding: Finding, kind: str, epochs: int) -> list[str]:
    if finding.kind == diagnosis.SMALL:
        return _larger(recipe)
    if finding.kind == diagnosis.STEPS:
        stopped = recipe.train.patience is not None and epochs < recipe.train.epochs
        return [f"train.epochs={_MORE * recipe.train.epochs}", *(["train.patience=null"] if stopped else [])]
    if finding.kind in (diagnosis.COLD, diagnosis.HOT) and finding.temperature is not None:
        return [f"objective.{name}.temperature={finding.temperature:g}" for name in _softening(recipe)]
    if finding.kind == diagnosis.DATA:
        return _more_views(recipe, kind)
    if finding.kind != diagnosis.WEAK:
        return []
    trained = getattr(recipe.teacher, "train", None)
    return [] if trained is None else [f"teacher.train.epochs={_MORE * trained.epochs}"]


def _larger(recipe: Recipe) -> list[str]:
    """Twice the width of a student that says its width, as far as is worth trying."""
    knobs = _knobs(recipe)
    for name in _SIZES:
        here, knob = recipe.student.knobs.get(name), knobs.get(f"student.{name}")
        if not isinstance(here, int) or knob is None or knob.high is None:
            continue
        larger = min(2 * here, int(knob.high))
        if larger > here:
            return [f"student.{name}={larger}"]
    return []


def _softening(recipe: Recipe) -> list[str]:
    """The terms that soften logits by a temperature."""
    return [
        name
        for name in recipe.objective.terms
        if any(one.name == "temperature" and one.kind is Kind.TEMPERATURE for one in CATALOGUE[name].settings)
    ]


def _more_views(recipe: Recipe, kind: str) -> list[str]:
    """More views that the teacher answers, or views at all; nothing where every epoch has views of its own already."""
    stored = not recipe.targets.live and recipe.targets.store is None and not recipe.asked_once
    if recipe.views != type(recipe.views)():
        return [f"targets.views={_MORE * recipe.targets.views}"] if stored else []
    if recipe.targets.store is not None:  # whose answers are to the examples as they are
        return []
    knobs = _knobs(recipe)
    varied = next((f"{path}={value:g}" for path, value in _VARIED[kind].items() if path in knobs), None)
    return [] if varied is None else [varied, *(["targets.views=8"] if stored else [])]


def _knobs(recipe: Recipe) -> dict[str, Knob]:
    return part_of(recipe.task, "knobs").knobs(recipe)


def _in_call(recipe: Recipe, finding: Finding, kind: str, epochs: int) -> str:
    """What to change in a call of ``limbeck.distill``."""
    if finding.kind == diagnosis.SMALL:
        return "give limbeck.distill a larger student, or let limbeck.search look for one."
    if finding.kind == diagnosis.WEAK:
        return "give limbeck.distill a better teacher."
    if finding.temperature is not None:
        return f"call limbeck.distill again, with temperature={finding.temperature:g} in its objective."
    if finding.kind in (diagnosis.COLD, diagnosis.HOT):
        return f"call limbeck.distill again, with a {_OTHER[finding.kind]} temperature in its objective."
    changes = _changes(recipe, finding, kind, epochs)
    given = []
    for section, argument in (("train", "train_plan"), ("targets", "targets"), ("views", "views")):
        if own := [one.removeprefix(f"{section}.") for one in changes if one.startswith(f"{section}.")]:
            given.append(f"{argument}={_written(getattr(recipe, section), own)}")
    if not given:
        return "give limbeck.distill more examples; the student needs no labels for them (transfer)."
    return f"call limbeck.distill again, with {' and '.join(given)}."


def _written(section: Section, changes: Sequence[str]) -> str:
    """How a program writes a section with these fields changed, beside those that it was given with."""
    fields = section.model_dump(mode="json", exclude_unset=True)
    for path, text in (one.split("=", 1) for one in changes):
        *within, last = path.split(".")
        inner = fields
        for one in within:
            inner = inner.setdefault(one, {})
        inner[last] = yaml.safe_load(text)
    kind = next((one for one in (Train, Targets) if isinstance(section, one)), None)
    if kind is None:  # views, whose class is their modality's
        return repr(fields)
    return f"limbeck.{kind.__name__}({', '.join(f'{field}={value!r}' for field, value in fields.items())})"
