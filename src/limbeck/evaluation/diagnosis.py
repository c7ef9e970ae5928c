"""Why a student stays behind its teacher, told from how closely it follows on examples that it learnt from and on others. No torch

A student that does not follow on the examples it learnt from is too small, or had too few steps, in which case its loss was
still falling; one that follows there and not on others had too little data (Stanton et al. 2021, "Does Knowledge Distillation
Really Work?", tell fidelity from generalisation so). Softened too little, a teacher's answer says no more than the class;
softened too much, where no factor T² makes up for it, it is drowned by labels (Hinton et al. 2015, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import bdtr, stdtr

WEAK, KEPT, COLD, HOT, STEPS, SMALL, DATA = (
    "weak teacher",
    "kept",
    "temperature too low",
    "temperature too high",
    "too few steps",
    "too small",
    "too little data",
)
LEVEL = 0.05
NO_MORE_THAN_A_CLASS = 0.02
"""Entropy of softened answers, as a share of the largest there is, below which they are as good as labels."""
STILL_FALLING = 0.25
"""Share of its loss that a training which should go on lost in the last third of its epochs."""
FEW_STEPS = 100
"""Optimiser's steps in all that are too few to tell a small student from a slow one."""
HARDLY_HEARD = 0.3
"""Share of what moves a student below which its teacher's softened answers are drowned by labels."""
_TELLING = 0.3  # entropy of answers that are softened enough
_HEARD = 0.5  # share of a teacher that is heard


@dataclass(frozen=True)
class Evidence:
    """What is known of a run. N validation examples, in one order.

    Attributes:
        kind: of answer: one of several classes, or numbers.
        teacher: (N,) by how much each of its answers is off: 1 of a wrong class and 0 of the right one; of numbers the
            squared error, the mean over the numbers of an example.
        student: likewise.
        baseline: of the same student without a teacher.
        apart_learnt: how far the student is from its teacher on examples that it learnt from, as they are: the share of
            them on which it names another class; of numbers the RMSE between their answers.
        apart: the same over validation.
        losses: over an epoch's training steps, one an epoch.
        steps: of the optimiser, in all.
        entropy: by temperature, the mean entropy of the teacher's answers softened by it over that of no knowledge.
        teachers_share: by temperature, which part of what moves a student that knows nothing yet comes from the teacher and
            not from labels; of those at which there are both.
        temperature: that the student learnt at, which ``entropy`` has; None where its objective has none.
        unit: that numbers are in; empty where it is not known.
    """

    kind: Literal["classes", "values"]
    teacher: Sequence[float]
    student: Sequence[float]
    baseline: Sequence[float]
    apart_learnt: float
    apart: float
    losses: Sequence[float]
    steps: int
    entropy: Mapping[float, float]
    teachers_share: Mapping[float, float]
    temperature: float | None
    unit: str = ""


@dataclass(frozen=True)
class Finding:
    """``kind`` is one of the constants above, ``text`` says it with its figures. ``temperature``: one that tells more."""

    kind: str
    text: str
    temperature: float | None = None


def found(evidence: Evidence) -> Finding:
    """The first of: a teacher that has nothing to give, nothing to mend, a temperature, then what keeps most of the fidelity away."""
    told = _Classes(evidence) if evidence.kind == "classes" else _Values(evidence)
    teacher, student, baseline = (told.reached(one) for one in (evidence.teacher, evidence.student, evidence.baseline))
    behind_its_teacher = ahead(evidence.teacher, evidence.student)
    # a lead that few examples do not show is no proof of a weak teacher, least of all where the student keeps up with it
    if ahead(evidence.baseline, evidence.teacher) or (
        behind_its_teacher and not ahead(evidence.teacher, evidence.baseline)
    ):
        return Finding(
            WEAK,
            f"The teacher is too weak: it is {told.is_} {teacher} {told.of} the validation examples, and the same student "
            f"without a teacher {told.by} {baseline}, so that it shows no lead that a student could learn from.",
        )
    behind = (
        f"the student is {told.is_} {student} {told.of} the validation examples and its teacher {told.by} {teacher}"
    )
    if not behind_its_teacher:
        return Finding(
            KEPT,
            f"Nothing stands out: {behind}, which is within the noise (without a teacher it is {told.is_} {baseline}); "
            f"{told.followed()}.",
        )
    if (temperature := _temperature(evidence, behind)) is not None:
        return temperature
    if evidence.apart - evidence.apart_learnt > evidence.apart_learnt:
        return Finding(DATA, f"The student had too little data: {behind}; {told.followed()}.")
    fell = fall(evidence.losses)
    if fell is None or fell > STILL_FALLING or evidence.steps < FEW_STEPS:
        how = (
            f"its loss still fell by {fell:.0%} in the last third of its epochs"
            if fell is not None and fell > STILL_FALLING
            else f"it took {evidence.steps:,} steps in all"
        )
        return Finding(STEPS, f"The student had too few steps: {behind}; {told.followed()}, and {how}.")
    return Finding(
        SMALL,
        f"The student is too small: {behind}; {told.followed()}, and its loss fell by no more than {fell:.0%} in the last third "
        "of its epochs.",
    )


