"""What timings are worth on a machine that does other things too: statistics of runs, without running anything.

A run that is interrupted takes longer by the clock than by the processor's own time; long runs are interrupted and short
ones are not, so that on a busy machine the clock makes a large model look many times slower than it is. And a run that
follows an interruption finds the caches full of something else, and is slower by any measure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

APART = 1.1
"""Clock over processor time, from which on a run, or a measurement as a whole, counts as disturbed."""
GRAIN_MS = 0.005  # readings of the two clocks are not taken at the same instant
LEVEL = 0.95
LEAST_ROUNDS = 6  # with fewer there is no 95 % interval of a median
LEAST_RUNS = 3
HALF_WIDTH = 0.02
"""How narrow an interval is to be: half its width over the ratio, or whatever else it is of."""


class Timing(NamedTuple):
    """One run, from the end of the one before it: milliseconds by the clock, and of the thread on its processor."""

    clock_ms: float
    cpu_ms: float

    @property
    def own_ms(self) -> float:
        """What the run itself took: the clock's figure, unless the processor was taken away."""
        return min(self.clock_ms, self.cpu_ms)

    @property
    def interrupted(self) -> bool:
        """Whether the processor was taken away."""
        return self.clock_ms > APART * self.cpu_ms + GRAIN_MS


class Burst(NamedTuple):
    """Runs of one model, one straight after the other. The first only fills the caches."""

    runs: tuple[Timing, ...]

    @property
    def undisturbed(self) -> list[float]:
        """Clock milliseconds of runs that were not interrupted, nor was the one before them."""
        return [
            run.clock_ms for before, run in zip(self.runs, self.runs[1:]) if not (run.interrupted or before.interrupted)
        ]

    @property
    def typical_ms(self) -> float:
        """The median of undisturbed runs; where there are none, the lower quartile of what runs took of their own."""
        quiet = self.undisturbed
        return float(np.median(quiet) if quiet else np.quantile([run.own_ms for run in self.runs[1:]], 0.25))


def latency(bursts: Sequence[Burst]) -> dict[str, Any]:
    """``latency_ms`` of a model.

    ``p50`` and ``p95`` by the clock of the ``n`` undisturbed runs (None where all were disturbed), ``disturbed`` (how many
    were), and ``cpu_p50``, the median processor time of all runs.
    """
    quiet = [one for burst in bursts for one in burst.undisturbed]
    timed = [run for burst in bursts for run in burst.runs[1:]]
    return {
        "p50": float(np.percentile(quiet, 50)) if quiet else None,
        "p95": float(np.percentile(quiet, 95)) if quiet else None,
        "n": len(quiet),
        "disturbed": len(timed) - len(quiet),
        "cpu_p50": float(np.median([run.cpu_ms for run in timed])),
    }


def typical(bursts: Sequence[Burst]) -> dict[str, Any]:
    """``value``, the median of the bursts' typical runs in ms, with its 95 % interval: ``low``, ``high``, ``level``, ``n`` and ``of``.

    ``of`` is ``bursts``, those with undisturbed runs, where there are enough; else ``disturbed bursts``, all of them. Runs
    of one burst follow one another, so that a burst counts once.
    """
    quiet = [one for one in bursts if one.undisturbed]
    enough = len(quiet) >= LEAST_ROUNDS
    low, middle, high = median_interval([one.typical_ms for one in (quiet if enough else bursts)])
    return {
        "value": middle,
        "low": low,
        "high": high,
        "level": LEVEL,
        "n": len(quiet) if enough else len(bursts),
        "of": "bursts" if enough else "disturbed bursts",
    }


