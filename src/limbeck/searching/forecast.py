"""How good a student of another size would be: a saturating curve through the front, with an interval. No torch.

Quality against cost follows a power law that levels off (Hestness et al. 2017, "Deep Learning Scaling is Predictable,
Empirically", section 5): ``top - scale * cost ** -exponent``, fitted by least squares to the front. The exponent is searched on a
grid and the other two are solved for (variable projection, Golub & Pereyra 1973), so that no start can be a bad one.
The interval is a bootstrap over trials: each draw has a front and a curve of its own, and the scatter of that front about it.
A draw has fewer trials than the search, so its front lies lower; that bias is estimated and taken away (Efron & Tibshirani 1993,
section 10.3). The cheapest trial of a front is there because nothing is cheaper, not because it is good: it is left out.

Shapes: N points, E exponents, D draws, A costs that are asked about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evaluation.figure import Figure
from .front import eligible
from .trials import Trial

LEVEL = 0.8
DRAWS = 400
# Below these a line would be drawn through chance: of ten students the interval held 64 % of what it should hold 80 % of. Those that
# stopped at a rung count: that they fell short there is what makes the others a front.
LEAST_STUDENTS = 15
LEAST_FRONT = 6  # for a curve of three numbers
_LEAST_FITTED = 4
_LEAST_RANGE = 2.0  # dearest over cheapest
_REACH = 30.0  # beyond the cheapest and the dearest that were tried by more than this factor nothing is said
_EXPONENTS_E = np.geomspace(0.1, 2.0, 40)


@dataclass(frozen=True)
class Curve:
    """``top - scale * (cost / middle) ** -exponent``, where more is better."""

    top: float
    scale: float
    exponent: float
    middle: float

    def __call__(self, cost_A: np.ndarray) -> np.ndarray:
        """The quality at these costs."""
        return self.top - self.scale * (cost_A / self.middle) ** -self.exponent


@dataclass(frozen=True)
class Forecast:
    """A curve through a front, and those of its draws.

    Attributes:
        figure: what is forecast.
        cheapest, dearest: the range of costs that was tried.
        used: points that the curve goes through.
        curve: of all trials.
        draws: of the draws, each with the scatter about it.
    """

    figure: Figure
    cheapest: float
    dearest: float
    used: int
    curve: Curve
    draws: tuple[tuple[Curve, float], ...]

    def at(self, costs: Sequence[float]) -> dict[str, list[float]]:
        """The figure at these costs: ``expected``, and the ends of its 80 % interval, ``low`` <= ``high``."""
        cost_A = np.asarray(costs, dtype=np.float64)
        ends = np.quantile(self._drawn(cost_A), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        found = self._possible(self.figure.sign * np.stack([ends[0], self.curve(cost_A), ends[1]]))
        low_A, high_A = np.minimum(found[0], found[2]), np.maximum(found[0], found[2])
        return {"expected": found[1].tolist(), "low": low_A.tolist(), "high": high_A.tolist()}

    def smallest(self, quality: float) -> dict[str, float | None]:
        """The smallest cost at which the figure is expected to be as good as ``quality``, and its 80 % interval.

        None stands for a cost beyond all that can be said: more than 30 times outside what was tried, or never. The
        lower end is then "not known to cost anything", the upper one "not known to be reached".
        """
        cost_A = np.geomspace(self.cheapest / _REACH, self.dearest * _REACH, 1_200)
        wanted = self.figure.sign * quality
        reached_D = [_first(cost_A, row >= wanted) for row in self._drawn(cost_A)]
        low, high = np.quantile(reached_D, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
        expected = _first(cost_A, self.curve(cost_A) >= wanted)
        ends = (("expected", expected), ("low", low), ("high", high))
        return {name: float(one) if cost_A[0] < one < math.inf else None for name, one in ends}

    def _drawn(self, cost_A: np.ndarray) -> np.ndarray:
        """What each draw says, more is better (D, A), the middle of their curves moved to the curve of all trials."""
        curves_DA = np.stack([one(cost_A) for one, _ in self.draws])
        lower_A = np.clip(self.curve(cost_A) - np.median(curves_DA, axis=0), 0, None)
        return curves_DA + lower_A + np.array([scatter for _, scatter in self.draws])[:, None]

    def _possible(self, value_A: np.ndarray) -> np.ndarray:
        if self.figure.share:
            return value_A.clip(0, 1)
        return value_A if self.figure.sign > 0 else value_A.clip(0, None)


def forecast_of(
    points: Sequence[tuple[float, float]], figure: Figure, seed: int = 0, *, stopped: int = 0
) -> Forecast | str:
    """The forecast from trials as (cost, quality), those that are not on the front among them; a sentence where there is none.

    ``stopped`` more were held to these at a rung and fell short there. Deterministic in ``seed``.
    """
    tried = len(points) + stopped
    if tried < LEAST_STUDENTS:
        return (
            f"No forecast: {tried} student{' was' if tried == 1 else 's were'} trained within the budget, and it takes "
            f"at least {LEAST_STUDENTS}. Try more with --trials."
        )
    return _forecast(points, figure, seed)


def _forecast(points: Sequence[tuple[float, float]], figure: Figure, seed: int) -> Forecast | str:
    cost_N, value_N = (np.array([one[k] for one in points], dtype=np.float64) for k in (0, 1))
    value_N = figure.sign * value_N
    front = _front(cost_N, value_N)
    if len(front) < LEAST_FRONT:
        return (
            f"No forecast: the front has {len(front)} student{'' if len(front) == 1 else 's'}, and a curve that levels off takes "
            f"at least {LEAST_FRONT}. Try more with --trials."
        )
    cheapest, dearest = float(cost_N[front[0]]), float(cost_N[front[-1]])
    if not cheapest > 0 or dearest < _LEAST_RANGE * cheapest:
        return (
            f"No forecast: the students of the front cost nearly the same (the dearest {dearest / cheapest if cheapest > 0 else 1:.2g} times the "
            "cheapest), which says nothing of other sizes."
        )
    generator = np.random.default_rng(seed)
    curve, _ = _fitted(cost_N[front[1:]], value_N[front[1:]], figure)
    draws = []
    for _ in range(DRAWS):
        index_N = generator.integers(0, len(points), len(points))
        drawn = index_N[_front(cost_N[index_N], value_N[index_N])[1:]]
        if len(drawn) >= _LEAST_FITTED:
            one, scatter_N = _fitted(cost_N[drawn], value_N[drawn], figure)
            draws.append((one, float(generator.choice(scatter_N))))
    if len(draws) < DRAWS / 2:
        return (
            f"No forecast: the front hangs on a few of the {len(points)} students that were trained in full, so that a curve "
            "through others like them could not be drawn. Try more with --trials."
        )
    return Forecast(figure, cheapest, dearest, len(front) - 1, curve, tuple(draws))


def held_out(points: Sequence[tuple[float, float]], figure: Figure, seed: int = 0) -> dict[str, int] | None:
    """The forecast held to the truth: fitted without the smallest and without the largest third of the front.

    ``{"named", "of"}``: how many of the figures left out lie within its 80 % interval. None where too little is left to fit.
    """
    cost_N = np.array([cost for cost, _ in points], dtype=np.float64)
    front = _front(cost_N, figure.sign * np.array([value for _, value in points], dtype=np.float64))
    third = len(front) // 3
    if third == 0:
        return None
    named = of = 0
    smallest, largest = cost_N[front[third - 1]], cost_N[front[-third]]
    for left_out, kept in ((front[:third].tolist(), cost_N > smallest), (front[-third:].tolist(), cost_N < largest)):
        found = _forecast([points[k] for k in np.flatnonzero(kept).tolist()], figure, seed)
        if isinstance(found, str):
            continue
        said = found.at([points[k][0] for k in left_out])
        named += sum(low <= points[k][1] <= high for k, low, high in zip(left_out, said["low"], said["high"]))
        of += third
    return {"named": named, "of": of} if of else None


def points_of(trials: Sequence[Trial], budget: Mapping[str, float], cost: str) -> list[tuple[float, float]]:
    """(cost, quality) of the trials that were trained in full, within the budget; by ``parameters`` too."""
    found = []
    for one in eligible(trials, budget):
        value = one.cost.get(cost, one.parameters if cost == "parameters" else None)
        if value is not None and value > 0 and one.quality is not None:
            found.append((float(value), one.quality))
    return found


def about(
    trials: Sequence[Trial],
    budget: Mapping[str, float],
    cost: str,
    figure: Figure,
    teacher: float | None,
    keep: float | None,
) -> dict[str, Any]:
    """What ``search.json`` says of the forecast by one cost.

    ``teacher`` is the teacher's figure over validation, ``keep`` the share of it that a student is to keep: of a figure of which
    less is better, a student that keeps 0.98 has at most 1/0.98 of it.
    """
    points = points_of(trials, budget, cost)
    found = forecast_of(points, figure, stopped=sum(one.rungs != {} and one.quality is None for one in trials))
    if isinstance(found, str):
        return {"cost": cost, "why_none": found}
    grid = np.geomspace(found.cheapest / 2, found.dearest * 2, 25).tolist()
    asked = None
    if keep is not None and teacher is not None:
        wanted = teacher * keep if figure.sign > 0 else teacher / keep
        asked = {"share": keep, "quality": wanted, **found.smallest(wanted)}
        expected = asked["expected"]
        asked["tried"] = None if expected is None else found.cheapest <= expected <= found.dearest
    return {
        "cost": cost,
        "why_none": None,
        "level": LEVEL,
        "students": len(points),
        "used": found.used,
        "cheapest": found.cheapest,
        "dearest": found.dearest,
        "top": figure.sign * found.curve.top,
        "exponent": found.curve.exponent,
        "curve": {"cost": grid, **found.at(grid)},
        "keep": asked,
        "held_out": held_out(points, figure),
    }


def _front(cost_N: np.ndarray, value_N: np.ndarray) -> np.ndarray:
    """Indices of the points that none as cheap is as good as, the cheapest first; more of the value is better."""
    order = np.lexsort((-value_N, cost_N))
    best = np.maximum.accumulate(value_N[order])
    return order[np.flatnonzero(value_N[order] > np.concatenate([[-np.inf], best[:-1]]))]


def _fitted(cost_N: np.ndarray, value_N: np.ndarray, figure: Figure) -> tuple[Curve, np.ndarray]:
    """The curve of least squares that rises with the cost and nowhere passes the best possible; and what is left of each point."""
    middle = float(np.exp(np.log(cost_N).mean()))
    falls_EN = (cost_N / middle) ** -_EXPONENTS_E[:, None]
    best = 1.0 if figure.share and figure.sign > 0 else math.inf if figure.sign > 0 else 0.0
    from_mean_EN = falls_EN - falls_EN.mean(1, keepdims=True)
    scale_E = -(from_mean_EN * (value_N - value_N.mean())).sum(1) / np.maximum((from_mean_EN**2).sum(1), 1e-300)
    scale_E = scale_E.clip(0)
    top_E = value_N.mean() + scale_E * falls_EN.mean(1)
    past_E = top_E > best
    if past_E.any():  # then the top is the best possible, and the scale alone is left to solve for
        under_E = ((best - value_N) * falls_EN).sum(1) / (falls_EN**2).sum(1)
        scale_E, top_E = np.where(past_E, under_E.clip(0), scale_E), np.where(past_E, best, top_E)
    left_EN = value_N - (top_E[:, None] - scale_E[:, None] * falls_EN)
    e = int((left_EN**2).sum(1).argmin())
    return Curve(float(top_E[e]), float(scale_E[e]), float(_EXPONENTS_E[e]), middle), left_EN[e]


def _first(cost_A: np.ndarray, reached_A: np.ndarray) -> float:
    """The smallest cost at which it is reached; infinite where it never is."""
    return float(cost_A[reached_A.argmax()]) if reached_A.any() else math.inf
