"""Figures of many rows: the front, architectures, intervals."""

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.compare.cost import architecture
from limbeck.compare.front import front
from limbeck.evaluation.intervals import paired_bootstrap, paired_bootstraps


def test_the_front_by_hand() -> None:
    points = [(1.0, 0.80), (2.0, 0.90), (2.0, 0.85), (3.0, 0.90), (4.0, 0.95), (1.0, 0.80), (9.0, 0.10)]
    assert front(points) == [True, True, False, False, True, True, False]  # equals do not beat one another
    assert front(points, better=-1) == [True, False, False, False, False, True, True]


def test_an_architecture_is_all_but_the_values() -> None:
    def net(width: int, act: type[nn.Module], seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, width), act(), nn.Linear(width, 2))

    base = architecture(net(4, nn.ReLU, 0))
    assert architecture(net(4, nn.ReLU, 1)) == base
    assert architecture(net(5, nn.ReLU, 0)) != base
    assert architecture(net(4, nn.GELU, 0)) != base  # which has no weights and takes its time


def test_many_intervals_at_once_are_those_one_by_one() -> None:
    rng = np.random.default_rng(0)
    scores_KSN = rng.normal(size=(4, 3, 40))
    together = paired_bootstraps(scores_KSN[1:] - scores_KSN[0], draws=500)
    for k, found in enumerate(together, 1):
        assert found == pytest.approx(paired_bootstrap(scores_KSN[k], scores_KSN[0], draws=500))
