"""The bootstrap covers what it should, and mean and deviation are what they say."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from limbeck.errors import BadInput
from limbeck.evaluation.compare import mean_sd, paired_bootstrap


def test_mean_and_sample_deviation():
    assert mean_sd([0.25]) == {"mean": 0.25, "sd": None, "n": 1}
    figures = mean_sd([1.0, 2.0, 6.0])
    assert figures == {"mean": 3.0, "sd": pytest.approx(statistics.stdev([1, 2, 6])), "n": 3}
    for values in ([], [1.0, float("nan")], [float("inf")]):
        with pytest.raises(ValueError, match="finite"):
            mean_sd(values)


def test_equal_scores_give_exactly_zero():
    scores_SN = np.random.default_rng(0).random((3, 50))
    found = paired_bootstrap(scores_SN, scores_SN.copy(), draws=200)
    assert (found["difference"], found["low"], found["high"]) == (0.0, 0.0, 0.0)


def test_a_constant_difference_has_no_width_and_the_sign_is_a_minus_b():
    scores_SN = np.random.default_rng(0).integers(0, 2, (3, 50)).astype(float)
    found = paired_bootstrap(scores_SN + 0.5, scores_SN, draws=200)
    assert [found["difference"], found["low"], found["high"]] == pytest.approx([0.5, 0.5, 0.5])


def test_same_seed_same_interval_and_swapping_turns_it_round():
    rng = np.random.default_rng(1)
    a_SN, b_SN = rng.random((4, 80)), rng.random((4, 80))
    found = paired_bootstrap(a_SN, b_SN, draws=500)
    assert found == paired_bootstrap(a_SN, b_SN, draws=500)
    assert found["low"] != paired_bootstrap(a_SN, b_SN, draws=500, seed=1)["low"]
    swapped = paired_bootstrap(b_SN, a_SN, draws=500)
    assert (swapped["low"], swapped["high"]) == pytest.approx((-found["high"], -found["low"]))


def test_the_spread_is_that_of_a_plain_loop():
    rng = np.random.default_rng(2)
    difference_SN = rng.normal(0.1, 1.0, (4, 30)) + rng.normal(0, 0.5, (4, 1)) + rng.normal(0, 0.5, (1, 30))
    found = paired_bootstrap(difference_SN, np.zeros((4, 30)), draws=8000, level=0.9)
    means = []
    for _ in range(8000):
        seeds, examples = rng.integers(0, 4, 4), rng.integers(0, 30, 30)
        means.append(difference_SN[np.ix_(seeds, examples)].mean())
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(means, [0.05, 0.95]), abs=0.03)


@pytest.mark.parametrize("seed_sd", [0.0, 0.05])
def test_about_95_of_100_intervals_hold_the_true_difference(seed_sd):
    rng = np.random.default_rng(3)
    truth, repeats, held = 0.2, 150, 0
    for _ in range(repeats):
        noise_SN = rng.normal(0, 1.0, (10, 100)) + rng.normal(0, 0.5, (1, 100)) + rng.normal(0, seed_sd, (10, 1))
        found = paired_bootstrap(truth + noise_SN, np.zeros((10, 100)), draws=400)
        held += found["low"] <= truth <= found["high"]
    assert 0.89 <= held / repeats <= 1.0


def test_noise_between_seeds_alone_widens_the_interval():
    seed_effect_SN = np.linspace(-1, 1, 5)[:, None] * np.ones((5, 100))
    found = paired_bootstrap(seed_effect_SN, np.zeros((5, 100)), draws=2000)
    assert found["low"] < -0.3
    assert found["high"] > 0.3


def test_one_seed_is_said_to_hold_no_noise_between_seeds():
    a_SN = np.random.default_rng(4).integers(0, 2, (1, 200))
    found = paired_bootstrap(a_SN, np.zeros((1, 200)), draws=500)
    assert found["seeds"] == 1
    assert "one seed" in found["method"]
    assert found["low"] < found["difference"] < found["high"]
    assert "one seed" not in paired_bootstrap(np.ones((2, 5)), np.ones((2, 5)), draws=5)["method"]


def test_scores_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        paired_bootstrap(np.zeros((2, 5)), np.zeros((3, 5)))
    with pytest.raises(ValueError, match="finite"):
        paired_bootstrap(np.full((1, 2), np.inf), np.zeros((1, 2)))
    with pytest.raises(BadInput, match="nothing to compare"):
        paired_bootstrap(np.zeros((2, 0)), np.zeros((2, 0)))
