"""Which sentence follows from which evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from limbeck.evaluation import diagnosis
from limbeck.evaluation.diagnosis import Evidence, ahead, fall, found


def wrong(count: int) -> list[float]:
    return [float(k < count) for k in range(200)]


def squared(rmse: float) -> list[float]:
    """Squared errors of 200 numbers, some of them far off and most near."""
    return [float(rmse**2 * far) for far in np.random.default_rng(0).permutation(np.linspace(0, 2, 200))]


FLAT, FALLING = [9.0, 3.0, 1.1, 1.05, 1.02, 1.0], [9.0, 8.0, 7.0, 6.0, 4.0, 2.0]
BEHIND = Evidence(
    kind="classes",
    teacher=wrong(10),
    student=wrong(50),
    baseline=wrong(60),
    apart_learnt=0.20,
    apart=0.22,
    losses=FLAT,
    steps=600,
    entropy={1.0: 0.1, 4.0: 0.5, 8.0: 0.8},
    teachers_share={1.0: 0.9, 4.0: 0.9, 8.0: 0.9},
    temperature=4.0,
)
NUMBERS = replace(
    BEHIND,
    kind="values",
    teacher=squared(1.0),
    student=squared(3.0),
    baseline=squared(4.0),
    apart_learnt=2.5,
    apart=2.75,
    entropy={},
    teachers_share={},
    temperature=None,
    unit="degrees",
)
COLD = {"entropy": {0.1: 0.001, 1.0: 0.2, 2.0: 0.4, 4.0: 0.6}, "temperature": 0.1}
HOT = {
    "entropy": {2.0: 0.3, 4.0: 0.6, 16.0: 0.98},
    "teachers_share": {2.0: 0.8, 4.0: 0.6, 16.0: 0.05},
    "temperature": 16.0,
}


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        (
            {},
            diagnosis.SMALL,
            "too small: the student is right on 75.0% of the validation examples and its teacher on 95.0%",
        ),
        ({"losses": FALLING}, diagnosis.STEPS, "its loss still fell by 67% in the last third"),
        ({"losses": [3.0], "steps": 40}, diagnosis.STEPS, "it took 40 steps in all"),
        ({"losses": [3.0], "steps": 4000}, diagnosis.STEPS, "it took 4,000 steps in all"),
        ({"steps": 99}, diagnosis.STEPS, "it took 99 steps in all"),
        (
            {"apart_learnt": 0.03, "losses": FALLING},
            diagnosis.DATA,
            "on 97.0% of the examples that it learnt from and on 78.0%",
        ),
        (COLD, diagnosis.COLD, "too low: the student is right on 75.0%"),
        (
            HOT,
            diagnosis.HOT,
            "at temperature 16 no more than 5.0% of what moves the student comes from the teacher's answers",
        ),
        (HOT | {"student": wrong(13)}, diagnosis.KEPT, "Nothing stands out"),
        # where no temperature would be better heard, it is the weight, and not the temperature
        (HOT | {"teachers_share": {2.0: 0.06, 4.0: 0.06, 16.0: 0.05}}, diagnosis.SMALL, "too small"),
        ({"baseline": wrong(10)}, diagnosis.WEAK, "The teacher is too weak: it is right on 95.0%"),
        ({"student": wrong(13)}, diagnosis.KEPT, "within the noise (without a teacher it is right on 70.0%)"),
        ({"student": wrong(8), "baseline": wrong(13)}, diagnosis.KEPT, "Nothing stands out"),
        ({"student": wrong(4), "baseline": wrong(4)}, diagnosis.WEAK, "without a teacher on 98.0%"),
        ({"temperature": None, "entropy": {}, "teachers_share": {}}, diagnosis.SMALL, "too small"),
    ],
)
def test_the_evidence_has_one_sentence(changed, kind, said):
    finding = found(replace(BEHIND, **changed))
    assert finding.kind == kind
    assert said in finding.text
    assert finding.temperature == {diagnosis.COLD: 2.0, diagnosis.HOT: 4.0}.get(kind)


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({}, diagnosis.SMALL, "off by 3 degrees (RMSE) on the validation examples and its teacher by 1 degrees"),
        ({"losses": FALLING}, diagnosis.STEPS, "its answers are 2.5 degrees (RMSE) from the teacher's on the examples"),
        ({"apart_learnt": 1.2}, diagnosis.DATA, "too little data"),
        ({"baseline": squared(0.9)}, diagnosis.WEAK, "the same student without a teacher by 0.9 degrees"),
        ({"student": squared(0.98)}, diagnosis.KEPT, "(without a teacher it is off by 4 degrees)"),
        ({"unit": "°"}, diagnosis.SMALL, "off by 3° (RMSE)"),
        ({"unit": ""}, diagnosis.SMALL, "off by 3 (RMSE) on"),
    ],
)
def test_numbers_are_told_by_how_far_off_they_are(changed, kind, said):
    finding = found(replace(NUMBERS, **changed))
    assert finding.kind == kind
    assert said in finding.text


def test_ahead_is_by_more_than_chance():
    assert not ahead(wrong(5), wrong(10))  # five more and none fewer: 1/16
    assert ahead(wrong(4), wrong(10))  # six: 1/32
    assert not ahead(wrong(10), wrong(4))
    assert not ahead(wrong(4), wrong(4))


def test_numbers_are_ahead_by_a_paired_t_test():
    draw = np.random.default_rng(0)
    one = draw.normal(size=300) ** 2
    assert ahead(one, one + 0.2 * draw.normal(size=300) + 0.1)
    assert not ahead(one, one + 2 * draw.normal(size=300) + 0.02)
    assert ahead([0.5, 0.5], [0.75, 0.75])  # each by as much
    assert not ahead([0.5], [0.75])  # one example has no spread


def test_the_last_third_of_a_curve_by_hand():
    assert fall([9.0, 6.0, 3.0]) == pytest.approx(0.5)
    assert fall([4.0, 3.0]) == pytest.approx(0.25)
    assert fall([4.0]) is None
    assert fall([0.0, 0.0]) == 0.0
