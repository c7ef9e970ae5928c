"""Figures of parts of the test split: by group and by word, on answers that are written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from limbeck.evaluation import classes, frames
from limbeck.evaluation.keep import Kept
from limbeck.evaluation.losses import Groups
from limbeck.evaluation.parts import section
from limbeck.interfaces import IGNORED, RaggedLogits

NAMES = ("", " ", *"abc")
SAID = ["ab c", "c ab", "ab", "", "c ab", "a"] * 4


def kept_of(heard: list[str]) -> Kept:
    paths = [[symbol for one in text for symbol in (NAMES.index(one), 0)] + [0] for text in heard]
    path_P = torch.tensor([one for path in paths for one in path])
    logits = RaggedLogits(6.0 * torch.nn.functional.one_hot(path_P, len(NAMES)), torch.tensor([*map(len, paths)]))
    labels = torch.tensor([[NAMES.index(one) for one in text] + [IGNORED] * (4 - len(text)) for text in SAID])
    return frames.kept(logits, labels, None, NAMES)


def test_each_speaker_and_each_word_has_the_figures_of_all_three_models():
    worse = [text.replace("c", "b") for text in SAID]  # never hears a c
    sides = {"teacher": [kept_of(SAID)], "student": [kept_of(worse), kept_of(SAID)], "baseline": [kept_of(worse)] * 2}
    speakers = Groups("speaker", ["ann", "ben", "ben", "ann", "ben", "cyd"] * 4)
    found = section(frames, sides, speakers, NAMES)
    words = {row["word"]: row for row in found["words"]["rows"]}
    assert list(words) == ["ab", "c", "a"]  # the commonest first
    assert (words["c"]["said"], words["c"]["examples"]) == (12, 12)
    assert [words["c"][role] for role in ("teacher", "student", "baseline")] == [0, 0.5, 1]
    assert words["c"]["minus_baseline"]["difference"] == -0.5
    assert words["ab"]["minus_teacher"] == {"difference": 0, "low": 0, "high": 0}
    groups = found["groups"]
    assert (groups["column"], groups["figure"], groups["count"]) == ("speaker", "error_rate", 3)
    ann, _, cyd = groups["rows"]
    assert (ann["group"], ann["examples"], cyd["baseline"]) == ("ann", 8, 0)
    # of Ann's 4 symbols in each of her clips that has any, one is a c
    assert ann["baseline"] == pytest.approx(1 / 4)
    assert ann["minus_baseline"]["difference"] == pytest.approx(-1 / 8)


def test_an_interval_over_groups_draws_whole_groups():
    """Where all of one speaker's clips are lost and none of another's, clips alone would claim to know too much."""
    of_N = ["ann"] * 40 + ["ben"] * 40
    labels = torch.zeros(80, dtype=torch.int64)
    right = torch.tensor([[4.0, 0.0]]).repeat(80, 1)
    student = right.clone()
    student[:40] = right[:40].flip(1)
    sides = {
        role: [classes.kept(one, labels)]
        for role, one in (("teacher", right), ("student", student), ("baseline", right))
    }
    found = section(classes, sides, Groups("speaker", of_N), ["yes", "no"])
    assert found["words"] is None
    over = found["groups"]["over"]["baseline"]
    assert (over["difference"], over["low"], over["high"]) == (-0.5, -1, 0)
    assert (over["groups"], over["examples"]) == (2, 80)
    assert "groups of test examples" in over["method"]
    assert section(classes, sides, Groups("speaker", ["ann"] * 80), ["yes", "no"])["groups"]["over"] is None
    many = section(classes, sides, Groups("clip", [str(n) for n in range(80)]), ["yes", "no"])["groups"]
    assert many["rows"] == []
    narrow = many["over"]["baseline"]
    assert np.all([narrow["low"] > -0.65, narrow["high"] < -0.35])
    assert section(classes, sides, None, ["yes", "no"]) == {"groups": None, "words": None}


def test_transcripts_with_more_symbols_than_frames_are_named():
    logits = RaggedLogits(torch.zeros(9, len(NAMES)), torch.tensor([4, 3, 2]))
    labels = torch.tensor([[2, 3, 2, 4], [3, 3, 4, IGNORED], [2, 3, IGNORED, IGNORED]])
    kept = frames.kept(logits, labels, None, NAMES)
    assert frames.rows([kept], NAMES) == [{"position": 1, "said": "bbc", "needs": 4}]


def test_what_an_earlier_version_kept_has_no_words():
    before = {name: value for name, value in kept_of(SAID).items() if name not in ("wanted", "crowded")}
    assert (
        section(frames, {role: [before] for role in ("teacher", "student", "baseline")}, None, NAMES)["words"] is None
    )
    assert frames.rows([before], NAMES) == []