def _temperature(evidence: Evidence, behind: str) -> Finding | None:
    """Whether it is the temperature: answers that say no more than labels do, or that are hardly heard beside them."""
    at = evidence.temperature
    if at is None:
        return None
    cold, share = evidence.entropy[at], evidence.teachers_share.get(at, 1.0)
    if cold < NO_MORE_THAN_A_CLASS:
        softer = [one for one, entropy in evidence.entropy.items() if one > at and entropy >= _TELLING]
        return Finding(
            COLD,
            f"The temperature is too low: {behind}, and at temperature {at:g} the teacher's answers say no more than a class "
            f"(their entropy is {cold:.2%} of the largest there is).",
            min(softer, default=None),
        )
    harder = [one for one, share in evidence.teachers_share.items() if one < at and share >= _HEARD]
    if share < HARDLY_HEARD and harder:
        return Finding(
            HOT,
            f"The temperature is too high: {behind}, and at temperature {at:g} no more than {share:.1%} of what moves the student "
            f"comes from the teacher's answers, the rest from labels (at temperature {max(harder):g} it is "
            f"{evidence.teachers_share[max(harder)]:.0%}).",
            max(harder),
        )
    return None


def ahead(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one model is less off than another by more than the noise of examples, at 5 %.

    Of right and wrong answers an exact sign test (McNemar's), of numbers a paired t test of squared errors.
    """
    less_N = np.asarray(other, dtype=float) - np.asarray(one, dtype=float)
    if less_N.mean() <= 0:
        return False
    if np.isin(less_N, (-1.0, 0.0, 1.0)).all():
        better, worse = int((less_N > 0).sum()), int((less_N < 0).sum())
        return bool(2 * bdtr(min(better, worse), better + worse, 0.5) < LEVEL)
    noise = less_N.std(ddof=1) / len(less_N) ** 0.5 if len(less_N) > 1 else np.inf
    return noise == 0 or bool(2 * stdtr(len(less_N) - 1, -less_N.mean() / noise) < LEVEL)


def fall(losses: Sequence[float]) -> float | None:
    """By what share a loss fell in the last third of its epochs; None of one epoch."""
    if len(losses) < 2:
        return None
    before = losses[max(0, 2 * len(losses) // 3 - 1)]
    return 1 - losses[-1] / before if before > 0 else 0.0


class _Classes:
    """How right and wrong answers are told."""

    is_, of, by = "right on", "of", "on"

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def reached(self, off_N: Sequence[float]) -> str:
        return f"{1 - float(np.mean(off_N)):.1%}"

    def followed(self) -> str:
        learnt, others = (1 - one for one in (self._evidence.apart_learnt, self._evidence.apart))
        return (
            f"it names the teacher's class on {learnt:.1%} of the examples that it learnt from and on "
            f"{others:.1%} of the validation examples"
        )


class _Values:
    """How numbers are told."""

    is_, of, by = "off by", "(RMSE) on", "by"

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def reached(self, off_N: Sequence[float]) -> str:
        return self._number(float(np.mean(off_N)) ** 0.5)

    def followed(self) -> str:
        learnt, others = (self._number(one) for one in (self._evidence.apart_learnt, self._evidence.apart))
        return (
            f"its answers are {learnt} (RMSE) from the teacher's on the examples that it learnt from and {others} on the "
            "validation examples"
        )

    def _number(self, value: float) -> str:
        unit = self._evidence.unit
        return f"{value:.3g}{unit}" if unit.startswith("°") else f"{value:.3g} {unit}".strip()
