"""A trial of a search, as all that comes after reads it. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

# What became of a trial.
FINISHED = "finished"
OVER_BUDGET = "over budget"
CANNOT_BE = "cannot be"  # a contradiction, or a student that cannot be built, measured or taught so
FAILED = "failed"  # training went wrong: a loss that is no number
UNTRAINED = (OVER_BUDGET, CANNOT_BE)


def stopped_at(rung: int) -> str:
    """The fate of a trial that was among the weak at a rung, counted from 1."""
    return f"stopped at rung {rung}"


@dataclass(frozen=True)
class Trial:
    """One candidate, and what became of it.

    Attributes:
        number: from 1, in the order in which the trials of its study were begun.
        arm: ``student`` for one with a teacher, ``baseline`` for one without.
        values: what was tried, by the field of the recipe.
        fate: :data:`FINISHED`, :func:`stopped_at`, :data:`OVER_BUDGET`, :data:`CANNOT_BE` or :data:`FAILED`.
        why: a sentence.
        recipe: the candidate's own, as plain values; empty where the values contradict one another.
        rungs: what it had reached at the end of each rung, counted from 1: the first figure over validation, as it is.
        quality: the same figure at the end of its training; None where that was not finished.
        loss: the second figure, likewise.
        cost: what was measured, by the names of budgets (``latency_ms``); empty where nothing could be.
        parameters: of the student.
        architecture: names it but for the values of its weights; None where none was built.
        format: in which it is deployed; costs and quality are of that file.
        float32: the quality of the trained student, where its file is in 8 bits or less.
        further: epochs for which it went on with rounded weights, where that made its file better.
        stage: the fingerprint of its training; trials with the same values share one. None where it was not trained.
        seconds: of its training, up to where it ended.
        steps: of the optimiser, likewise.
        total_steps: what a training in full takes.
    """

    number: int
    arm: str
    values: dict[str, Any]
    fate: str
    why: str
    recipe: dict[str, Any] = field(default_factory=dict)
    rungs: dict[int, float] = field(default_factory=dict)
    quality: float | None = None
    loss: float | None = None
    cost: dict[str, float] = field(default_factory=dict)
    parameters: int | None = None
    architecture: str | None = None
    format: str = "onnx"
    float32: float | None = None
    further: int = 0
    stage: str | None = None
    seconds: float = 0.0
    steps: int = 0
    total_steps: int = 0


class Stored(Protocol):
    """What is read of a trial of an Optuna study."""

    @property
    def user_attrs(self) -> Mapping[str, Any]: ...


class Study(Protocol):
    """What is read of an Optuna study."""

    @property
    def trials(self) -> Sequence[Stored]: ...


def trials_of(study: Study, arm: str) -> list[Trial]:
    """The trials of a study whose fate is known, in the order in which they were begun.

    One whose process was killed has no fate: the same values are tried again as another.
    """
    found = [one.user_attrs for one in study.trials if "fate" in one.user_attrs]
    return [_trial(number, arm, facts) for number, facts in enumerate(found, 1)]


def _trial(number: int, arm: str, facts: Mapping[str, Any]) -> Trial:
    known = {name: facts[name] for name in Trial.__dataclass_fields__ if name in facts}
    known["rungs"] = {int(rung): reached for rung, reached in facts.get("rungs", {}).items()}  # JSON's keys are text
    return Trial(**{**known, "number": number, "arm": arm})
