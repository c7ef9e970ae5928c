"""Whether a difference stands out from the noise of seeds and test examples.

Shapes: K comparisons, S seeds, N test examples, D bootstrap draws.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import BadInput

_CHUNK = 2**16  # counts at a time: they stay in cache, and memory does not grow with the draws


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
    a_SN: ArrayLike, b_SN: ArrayLike, *, draws: int = 10_000, level: float = 0.95, seed: int = 0
) -> dict[str, Any]:
    """The mean of A - B, and its percentile interval when both seeds and test examples are drawn again.

    ``a_SN`` and ``b_SN`` are scores of each example under each seed (correct or not, NLL, ...); row s of both
    has the same seed, column n the same example. Each draw takes S of the seeds (pairs) and N of the
    examples, with replacement, the same examples for all seeds. With one seed only the examples are drawn, so
    that the noise between seeds is not in the interval; ``method`` says which. Deterministic in ``seed``.

    Returns ``{"difference", "low", "high", "level", "draws", "seeds", "examples", "method"}``.
    """
    a_SN, b_SN = np.asarray(a_SN, dtype=np.float64), np.asarray(b_SN, dtype=np.float64)
    if a_SN.shape != b_SN.shape or a_SN.ndim != 2:
        raise ValueError(f"scores must be two (S, N) arrays of one shape, not {a_SN.shape} and {b_SN.shape}")
    return paired_bootstraps((a_SN - b_SN)[None], draws=draws, level=level, seed=seed)[0]


def paired_bootstraps(
    difference_KSN: ArrayLike, *, draws: int = 10_000, level: float = 0.95, seed: int = 0
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
    difference_NC = difference_KSN.reshape(count * seeds, examples).T

    rng = np.random.Generator(np.random.Philox(seed))
    by_seed_DC = np.empty((draws, count * seeds))
    chunk = max(1, _CHUNK // examples)
    for start in range(0, draws, chunk):
        rows = min(chunk, draws - start)
        drawn_DN = rng.integers(0, examples, size=(rows, examples)) + examples * np.arange(rows)[:, None]
        times_DN = np.bincount(drawn_DN.ravel(), minlength=rows * examples).reshape(rows, examples)
        by_seed_DC[start : start + rows] = times_DN.astype(np.float64) @ difference_NC
    times_DS = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    mean_DK = (by_seed_DC.reshape(draws, count, seeds) * times_DS[:, None]).sum(axis=2) / (seeds * examples)
    low_K, high_K = np.quantile(mean_DK, [(1 - level) / 2, (1 + level) / 2], axis=0)
    over = "seeds and test examples" if seeds > 1 else "test examples only (one seed)"
    return [
        {
            "difference": float(difference_KSN[k].mean()),
            "low": float(low_K[k]),
            "high": float(high_K[k]),
            "level": level,
            "draws": draws,
            "seeds": seeds,
            "examples": examples,
            "method": f"paired percentile bootstrap over {over}",
        }
        for k in range(count)
    ]
