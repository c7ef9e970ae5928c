"""What a temperature makes of answers, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from limbeck.interfaces import IGNORED
from limbeck.objectives import modules
from limbeck.pipeline.softness import beside, entropy, teachers_share

LOGITS = torch.tensor([[6.0, 0.0, -6.0], [0.0, 6.0, 0.0]])
LABELS = torch.tensor([0, 1])


def test_entropy_is_a_share_of_the_largest_there_is():
    assert entropy(torch.zeros(2, 3), 1.0) == pytest.approx(1.0)
    assert entropy(torch.tensor([[math.log(3.0), 0.0]]), 1.0) == pytest.approx(
        -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    )
    assert entropy(LOGITS, 0.1) < 1e-6
    assert entropy(LOGITS, 100.0) > 0.999


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_teachers_share_is_that_of_the_gradients_by_hand(temperature):
    objective = 0.9 * modules.ForwardKL(temperature=temperature) + 0.1 * modules.CrossEntropy()
    softened = (LOGITS / temperature).softmax(dim=1)
    teachers = 0.9 * ((1 / 3 - softened) / temperature / 2).norm(dim=1).sum()
    labels = 0.1 * ((1 / 3 - torch.eye(3)[:2]) / 2).norm(dim=1).sum()
    share = teachers_share(objective, LOGITS, LABELS, temperature)
    assert share == pytest.approx(float(teachers / (teachers + labels)), rel=1e-5)
    # asked of another temperature, it is as if the objective had it
    asked = teachers_share(
        0.9 * modules.ForwardKL(temperature=2.0) + 0.1 * modules.CrossEntropy(), LOGITS, LABELS, temperature
    )
    assert asked == pytest.approx(share)


def test_the_factor_of_kd_keeps_a_teacher_heard_and_labels_that_are_not_there_do_not_drown_it():
    shares = {}
    for name, part in (("kd", modules.KD), ("forward_kl", modules.ForwardKL)):
        shares[name] = teachers_share(0.9 * part(temperature=32.0) + 0.1 * modules.CrossEntropy(), LOGITS, LABELS, 32.0)
    assert shares["kd"] > 0.9
    assert shares["forward_kl"] < 0.3
    objective = 0.9 * modules.ForwardKL(temperature=32.0) + 0.1 * modules.CrossEntropy()
    none = torch.full((2,), IGNORED)
    assert teachers_share(objective, LOGITS, none, 32.0) is None
    assert teachers_share(objective, LOGITS, None, 32.0) is None
    assert teachers_share(modules.ForwardKL(temperature=32.0), LOGITS, LABELS, 32.0) is None


def test_the_ladder_holds_the_runs_own_temperature():
    assert list(beside(3.0)) == [1.0, 2.0, 3.0, 4.0, 8.0, 16.0]
    assert list(beside(4.0)) == [1.0, 2.0, 4.0, 8.0, 16.0]
