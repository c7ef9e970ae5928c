"""Which sentence follows from which evidence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limbeck.evaluation import diagnosis
from limbeck.evaluation.diagnosis import Evidence, ahead, fall, found


def right(count: int) -> list[bool]:
    return [k < count for k in range(200)]


FLAT, FALLING = [9.0, 3.0, 1.1, 1.05, 1.02, 1.0], [9.0, 8.0, 7.0, 6.0, 4.0, 2.0]
BEHIND = Evidence(
    teacher=right(190),
    student=right(150),
    baseline=right(140),
    agreement_learnt=0.80,
    agreement=0.78,
    losses=FLAT,
    entropy={4.0: 0.5, 8.0: 0.8},
    temperature=4.0,
)


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        (
            {},
            diagnosis.SMALL,
            "too small: the student is right on 75.0% of the validation examples and its teacher on 95.0%",
        ),
        ({"losses": FALLING}, diagnosis.STEPS, "its loss still fell by 67% in the last third"),
        ({"losses": [3.0]}, diagnosis.STEPS, "trained for one epoch"),
        (
            {"agreement_learnt": 0.97, "losses": FALLING},
            diagnosis.DATA,
            "on 97.0% of the examples that it learnt from and on 78.0%",
        ),
        ({"entropy": {0.1: 0.001, 1.0: 0.2, 2.0: 0.4}, "temperature": 0.1}, diagnosis.COLD, "at temperature 0.1"),
        ({"baseline": right(190)}, diagnosis.WEAK, "The teacher is too weak: it is right on 95.0%"),
        ({"student": right(187)}, diagnosis.KEPT, "within the noise (without a teacher it is right on 70.0%)"),
        ({"student": right(192), "baseline": right(187)}, diagnosis.KEPT, "Nothing stands out"),
        ({"student": right(196), "baseline": right(196)}, diagnosis.WEAK, "without a teacher on 98.0%"),
        ({"temperature": None, "entropy": {}}, diagnosis.SMALL, "too small"),
    ],
)
def test_the_evidence_has_one_sentence(changed, kind, said):
    finding = found(replace(BEHIND, **changed))
    assert finding.kind == kind
    assert said in finding.text
    assert finding.softer == (2.0 if kind == diagnosis.COLD else None)


def test_ahead_is_by_more_than_chance():
    assert not ahead(right(195), right(190))  # five more and none fewer: 1/16
    assert ahead(right(196), right(190))  # six: 1/32
    assert not ahead(right(190), right(196))


def test_the_last_third_of_a_curve_by_hand():
    assert fall([9.0, 6.0, 3.0]) == pytest.approx(0.5)
    assert fall([4.0, 3.0]) == pytest.approx(0.25)
    assert fall([4.0]) is None
    assert fall([0.0, 0.0]) == 0.0
