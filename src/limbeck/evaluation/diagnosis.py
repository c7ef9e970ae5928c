"""Why a student stays behind its teacher, told from how closely it follows on examples that it learnt from and on others. No torch

A student that does not follow on the examples it learnt from is too small, or had too few steps, in which case its loss was
still falling; one that follows there and not on others had too little data (Stanton et al. 2021, "Does Knowledge Distillation
Really Work?", tell fidelity from generalisation so). Softened too little, a teacher's answer says no more than the class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

WEAK, KEPT, COLD, STEPS, SMALL, DATA = (
    "weak teacher",
    "kept",
    "temperature",
    "too few steps",
    "too small",
    "too little data",
)
LEVEL = 0.05
NO_MORE_THAN_A_CLASS = 0.02
"""Entropy of softened answers, as a share of the largest there is, below which they are as good as labels."""
STILL_FALLING = 0.25
"""Share of its loss that a training which should go on lost in the last third of its epochs."""
_TELLING = 0.3  # entropy of answers that are softened enough


@dataclass(frozen=True)
class Evidence:
    """What is known of a run. Right answers are over validation, an example each.

    Attributes:
        teacher: which of its answers are right.
        student: likewise.
        baseline: of the same student without a teacher.
        agreement_learnt: share of the examples it learnt from, as they are, on which the student names the teacher's class.
        agreement: the same over validation.
        losses: over an epoch's training steps, one an epoch.
        entropy: by temperature, the mean entropy of the teacher's answers softened by it over that of no knowledge; of
            ``temperature`` and of larger ones.
        temperature: that the student learnt at; None where its objective has none.
    """

    teacher: Sequence[bool]
    student: Sequence[bool]
    baseline: Sequence[bool]
    agreement_learnt: float
    agreement: float
    losses: Sequence[float]
    entropy: dict[float, float]
    temperature: float | None


@dataclass(frozen=True)
class Finding:
    """``kind`` is one of the constants above, ``text`` says it with its figures. ``softer``: a temperature that tells more."""

    kind: str
    text: str
    softer: float | None = None


def found(evidence: Evidence) -> Finding:
    """The first of: a teacher that has nothing to give, nothing to mend, a temperature, then what keeps most of the fidelity away."""
    teacher, student, baseline = (_share(one) for one in (evidence.teacher, evidence.student, evidence.baseline))
    followed = (
        f"it names the teacher's class on {evidence.agreement_learnt:.1%} of the examples that it learnt from and on "
        f"{evidence.agreement:.1%} of the validation examples"
    )
    behind_its_teacher = ahead(evidence.teacher, evidence.student)
    # a lead that few examples do not show is no proof of a weak teacher, least of all where the student keeps up with it
    if ahead(evidence.baseline, evidence.teacher) or (
        behind_its_teacher and not ahead(evidence.teacher, evidence.baseline)
    ):
        return Finding(
            WEAK,
            f"The teacher is too weak: it is right on {teacher:.1%} of the validation examples, and the same student without a "
            f"teacher on {baseline:.1%}, so that it shows no lead that a student could learn from.",
        )
    if not behind_its_teacher:
        return Finding(
            KEPT,
            f"Nothing stands out: the student is right on {student:.1%} of the validation examples and its teacher on "
            f"{teacher:.1%}, which is within the noise (without a teacher it is right on {baseline:.1%}); {followed}.",
        )
    behind = f"the student is right on {student:.1%} of the validation examples and its teacher on {teacher:.1%}"
    cold = None if evidence.temperature is None else evidence.entropy[evidence.temperature]
    if evidence.temperature is not None and cold is not None and cold < NO_MORE_THAN_A_CLASS:
        softer = next((one for one, entropy in sorted(evidence.entropy.items()) if entropy >= _TELLING), None)
        return Finding(
            COLD,
            f"The temperature is too low: {behind}, and at temperature {evidence.temperature:g} the teacher's answers say no "
            f"more than a class (their entropy is {cold:.2%} of the largest there is).",
            softer,
        )
    if evidence.agreement_learnt - evidence.agreement > 1 - evidence.agreement_learnt:
        return Finding(DATA, f"The student had too little data: {behind}; {followed}.")
    fell = fall(evidence.losses)
    if fell is None or fell > STILL_FALLING:
        how = (
            "it was trained for one epoch"
            if fell is None
            else f"its loss still fell by {fell:.0%} in the last third of its epochs"
        )
        return Finding(STEPS, f"The student had too few steps: {behind}; {followed}, and {how}.")
    return Finding(
        SMALL,
        f"The student is too small: {behind}; {followed}, and its loss fell by no more than {fell:.0%} in the last third of its "
        "epochs.",
    )


def ahead(one: Sequence[bool], other: Sequence[bool]) -> bool:
    """Whether one model is right more often by more than the noise of examples: an exact sign test (McNemar's) at 5 %."""
    only_one = sum(a and not b for a, b in zip(one, other, strict=True))
    only_other = sum(b and not a for a, b in zip(one, other, strict=True))
    apart = only_one + only_other
    return only_one > only_other and bool(binomtest(only_one, apart).pvalue < LEVEL)


def fall(losses: Sequence[float]) -> float | None:
    """By what share a loss fell in the last third of its epochs; None of one epoch."""
    if len(losses) < 2:
        return None
    before = losses[max(0, 2 * len(losses) // 3 - 1)]
    return 1 - losses[-1] / before if before > 0 else 0.0


def _share(right: Sequence[bool]) -> float:
    return sum(right) / len(right)
