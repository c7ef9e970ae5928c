"""Whether a difference stands out from the noise of seeds and test examples.

Two sources of noise are taken together. *Examples*: they are drawn again, with replacement, the same for all seeds and
for both sides. *Seeds*: too few to be drawn again (of three, a bootstrap never shows more than the lowest and the highest,
which miss the truth once in four times), so the mean over S of them is spread by Student's t with S - 1 degrees of
freedom. With two seeds that is wide, as it must be. What is random in both is counted in both: the interval is rather too
wide than too narrow.

Shapes: K comparisons, S seeds, N test examples, D bootstrap draws, M numbers of an example.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtr

from ..errors import BadInput

LEVEL = 0.95
_CHUNK = 2**16  # counts at a time: they stay in cache, and memory does not grow with the draws
_FEW = 200  # examples that tell two models apart, up to which chance is counted exactly


def mean_sd(values: Sequence[float]) -> dict[str, Any]:
    """``{"mean", "sd", "n"}``; sd divides by n - 1 and is None for one value.

    Raises ``ValueError`` for no values, or one that is not finite.
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"mean_sd needs at least one value, all finite, not {list(values)}")
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
    }


def paired_bootstrap(
    a_SN: ArrayLike, b_SN: ArrayLike, *, draws: int = 10_000, level: float = LEVEL, seed: int = 0
) -> dict[str, Any]:
    """The mean of A - B, and its percentile interval over the noise of seeds and test examples (see the module).

    ``a_SN`` and ``b_SN`` are scores of each example under each seed (correct or not, NLL, ...); row s of both
    has the same seed, column n the same example. With one seed only the examples are drawn, so that the noise between
    seeds is not in the interval; ``method`` says which. Where every score is 0 or 1 and an exact test
    (:func:`sign_flip_p`) does not tell the difference from chance, the interval reaches to 0: of a handful of examples
    a bootstrap claims too much. Deterministic in ``seed``.

    Returns ``{"difference", "low", "high", "level", "draws", "seeds", "examples", "method"}``.
    """
    a_SN, b_SN = np.asarray(a_SN, dtype=np.float64), np.asarray(b_SN, dtype=np.float64)
    if a_SN.shape != b_SN.shape or a_SN.ndim != 2:
        raise ValueError(f"scores must be two (S, N) arrays of one shape, not {a_SN.shape} and {b_SN.shape}")
    return paired_bootstraps((a_SN - b_SN)[None], draws=draws, level=level, seed=seed)[0]


def paired_bootstraps(
    difference_KSN: ArrayLike, *, draws: int = 10_000, level: float = LEVEL, seed: int = 0
) -> list[dict[str, Any]]:
    """:func:`paired_bootstrap` for K differences A - B at once, over the same draws: most of the work is in drawing."""
    difference_KSN = np.asarray(difference_KSN, dtype=np.float64)
    if difference_KSN.ndim != 3:
        raise ValueError(f"differences must be (K, S, N), not {difference_KSN.shape}")
    if difference_KSN.size == 0:
        raise BadInput("There is nothing to compare: no seeds or no test examples.")
    if not np.isfinite(difference_KSN).all():
        raise ValueError("scores must be finite")
    count, seeds, examples = difference_KSN.shape
    mean_NK = difference_KSN.mean(axis=1).T

    rng = np.random.Generator(np.random.Philox(seed))
    mean_DK = np.empty((draws, count))
    for rows, times_DN in _drawn(rng, draws, examples):
        mean_DK[rows] = times_DN @ mean_NK / examples
    mean_DK += _seed_noise(rng, difference_KSN.mean(axis=2), draws)
    found = [_interval(float(difference_KSN[k].mean()), mean_DK[:, k], level, seeds, examples) for k in range(count)]
    for one, difference_SN in zip(found, difference_KSN, strict=True):
        if not np.isin(difference_SN, (-1, 0, 1)).all():
            continue
        one |= within_possible(one)
        if one["low"] * one["high"] > 0 and sign_flip_p(difference_SN.sum(axis=0)) >= 1 - level:
            one |= {"low": min(one["low"], 0.0), "high": max(one["high"], 0.0)}
    return found


def sums_bootstrap(
    a_SNM: ArrayLike,
    b_SNM: ArrayLike,
    of: Callable[[np.ndarray, int], np.ndarray],
    *,
    draws: int = 2_000,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Any]:
    """The difference A - B of a figure that is no mean over examples, as :func:`paired_bootstrap` gives that of two means.

    ``a_SNM`` and ``b_SNM`` hold M numbers of each example, from whose sums over N examples ``of(sums (..., M), N)`` makes the
    figure (...): the root of the mean squared error, a correlation, an expected calibration error (the sum over bins of the
    absolute mean gap). It is the figure *as measured*: a calibration error is made positive by noise alone, more so in a draw
    than in the data, so that of two models the better calibrated one's lead comes out too small rather than too large.
    """
    a_SNM, b_SNM = np.asarray(a_SNM, dtype=np.float64), np.asarray(b_SNM, dtype=np.float64)
    if a_SNM.shape != b_SNM.shape or a_SNM.ndim != 3:
        raise ValueError(f"scores must be two (S, N, M) arrays of one shape, not {a_SNM.shape} and {b_SNM.shape}")
    if a_SNM.size == 0:
        raise BadInput("There is nothing to compare: no seeds or no test examples.")
    seeds, examples, numbers = a_SNM.shape

    a_NC, b_NC = (one_SNM.transpose(1, 0, 2).reshape(examples, seeds * numbers) for one_SNM in (a_SNM, b_SNM))

    def figure_DS(one_NC: np.ndarray, times_DN: np.ndarray) -> np.ndarray:
        return of((times_DN @ one_NC).reshape(-1, seeds, numbers), examples)

    rng = np.random.Generator(np.random.Philox(seed))
    difference_D = np.empty(draws)
    for rows, times_DN in _drawn(rng, draws, examples):
        difference_D[rows] = (figure_DS(a_NC, times_DN) - figure_DS(b_NC, times_DN)).mean(axis=1)
    once = np.ones((1, examples))
    difference_S = (figure_DS(a_NC, once) - figure_DS(b_NC, once))[0]
    difference_D += _seed_noise(rng, difference_S[None], draws)[:, 0]
    return _interval(float(difference_S.mean()), difference_D, level, seeds, examples)