def tail(bursts: Sequence[Burst], share: float = 0.95) -> dict[str, Any]:
    """``value``, the quantile ``share`` of undisturbed runs in ms, with its 95 % interval: ``low``, ``high``, ``level``, ``n`` and ``of``.

    ``of`` is ``runs``, those of ``n`` undisturbed bursts, where there are enough; else ``disturbed runs``, all of them. Runs of
    one burst follow one another, so that the share of runs below the quantile scatters from burst to burst by more than
    chance: its standard error is that of a ratio over clusters, and the interval of the quantile is what the distribution
    of runs has at both ends of the share's (Woodruff 1952, "Confidence intervals for medians and other position measures").
    """
    quiet = [one.undisturbed for one in bursts if one.undisturbed]
    enough = len(quiet) >= LEAST_ROUNDS
    parts = quiet if enough else [[run.clock_ms for run in one.runs[1:]] for one in bursts]
    ms = np.concatenate(parts)
    value = float(np.quantile(ms, share))
    sizes = np.array([len(part) for part in parts])
    below = np.array([np.count_nonzero(np.asarray(part) <= value) for part in parts])
    off = below - below.sum() / sizes.sum() * sizes
    error = float(np.sqrt(np.square(off).sum() * len(parts) / max(len(parts) - 1, 1))) / float(sizes.sum())
    low, high = (float(np.quantile(ms, min(max(share + way * 1.96 * error, 0.0), 1.0))) for way in (-1, 1))
    return {
        "value": value,
        "low": low,
        "high": high,
        "level": LEVEL,
        "n": len(parts),
        "of": "runs" if enough else "disturbed runs",
    }


def clock_over_cpu(bursts: Sequence[Burst]) -> float:
    """The clock's time of all runs together, over the processor's. 1 on a quiet machine."""
    runs = [run for burst in bursts for run in burst.runs]
    return sum(run.clock_ms for run in runs) / sum(run.cpu_ms for run in runs)


def ratio(one: Sequence[Burst], other: Sequence[Burst]) -> dict[str, Any]:
    """How many times as long a run of ``one`` takes as one of ``other``: ``ratio``, ``low``, ``high``, ``n`` and ``of``.

    The median of ``n`` ratios with its distribution-free 95 % interval (from order statistics, by the binomial
    distribution). What they are ratios ``of``:

    * ``rounds`` with an undisturbed run on both sides, where there are enough. The bursts of a round follow one another, so
      what changes slowly (the processor's speed) is the same for both and goes out of their ratio;
    * else ``runs``, the undisturbed ones of all rounds together, each over the other model's median: on a busy machine a
      few of these are nearer to the truth than any number of runs that began with cold caches;
    * else ``disturbed rounds``, all of them.
    """
    rounds = list(zip(one, other, strict=True))
    quiet = [pair for pair in rounds if all(burst.undisturbed for burst in pair)]
    ours, theirs = ([ms for burst in bursts for ms in burst.undisturbed] for bursts in (one, other))
    if len(quiet) >= LEAST_ROUNDS:
        of, values = "rounds", [a.typical_ms / b.typical_ms for a, b in quiet]
    elif min(len(ours), len(theirs)) >= LEAST_RUNS:
        of = "runs"
        if len(ours) <= len(theirs):
            values = [ms / float(np.median(theirs)) for ms in ours]
        else:
            values = [float(np.median(ours)) / ms for ms in theirs]
    else:
        of, values = "disturbed rounds", [a.typical_ms / b.typical_ms for a, b in rounds]
    low, middle, high = median_interval(values)
    return {"ratio": middle, "low": low, "high": high, "level": LEVEL, "n": len(values), "of": of}


def narrow(found: Mapping[str, Any], *, of: str = "ratio") -> bool:
    """Whether the interval of a ratio, or whatever else it is ``of``, is as narrow as it is to be."""
    return found["high"] - found["low"] <= 2 * HALF_WIDTH * found[of]


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Low end, median and high end; the ends are the order statistics that hold the true median with at least 95 %.

    Of fewer than six values they are the least and the greatest, which hold it less often.
    """
    ordered, n = sorted(values), len(values)
    beyond, outside = 0.0, 0  # P(at most so many values lie below the median), how many are left out at each end
    while outside < (n - 1) // 2:
        beyond += math.comb(n, outside) / 2**n
        if beyond > (1 - LEVEL) / 2:
            break
        outside += 1
    outside = max(0, outside - 1)
    return ordered[outside], float(np.median(ordered)), ordered[n - 1 - outside]
