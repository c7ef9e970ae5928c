"""The bootstrap covers what it should, and mean and deviation are what they say."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from scipy.stats import t as student_t

from limbeck.errors import BadInput
from limbeck.evaluation import values as numbers
from limbeck.evaluation.classes import SUMS, calibration_gaps, classification
from limbeck.evaluation.intervals import (
    difference_p,
    holm,
    mean_sd,
    paired_bootstrap,
    sign_flip_p,
    sums_bootstrap,
    within_possible,
)
from limbeck.evaluation.results import RunEvidence, comparison_sections
from limbeck.evaluation.values import SUMS as VALUES


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
    assert (swapped["low"], swapped["high"]) == pytest.approx((-found["high"], -found["low"]), abs=0.02)


def test_the_spread_is_that_of_a_plain_loop():
    rng = np.random.default_rng(2)
    difference_SN = rng.normal(0.1, 1.0, (4, 30)) + rng.normal(0, 0.5, (4, 1)) + rng.normal(0, 0.5, (1, 30))
    found = paired_bootstrap(difference_SN, np.zeros((4, 30)), draws=8000, level=0.9)
    of_seeds = statistics.stdev(row.mean() for row in difference_SN) / 2
    means = [
        difference_SN[:, rng.integers(0, 30, 30)].mean() + student_t.rvs(3, random_state=rng) * of_seeds
        for _ in range(8000)
    ]
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(means, [0.05, 0.95]), abs=0.04)


@pytest.mark.parametrize("seed_sd", [0.0, 0.05])
def test_about_95_of_100_intervals_hold_the_true_difference(seed_sd):
    rng = np.random.default_rng(3)
    truth, repeats, held = 0.2, 150, 0
    for _ in range(repeats):
        noise_SN = rng.normal(0, 1.0, (10, 100)) + rng.normal(0, 0.5, (1, 100)) + rng.normal(0, seed_sd, (10, 1))
        found = paired_bootstrap(truth + noise_SN, np.zeros((10, 100)), draws=400)
        held += found["low"] <= truth <= found["high"]
    assert 0.89 <= held / repeats <= 1.0


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_few_seeds_claim_no_more_than_they_can_show(seeds):
    """Where seeds make most of the noise, drawing them again would miss the truth in 35, 22 and 16 of 100."""
    rng = np.random.default_rng(4)
    missed, repeats = 0, 300
    for _ in range(repeats):
        noise_SN = rng.normal(0, 0.3, (seeds, 60)) + rng.normal(0, 0.3, (seeds, 1)) + rng.normal(0, 0.3, (1, 60))
        found = paired_bootstrap(noise_SN, np.zeros((seeds, 60)), draws=500)
        missed += not found["low"] <= 0 <= found["high"]
    assert missed / repeats <= 0.08  # 5 of 100, and two standard errors


def test_an_interval_of_shares_ends_where_the_possible_does():
    right_SN = np.stack([np.ones(16), np.zeros(16)])  # t of two seeds reaches to 12.7 * 50 points
    found = paired_bootstrap(right_SN, np.zeros((2, 16)))
    assert (found["difference"], found["low"], found["high"]) == (0.5, -1.0, 1.0)
    nats = paired_bootstrap(3 * right_SN, np.zeros((2, 16)))
    assert nats["low"] < -10 < 10 < nats["high"]
    gaps = within_possible(sums_bootstrap(right_SN[:, :, None], np.zeros((2, 16, 1)), SUMS["ece"]))
    assert (gaps["low"], gaps["high"]) == (-1.0, 1.0)


def test_of_numbers_neither_an_error_below_nothing_nor_a_correlation_above_one_is_possible():
    def run(seed: int, answer_N: list[float]) -> RunEvidence:
        kept = {"answer": torch.tensor(answer_N)[:, None], "labels": torch.tensor([[0.0], [1.0], [2.0], [3.0]])}
        return RunEvidence(seed, kept, kept, 1.0)

    student = [run(0, [0.1, 1.0, 2.0, 3.0]), run(1, [9.0, 5.0, 1.0, -9.0])]  # t of two seeds reaches far beyond
    control = [run(0, [0.0, 1.5, 2.5, 3.0]), run(1, [0.5, 1.0, 2.0, 3.5])]
    found = comparison_sections(numbers, student, {"baseline": control}, control[0])["baseline"]
    reached = {name: np.mean([numbers.figures(one.test)[name] for one in control]) for name in found}
    for name in ("rmse", "mae"):
        assert found[name]["low"] == pytest.approx(-reached[name])
        assert found[name]["high"] > 10
    ends = found["correlation"]["low"], found["correlation"]["high"]
    assert ends == pytest.approx((-1 - reached["correlation"], 1 - reached["correlation"]))


def test_a_handful_of_answers_is_not_more_than_chance():
    # All of 5 on one side happens by chance in 2 of 32 cases, all of 6 in 2 of 64.
    for differing, told in ((4, False), (5, False), (6, True)):
        worse_SN = np.zeros((1, 30))
        worse_SN[0, :differing] = -1
        found = paired_bootstrap(worse_SN, np.zeros((1, 30)), draws=2000)
        assert (found["high"] < 0) is told
        assert found["low"] < found["difference"] == -differing / 30


def test_the_exact_test_counts_all_signs():
    rng = np.random.default_rng(5)
    for _ in range(20):
        net = rng.integers(-3, 4, 9).tolist()
        signs = itertools.product((-1, 1), repeat=9)
        sums = [abs(sum(sign * one for sign, one in zip(flipped, net, strict=True))) for flipped in signs]
        assert sign_flip_p(net) == pytest.approx(np.mean([one >= abs(sum(net)) for one in sums]))
    assert sign_flip_p([0, 0]) == 1.0
    # Beyond 200, the normal distribution, close to McNemar's exact test: 130 against 100.
    assert sign_flip_p([1] * 130 + [-1] * 100) == pytest.approx(binomtest(100, 230).pvalue, abs=0.01)


def test_one_difference_is_told_from_the_noise_of_seeds_and_examples():
    # Seed means -0.2, -0.4, -0.6 over 10 examples; nets -3 (2), -2 (2), -1 (2), 0 (4).
    difference_SN = -np.array([[1] * 2 + [0] * 8, [1] * 4 + [0] * 6, [1] * 6 + [0] * 4])
    of_seeds = 0.2**2 / 3
    of_examples = statistics.variance([-1, -1, -2 / 3, -2 / 3, -1 / 3, -1 / 3, 0, 0, 0, 0]) / 10
    rng = np.random.default_rng(7)
    noise = math.sqrt(of_examples) * rng.normal(size=400_000) + math.sqrt(of_seeds) * rng.standard_t(2, size=400_000)
    together = float(np.mean(np.abs(noise) >= 0.4))
    assert together > 2 / 2**6  # the exact test's: all six on one side
    assert difference_p(difference_SN) == pytest.approx(together, abs=0.002)
    assert difference_p(-np.ones((3, 4), dtype=int)) == 2 / 2**4  # of four examples no more can be said
    assert difference_p([[0, 0, 0]]) == 1.0


def test_holm_by_hand():
    # ascending 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1 and never below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_calibration_is_compared_by_the_errors_that_are_reported():
    draw = torch.Generator().manual_seed(0)
    labels_N = torch.randint(4, (300,), generator=draw)
    logits_SNC = torch.randn(2, 300, 4, generator=draw) + 2 * torch.nn.functional.one_hot(labels_N, 4)
    a, b = (torch.stack([calibration_gaps(scale * one, labels_N) for one in logits_SNC]) for scale in (4.0, 1.0))
    found = sums_bootstrap(a, b, SUMS["ece"], draws=500)
    errors = [[classification(scale * one, labels_N)["ece"] for one in logits_SNC] for scale in (4.0, 1.0)]
    assert found["difference"] == pytest.approx(np.mean(errors[0]) - np.mean(errors[1]))
    assert found["low"] <= found["difference"] <= found["high"]
    assert sums_bootstrap(a[:1], a[:1], SUMS["ece"], draws=50)["high"] == 0.0


def test_two_models_calibrated_alike_are_seldom_told_apart_and_unlike_ones_are():
    rng = np.random.default_rng(6)
    edges = np.arange(1, 15) / 15

    def gaps(over: float) -> np.ndarray:
        sure_N = np.maximum(0.1, rng.beta(4, 1, 200))
        gap_N = sure_N - (rng.random(200) < sure_N * (1 - over))
        return (gap_N[:, None] * (np.digitize(sure_N, edges)[:, None] == np.arange(15)))[None]

    def told(a: float, b: float) -> float:
        found = [sums_bootstrap(gaps(a), gaps(b), SUMS["ece"], draws=200) for _ in range(150)]
        return float(np.mean([one["low"] > 0 or one["high"] < 0 for one in found]))

    assert told(0.1, 0.1) <= 0.08
    assert told(0.3, 0.0) > 0.9


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


def test_a_root_of_sums_is_drawn_as_it_is_measured():
    """The interval of a difference of RMSE: every draw's, computed by a plain loop over the same draws."""
    rng = np.random.default_rng(1)
    a_N1, b_N1 = rng.gamma(2.0, 1.0, (60, 1)), rng.gamma(2.0, 1.2, (60, 1))
    found = sums_bootstrap(a_N1[None], b_N1[None], VALUES["rmse"], draws=300, seed=5)
    draws = np.random.Generator(np.random.Philox(5)).integers(0, 60, size=(300, 60))
    plain = [math.sqrt(a_N1[rows].mean()) - math.sqrt(b_N1[rows].mean()) for rows in draws]
    assert found["difference"] == pytest.approx(math.sqrt(a_N1.mean()) - math.sqrt(b_N1.mean()))
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(plain, [0.025, 0.975]))
