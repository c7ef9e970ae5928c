"""The front of a search: the trials that no other beats in quality and in every cost at once, within the budget. No torch.

Chosen by validation alone. Costs are on logarithmic axes, as everywhere they are drawn: half the milliseconds count as much
from 2 to 1 as from 0.2 to 0.1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .budget import fits
from .trials import FINISHED, Trial

DEFAULT_COST = "latency_ms"
KEPT = 0.9
"""A finalist has so much of the chosen student's quality at least: the cheap end of a front may be worth nothing to anybody."""


def axes(budget: Mapping[str, float]) -> tuple[str, ...]:
    """The costs that quality is held against: those of the budget, or the latency where there is none."""
    return tuple(sorted(budget)) or (DEFAULT_COST,)


def eligible(trials: Sequence[Trial], budget: Mapping[str, float]) -> list[Trial]:
    """Those that were trained in full, of which all costs in question are known and within the budget."""
    wanted = axes(budget)
    return [
        one
        for one in trials
        if one.fate == FINISHED
        and one.quality is not None
        and math.isfinite(one.quality)
        and all(math.isfinite(one.cost.get(name, math.nan)) for name in wanted)
        and fits(one.cost, budget)
    ]


def front_of(trials: Sequence[Trial], budget: Mapping[str, float], better: int = 1) -> list[Trial]:
    """The trials that are on the front, the cheapest first.

    None is at least as good in quality and every cost as one of them and truly better in one; of trials that are alike in
    all of these the first stands for the others. ``better`` is 1 where more of the quality is better, -1 where less is.
    """
    names, alike = axes(budget), {}
    for one in sorted(eligible(trials, budget), key=lambda one: one.number):
        alike.setdefault(_standing(one, names, better), one)
    found = [at for at in alike if not any(all(a >= b for a, b in zip(other, at)) for other in alike if other != at)]
    return [alike[at] for at in sorted(found, key=lambda at: (*(-cost for cost in at[1:]), at[0]))]


def _standing(trial: Trial, names: Sequence[str], better: int) -> tuple[float, ...]:
    """Quality and costs, each such that more is better."""
    assert trial.quality is not None
    return (better * trial.quality, *(-trial.cost[name] for name in names))


def fronts_by_cost(trials: Sequence[Trial], budget: Mapping[str, float], better: int = 1) -> dict[str, list[Trial]]:
    """For each cost in question the front of quality against that cost alone, of trials within the whole budget."""
    within = eligible(trials, budget)
    return {name: _front_of_one(within, name, better) for name in axes(budget)}


def _front_of_one(trials: Sequence[Trial], name: str, better: int) -> list[Trial]:
    found: list[Trial] = []
    best = -math.inf
    for one in sorted(trials, key=lambda one: (one.cost[name], -better * (one.quality or 0.0), one.number)):
        assert one.quality is not None
        if better * one.quality > best:
            best = better * one.quality
            found.append(one)
    return found


def chosen_of(front: Sequence[Trial], budget: Mapping[str, float], better: int = 1) -> Trial | None:
    """The student to take: the best of the front, of equals the cheapest; None of an empty front."""
    names = axes(budget)

    def standing(one: Trial) -> tuple[float, ...]:
        assert one.quality is not None
        return (-better * one.quality, *(one.cost[name] for name in names), one.number)

    return min(front, key=standing, default=None)


def finalists_of(front: Sequence[Trial], budget: Mapping[str, float], count: int, better: int = 1) -> list[Trial]:
    """The chosen student and up to ``count`` - 1 more, spread along that part of the front that keeps :data:`KEPT` of its quality.

    Each is the one farthest from those before it, quality and the logarithms of the costs each taken from 0 to 1 over that
    part; so the second is mostly its cheapest end.
    """
    chosen = chosen_of(front, budget, better)
    if chosen is None:
        return []
    names = axes(budget)
    front = [one for one in front if _keeps(one, chosen, better)]
    places = {one.number: [one.quality or 0.0, *(_log(one.cost[name]) for name in names)] for one in front}
    lows, highs = ([end(column) for column in zip(*places.values())] for end in (min, max))
    for at in places.values():
        at[:] = [(value - low) / (high - low or 1.0) for value, low, high in zip(at, lows, highs)]
    found, left = [chosen], [one for one in front if one is not chosen]
    while left and len(found) < count:
        next_ = max(
            left,
            key=lambda one: (
                min(math.dist(places[one.number], places[other.number]) for other in found),
                -one.number,
            ),
        )
        found.append(next_)
        left.remove(next_)
    return found


def _keeps(one: Trial, chosen: Trial, better: int) -> bool:
    """Whether it is worth testing beside the chosen one; where figures may be below 0 there are no shares of them."""
    own, best = one.quality or 0.0, chosen.quality or 0.0
    if best <= 0:
        return True
    return own >= KEPT * best if better > 0 else own <= best / KEPT


def _log(cost: float) -> float:
    return math.log(max(cost, 1e-12))  # the cost of an architecture that computes nothing may be 0
