"""Answers at positions and at frames: what is kept of them, by hand and against plain loops; padding changes nothing."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.evaluation import frames, sequences
from limbeck.evaluation.alignment import aligned, edits, words
from limbeck.evaluation.keep import keep
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
    found = frames.figures(kept)
    assert found["error_rate"] == found["substitutions"] == pytest.approx(1 / 3)  # one of three is another
    assert (found["insertions"], found["deletions"]) == (0, 0)
    assert frames.fidelity(kept) == {"heard_otherwise": 0.0, "agreement": 1.0, "kl": 0.0}
    of_another_stride = frames.fidelity(frames.kept(logits_BLV, torch.tensor([[1]]), logits_BLV[:, 1::2]))
    assert of_another_stride == {"heard_otherwise": 1 / 2, "agreement": None, "kl": None}  # it hears 1 2
    assert kept["told"].tolist() == [[1, 1, 2]]
    impossible = frames.kept(logits_BLV, torch.tensor([[1, 1, 1, 1, 1, 1, 1]]))  # of six frames
    assert math.isfinite(frames.figures(impossible)["nll"])


NAMES = ("", " ", "a", "b", "c")


def said(text: str) -> torch.Tensor:
    """Frames whose best path is the text, a blank after each letter."""
    path = [symbol for letter in text for symbol in (NAMES.index(letter), 0)] or [0]
    return 9.0 * torch.nn.functional.one_hot(torch.tensor(path), len(NAMES)).double()


def spoken(texts: list[str]) -> torch.Tensor:
    longest = max(map(len, texts))
    rows = [[NAMES.index(letter) for letter in text] + [IGNORED] * (longest - len(text)) for text in texts]
    return torch.tensor(rows)


def of_texts(told: list[str], wanted: list[str]) -> dict[str, torch.Tensor]:
    answers = [said(text) for text in told]
    answer = RaggedLogits(torch.cat(answers), torch.tensor([len(one) for one in answers]))
    return frames.kept(answer, spoken(wanted), None, NAMES)


def test_words_and_silence_by_hand():
    told, wanted = ["ab cc", "", "a", " b  c", "b"], ["ab c", "a b", "", "b c", ""]
    kept = of_texts(told, wanted)
    # an insertion; three deletions; silence in which something is heard; two insertions; likewise
    assert [kept[name].tolist() for name in ("insertions", "deletions", "substitutions")] == [
        [1, 0, 1, 2, 1], [0, 3, 0, 0, 0], [0, 0, 0, 0, 0],
    ]  # fmt: skip
    assert (kept["words"].tolist(), kept["word_errors"].tolist()) == ([2, 2, 0, 2, 0], [1, 2, 1, 0, 1])
    found = frames.figures(kept)
    assert found["error_rate"] == pytest.approx(6 / 10)  # of what is spoken alone
    assert found["word_error_rate"] == pytest.approx(3 / 6)
    assert (found["silence_broken"], found["whole"]) == (1.0, 0.0)
    for name in ("error_rate", "word_error_rate", "insertions", "nll"):
        sums = frames.scores(kept, name).sum(0).numpy()
        assert frames.SUMS[name](sums, 5) == pytest.approx(found[name])
    assert frames.about_labels({"test": kept}, NAMES) == {"positions": 10, "silent": 2, "words": 6}
    assert frames.compared(kept) == ("error_rate", "nll", "word_error_rate", "whole")
    without = frames.figures(frames.kept(said("a")[None], spoken(["b"]), None, NAMES[2:]))
    assert not {"word_error_rate", "silence_broken"} & set(without)
    with pytest.raises(BadInput, match="no symbols"):
        frames.figures(of_texts(["a"], [""]))


def test_batches_of_other_widths_are_kept_side_by_side():
    labels, answers = spoken(["ab", "a", "c"]), [said("abc"), said("a"), said("")]
    whole = RaggedLogits(torch.cat(answers), torch.tensor([6, 2, 1]))
    together = keep(frames, [(torch.arange(3), whole)], labels, names=NAMES)
    parts = [(torch.tensor([b]), RaggedLogits(answers[b], torch.tensor([len(answers[b])]))) for b in (2, 0, 1)]
    apart = keep(frames, parts, labels, names=NAMES)
    assert all(torch.equal(together[name], apart[name]) for name in together)
    assert apart["told"].tolist() == [[2, 3, 4], [2, IGNORED, IGNORED], [IGNORED] * 3]


@given(st.text("ab c", max_size=6), st.text("ab c", max_size=6))
def test_an_alignment_has_as_few_edits_as_there_can_be(told, wanted):
    pairs = aligned(told, wanted)
    assert "".join(one for one, _ in pairs if one) == told
    assert "".join(other for _, other in pairs if other) == wanted
    assert (None, None) not in pairs

    @functools.cache
    def fewest(i, j):  # by the definition
        if not i or not j:
            return i + j
        pair = fewest(i - 1, j - 1) + (told[i - 1] != wanted[j - 1])
        return min(pair, fewest(i - 1, j) + 1, fewest(i, j - 1) + 1)

    assert edits(told, wanted).all == sum(one != other for one, other in pairs) == fewest(len(told), len(wanted))
    assert words(told, " ") == [tuple(word) for word in told.split()]