def within_possible(found: dict[str, Any], least: float = -1.0, most: float = 1.0) -> dict[str, Any]:
    """The interval of a difference, cut off where it cannot be: Student's t of two seeds knows of no such ends.

    ``least`` and ``most`` are those of shares where not given; :meth:`limbeck.evaluation.figure.Figure.possible` knows others.
    """
    return found | {"low": max(found["low"], least), "high": min(found["high"], most)}


def difference_p(difference_SN: ArrayLike) -> float:
    """The two-sided p that A and B are alike, from whole differences of each example (S seeds, N examples).

    The larger of two: the chance that the noise of examples (normal) and of seeds (Student's t) together reach the mean
    difference (Behrens and Fisher; the approximation of Welch and Satterthwaite claims too much in the far tails that a
    correction for many classes needs), and the exact test of :func:`sign_flip_p`, which keeps few examples from claiming
    much. With one seed the second alone. 1.0 where no example differs.
    """
    difference_SN = np.asarray(difference_SN, dtype=np.int64)
    seeds, examples = difference_SN.shape
    exact = sign_flip_p(difference_SN.sum(axis=0))
    if seeds == 1 or examples == 1:
        return exact
    of_examples = difference_SN.mean(axis=0).var(ddof=1) / examples
    of_seeds = difference_SN.mean(axis=1).var(ddof=1) / seeds
    if of_seeds == 0:
        return exact  # no seed differs from another: the examples make all of the noise
    z = np.linspace(-9, 9, 2001)
    weight = np.exp(-(z**2) / 2)
    left = (math.sqrt(of_examples) * z - abs(difference_SN.mean())) / math.sqrt(of_seeds)
    # both tails are alike, for z is as likely as -z
    return max(exact, float(2 * (weight * stdtr(seeds - 1, left)).sum() / weight.sum()))


def sign_flip_p(net_N: ArrayLike) -> float:
    """The two-sided p of the sum of whole numbers (N,) where the sign of each is chance: one example's net of all seeds.

    With one seed that is McNemar's exact test. Beyond 200 numbers other than 0, by the normal distribution.
    """
    net_N = np.asarray(net_N, dtype=np.int64)
    sizes, counts = np.unique(np.abs(net_N[net_N != 0]), return_counts=True)
    total = abs(int(net_N.sum()))
    if not len(sizes) or not total:
        return 1.0
    if counts.sum() > _FEW:
        return float(2 * ndtr(-total / math.sqrt(float((counts * sizes**2).sum()))))
    # The chances of every sum, from its lowest (all minus) up in steps of 2: one size of number after another.
    chance = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        of_size = np.zeros(size * count + 1)
        of_size[::size] = [math.comb(count, plus) / 2**count for plus in range(count + 1)]
        chance = np.convolve(chance, of_size)
    lowest = int((sizes * counts).sum())
    return min(1.0, 2 * float(chance[: (lowest - total) // 2 + 1].sum()))


def holm(p_K: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm 1979): those below 0.05 hold a false one in at most 5 of 100 families."""
    order = sorted(range(len(p_K)), key=lambda k: p_K[k])
    corrected, largest = [0.0] * len(p_K), 0.0
    for rank, k in enumerate(order):
        largest = max(largest, min(1.0, (len(p_K) - rank) * p_K[k]))
        corrected[k] = largest
    return corrected


def _drawn(rng: np.random.Generator, draws: int, examples: int) -> Iterator[tuple[slice, np.ndarray]]:
    """(which draws, how often each takes each example), piece by piece."""
    chunk = max(8, _CHUNK // examples)
    for start in range(0, draws, chunk):
        rows = min(chunk, draws - start)
        drawn_DN = rng.integers(0, examples, size=(rows, examples)) + examples * np.arange(rows)[:, None]
        times_DN = np.bincount(drawn_DN.ravel(), minlength=rows * examples).reshape(rows, examples)
        yield slice(start, start + rows), times_DN.astype(np.float64)


def _seed_noise(rng: np.random.Generator, mean_KS: np.ndarray, draws: int) -> np.ndarray:
    """(D, K): how far the mean over seeds may lie from that of all seeds; 0 for one seed, of which nothing is known."""
    seeds = mean_KS.shape[1]
    if seeds == 1:
        return np.zeros((draws, len(mean_KS)))
    return rng.standard_t(seeds - 1, size=(draws, 1)) * mean_KS.std(axis=1, ddof=1) / math.sqrt(seeds)


def _interval(difference: float, difference_D: np.ndarray, level: float, seeds: int, examples: int) -> dict[str, Any]:
    low, high = np.quantile(difference_D, [(1 - level) / 2, (1 + level) / 2])
    how = "test examples, Student's t over seeds" if seeds > 1 else "test examples only (one seed)"
    return {
        "difference": difference,
        "low": float(low),
        "high": float(high),
        "level": level,
        "draws": len(difference_D),
        "seeds": seeds,
        "examples": examples,
        "method": f"paired percentile bootstrap over {how}",
    }
