"""Where a candidate's training may end early, and which end there.

Candidates are held to one another at the same epoch, as in successive halving (Li et al. 2020, "A System for Massively
Parallel Hyperparameter Tuning", section 3); with a cost beside the quality, a candidate is weak where more than a few are at least as good in both.
No torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# A candidate stops where more than this share of the others is at least as good in everything,
WEAK = 1 / 20
# and where so many others came to the rung at all: one that is better, of one or two, tells little.
FEWEST_OTHERS = 3


@dataclass(frozen=True)
class Standing:
    """A candidate at a rung: its quality so far, of which more is better, and its costs, of which less is."""

    quality: float
    costs: tuple[float, ...] = ()


def rung_epochs(shares: Sequence[float], epochs: int) -> tuple[int, ...]:
    """The epochs at whose end a candidate of so many ``epochs`` is looked at: ascending, at least 1, before the last."""
    return tuple(sorted({epoch for share in shares if (epoch := max(1, round(share * epochs))) < epochs}))


def goes_on(candidate: Standing, others: Sequence[Standing]) -> bool:
    """Whether a candidate is trained further.

    It is where at most a twentieth of the ``others`` that reached the rung are at least as good in quality and in every
    cost, and where these are fewer than :data:`FEWEST_OTHERS`; a quality that is no number never is.
    """
    if math.isnan(candidate.quality):
        return False
    return len(others) < FEWEST_OTHERS or as_good(candidate, others) <= WEAK * len(others)


def as_good(candidate: Standing, others: Sequence[Standing]) -> int:
    """How many of the others are at least as good as a candidate in quality and in every cost."""
    return sum(_as_good(one, candidate) for one in others)


def _as_good(one: Standing, other: Standing) -> bool:
    return one.quality >= other.quality and all(a <= b for a, b in zip(one.costs, other.costs, strict=True))
