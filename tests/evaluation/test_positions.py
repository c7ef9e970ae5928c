"""Answers at positions and at frames: what is kept of them, by hand and against plain loops; padding changes nothing."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from limbeck.errors import BadInput
from limbeck.evaluation import frames, sequences
from limbeck.interfaces import IGNORED, RaggedLogits

LOG3 = math.log(3.0)


def ragged(logits_BLV: torch.Tensor, lengths: list[int]) -> RaggedLogits:
    parts = [one[:length] for one, length in zip(logits_BLV, lengths, strict=True)]
    return RaggedLogits(torch.cat(parts), torch.tensor(lengths))


def test_tokens_by_hand():
    """Two classes, log odds of 3 to 1: a right answer costs log 4/3, a wrong one log 4."""
    logits = torch.tensor([[[LOG3, 0.0], [0.0, LOG3], [9.0, 9.0]], [[LOG3, 0.0], [9.0, 9.0], [9.0, 9.0]]])
    labels = torch.tensor([[0, 0, IGNORED], [0, IGNORED, IGNORED]])
    kept = sequences.kept(logits, labels, logits.flip(-1))
    assert kept["positions"].tolist() == [2.0, 1.0]
    found = sequences.figures(kept)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["nll"] == pytest.approx((2 * math.log(4 / 3) + math.log(4)) / 3)
    assert found["whole"] == 0.5
    close = sequences.fidelity(kept)  # KL of (1/4, 3/4) from (3/4, 1/4): half of log 3
    assert close == {"agreement": 0.0, "kl": pytest.approx(0.5 * LOG3)}
    assert sequences.commonest(labels) == 1.0
    for name in ("accuracy", "nll"):
        sums = sequences.scores(kept, name).sum(0).numpy()
        assert sequences.SUMS[name](sums, 2) == pytest.approx(found[name])
    short = sequences.kept(ragged(logits, [2, 1]), labels, ragged(logits.flip(-1), [2, 1]))
    assert all(torch.equal(kept[name], short[name]) for name in kept)


def test_a_token_without_probability_and_a_split_without_labels_are_refused():
    with pytest.raises(BadInput, match="no probability"):
        sequences.kept(torch.tensor([[[0.0, -math.inf]]]), torch.tensor([[1]]))
    with pytest.raises(BadInput, match="no position"):
        sequences.figures(sequences.kept(torch.zeros(1, 2, 3), torch.full((1, 2), IGNORED)))


def test_ctc_is_the_sum_over_all_paths():
    """Four frames and three symbols: all 81 paths gone through."""
    logits_BLV = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([[1, 2], [2, IGNORED]])
    kept = frames.kept(logits_BLV, labels)
    for b, wanted in enumerate(([1, 2], [2])):
        log_LV, total = logits_BLV[b].log_softmax(-1), 0.0
        for path in itertools.product(range(3), repeat=4):
            symbols = [one for one, _ in itertools.groupby(path) if one != frames.BLANK]
            if symbols == wanted:
                total += math.exp(sum(log_LV[step, one].item() for step, one in enumerate(path)))
        assert kept["nll"][b].item() == pytest.approx(-math.log(total))
    assert frames.figures(kept)["nll"] == pytest.approx(kept["nll"].sum().item() / 3)


def test_symbols_by_hand():
    path_L = torch.tensor([0, 1, 1, 0, 1, 2])  # blanks and repetitions out: 1 1 2
    logits_BLV = 8.0 * torch.nn.functional.one_hot(path_L, 3).double()[None]
    assert frames.best_path(logits_BLV[0]) == [1, 1, 2]
    kept = frames.kept(logits_BLV, torch.tensor([[1, 2, 2, IGNORED]]), logits_BLV)
    assert frames.figures(kept)["error_rate"] == pytest.approx(1 / 3)  # one of three is another
    assert frames.fidelity(kept) == {"agreement": 1.0, "kl": 0.0}
    assert frames.edits([1, 2, 3, 4], [2, 3, 5]) == 2
    assert frames.edits([], [1, 2]) == frames.edits([1, 2], []) == 2
    impossible = frames.kept(logits_BLV, torch.tensor([[1, 1, 1, 1, 1, 1, 1]]))  # of six frames
    assert math.isfinite(frames.figures(impossible)["nll"])
