"""Figures for several labels, against scikit-learn, plain loops, and the case of two classes that softmax knows too."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, f1_score, log_loss

from limbeck.errors import BadInput
from limbeck.evaluation import classes as one_label
from limbeck.evaluation import label_sets


def drawn(examples: int, classes: int, seed: int):
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(examples, classes, generator=draw)
    return logits, (torch.rand(examples, classes, generator=draw) < logits.sigmoid() * 0.8).float()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 2**31))
def test_figures_equal_scikit_learn(examples, classes, seed):
    logits, labels = drawn(examples, classes, seed)
    figures = label_sets.classification(logits, labels)
    told, probs = (logits > 0).numpy(), logits.double().sigmoid().numpy()
    flat, flat_probs = labels.numpy().ravel(), probs.ravel()
    if classes > 1:
        assert figures["micro_f1"] == pytest.approx(f1_score(labels.numpy(), told, average="micro", zero_division=0))
        assert figures["macro_f1"] == pytest.approx(f1_score(labels.numpy(), told, average="macro", zero_division=0))
    assert figures["accuracy"] == pytest.approx((told == labels.numpy()).all(1).mean())
    assert figures["nll"] == pytest.approx(log_loss(flat, flat_probs, labels=[0, 1]), rel=1e-6)
    assert figures["brier"] == pytest.approx(brier_score_loss(flat, flat_probs, pos_label=1), rel=1e-6)
    assert label_sets.negative_log_likelihood(logits, labels).mean() == pytest.approx(figures["nll"])
    assert label_sets.correct(logits, labels).mean() == pytest.approx(figures["accuracy"])


def test_one_yes_or_no_is_two_classes():
    """Logit z of yes is the softmax of (0, z): temperature and divergence must agree with those of softmax."""
    logits, labels = drawn(200, 1, 3)
    two, classes = torch.cat([torch.zeros_like(logits), logits], dim=1), labels[:, 0].long()
    assert label_sets.fit_temperature(logits, labels) == pytest.approx(
        one_label.fit_temperature(two, classes), rel=1e-6
    )
    other = logits + torch.randn(logits.shape, generator=torch.Generator().manual_seed(4))
    wide = torch.cat([torch.zeros_like(other), other], dim=1)
    found, expected = (
        by.fidelity(by.kept(*given))
        for by, given in ((label_sets, (other, labels, logits)), (one_label, (wide, classes, two)))
    )
    assert found == pytest.approx(expected, rel=1e-9)


def test_infinite_logits_give_finite_figures_and_nan_is_refused():
    logits = torch.tensor([[math.inf, -math.inf], [0.0, 3.0]])
    labels = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    assert all(math.isfinite(value) for value in label_sets.classification(logits, labels).values())
    assert label_sets.divergence(logits, logits).tolist() == [0.0, 0.0]
    assert math.isfinite(label_sets.fidelity(label_sets.kept(logits, labels, -logits))["kl"])
    with pytest.raises(BadInput, match="row 1 has NaN"):
        label_sets.classification(logits.where(logits != 3, torch.nan), labels)


def test_each_class_has_recall_and_f1():
    logits = torch.tensor([[1.0, -1.0], [1.0, -1.0], [-1.0, -1.0]])
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    assert label_sets.per_class(logits, labels, ["a", "b"]) == [
        {"class": "a", "accuracy": 0.5, "f1": 0.5, "support": 2},
        {"class": "b", "accuracy": None, "f1": 0.0, "support": 0},
    ]
