"""What a page shows of a classification: the gallery, and the figures behind the charts."""

from __future__ import annotations

import numpy as np
import pytest

from limbeck.report import Evidence
from limbeck.report.kinds import gallery
from limbeck.report.kinds.class_figures import accord, confusion, divergence, log_softmax, reliability


def test_gallery_shows_what_it_says(evidence: Evidence) -> None:
    ambiguous, lost, apart, wrong = gallery.groups(evidence)
    right = evidence.answers["teacher"].argmax(1) == evidence.labels
    kept = evidence.answers["student"].argmax(1) == evidence.labels
    assert f"({(right & ~kept).sum()} of {right.sum():,})" in lost.explanation
    assert all(right[card.position] and not kept[card.position] for card in lost.cards)
    assert all(kept[card.position] for card in apart.cards)
    assert all(right[card.position] for card in ambiguous.cards + apart.cards)
    assert not any(right[card.position] for card in wrong.cards)
    used = [card.position for group in (ambiguous, lost, apart, wrong) for card in group.cards]
    assert len(used) == len(set(used)) == 24
    divergence_N = divergence(log_softmax(evidence.answers["teacher"]), log_softmax(evidence.answers["student"]))
    assert [c.divergence for c in apart.cards] == sorted((c.divergence for c in apart.cards), reverse=True)
    assert apart.cards[0].divergence > np.quantile(divergence_N[right & kept], 0.98)
    card = ambiguous.cards[0]
    at_4 = np.exp(evidence.answers["teacher"][card.position].astype(float) / 4)
    shown = next(answer for answer in card.answers if answer.true)
    assert shown.teacher[1] == pytest.approx(at_4[evidence.labels[card.position]] / at_4.sum())


def test_figures_behind_the_charts() -> None:
    log_probs = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [1.0, 0.0]]) + 1e-300)
    labels = np.array([0, 1, 1, 0])
    bins = reliability(log_probs, labels, bins=10)
    assert bins.size.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 2, 1]
    assert bins.accuracy[8] == 0.5
    assert bins.calibration_error() == pytest.approx((1 * 0.4 + 2 * 0.4) / 4)
    assert confusion(np.array([0, 0, 1, 0]), labels, 2).tolist() == [[2, 0], [1, 1]]
    found = accord(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 2, 2, 1]), np.array([0, 1, 1, 0, 0]))
    assert tuple(found) == (1, 1, 1, 1, 1)
    ruled_out = divergence(np.log([[0.5, 0.5]]), np.array([[0.0, -np.inf]]))
    assert np.isfinite(ruled_out).all()
    assert ruled_out[0] > 100
