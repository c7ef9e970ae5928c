"""Figures of many rows: the front, intervals."""

import numpy as np
import pytest

from limbeck.compare.front import front
from limbeck.evaluation.intervals import paired_bootstrap, paired_bootstraps


def test_the_front_by_hand() -> None:
    points = [(1.0, 0.80), (2.0, 0.90), (2.0, 0.85), (3.0, 0.90), (4.0, 0.95), (1.0, 0.80), (9.0, 0.10)]
    assert front(points) == [True, True, False, False, True, True, False]  # equals do not beat one another
    assert front(points, better=-1) == [True, False, False, False, False, True, True]


def test_many_intervals_at_once_are_those_one_by_one() -> None:
    rng = np.random.default_rng(0)
    scores_KSN = rng.normal(size=(4, 3, 40))
    together = paired_bootstraps(scores_KSN[1:] - scores_KSN[0], draws=500)
    for k, found in enumerate(together, 1):
        assert found == pytest.approx(paired_bootstrap(scores_KSN[k], scores_KSN[0], draws=500))
