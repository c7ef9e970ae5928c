"""Budgets: read from the command line, and held against what was measured. No torch"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import BadInput, did_you_mean, shown
from ..sections.budget import COSTS

MOST = 1e15


def budget_of(given: Iterable[str]) -> dict[str, float]:
    """A budget from what stands behind ``--budget``, such as ``latency_ms=0.05``.

    Raises :class:`limbeck.errors.BadInput` for a cost that is not known, a number that is none, or a cost given twice.
    """
    budget: dict[str, float] = {}
    for one in given:
        name, equals, text = (part.strip() for part in one.partition("="))
        if not equals:
            raise BadInput(
                f"--budget {shown(one)}: a budget is a cost and the most it may be, such as latency_ms=0.05."
            )
        if name not in COSTS:
            raise BadInput(f"--budget {shown(one)}: no cost is called {shown(name)}.{did_you_mean(name, COSTS)}")
        limit = _number(text)
        if limit is None or not 0 < limit <= MOST:
            raise BadInput(
                f"--budget {shown(one)}: {shown(text)} is no number above 0. The unit stands in the name "
                f"({name} counts {COSTS[name].unit}): write the number alone."
            )
        if budget.get(name, limit) != limit:
            raise BadInput(f"--budget {name} is given twice, as {budget[name]:g} and {limit:g}: leave one out.")
        budget[name] = limit
    return budget


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def violations(cost: Mapping[str, Any], budget: Mapping[str, float]) -> dict[str, float]:
    """By how much of each limit a measured cost exceeds it; above 0 is over, as Optuna's constraints have it.

    Relative to the limit, so that violations of several costs can be added. Infinite where a cost was not measured:
    what is not known to fit does not fit.
    """
    found = {}
    for name, limit in budget.items():
        value = cost.get(name)
        found[name] = math.inf if value is None or math.isnan(value) else value / limit - 1
    return found


def fits(cost: Mapping[str, Any], budget: Mapping[str, float]) -> bool:
    """Whether a measured cost is within a budget."""
    return all(over <= 0 for over in violations(cost, budget).values())


def nothing_fits(budget: Mapping[str, float], measured: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """What to say where none of the ``measured`` (what each is, and its cost) is within the budget.

    Names the smallest of each cost and whose it is; and, where each limit is met by some, what comes nearest to all.
    """
    known = [one for one in measured if all(math.isfinite(over) for over in violations(one[1], budget).values())]
    asked = " and ".join(cost_text(name, limit) for name, limit in budget.items())
    if not known:
        return f"nothing fits the budget of {asked}: not one candidate could be measured."
    parts, apart = [], True
    for name, limit in budget.items():
        what, cost = min(known, key=lambda one: one[1][name])
        apart = apart and cost[name] <= limit
        parts.append(f"the smallest {name} is {number_text(name, cost[name])} ({what})")
    nearest = ""
    if apart:
        what, cost = min(known, key=lambda one: max(violations(one[1], budget).values()))
        has = " and ".join(cost_text(name, cost[name]) for name in budget)
        nearest = f" Each limit is met by some, and all by none; nearest comes {what} with {has}."
    of = f"{len(known)} export{'s' if len(known) > 1 else ''} measured"
    return (
        f"nothing fits the budget of {asked}: of {of}, {', '.join(parts)}.{nearest} "
        "Allow more with --budget, or let search.space reach smaller students."
    )


def cost_text(name: str, value: float) -> str:
    """A cost with its unit: ``0.0512 ms``, ``27,970 parameters``."""
    return f"{number_text(name, value)} {COSTS[name].unit}"


def number_text(name: str, value: float) -> str:
    """A cost's number: to three digits, or in full where it counts things."""
    return f"{value:,.0f}" if COSTS[name].whole or value >= 1000 else f"{value:.3g}"
