"""Drivers judged as drivers: closed loop on fixed seeds, the same for all; and offline, by what their decisions cost in states at hand.

How often a driver decides as the planner does misleads: in half of the states the two best actions are worth the same to within a hundredth.
Regret, what the planner says its own best action is worth more than the one that was taken, tells a slip from a crash. And neither says how a
driver fares in states that it gets itself into. Shapes: K episodes, N states, A actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...evaluation.intervals import paired_bootstrap
from .episodes import Episode
from .headway import SHORT, Headway
from .planner import best

BAD = 0.5
"""Regret, in rewards of a second, from which on a decision is bad."""


@dataclass(frozen=True)
class Judged:
    """A figure over episodes.

    Attributes:
        title: in words.
        unit: what it is in; "%" of a share.
        better: whether ``more`` or ``less`` of it is; neither of some.
    """

    title: str
    unit: str = ""
    better: str = ""


FIGURES: dict[str, Judged] = {
    "collisions": Judged("episodes that end in a collision", "%", "less"),
    "reward": Judged("reward of an episode", "", "more"),
    "decisions": Judged("decisions of an episode", "", "more"),
    "speed": Judged("speed", "m/s"),
    "distance": Judged("distance of an episode", "m"),
    "lane_changes": Judged("lane changes of an episode"),
    "missed_deadlines": Judged("decisions slower than the period", "%", "less"),
    "short_headway": Judged(f"decisions less than {SHORT:g} s from a collision with the car ahead", "%", "less"),
    "least_headway": Judged("the shortest of an episode's times to a collision", "s", "more"),
}
"""The last two are of observations that hold distances to other cars (:mod:`.headway`)."""


def scores(episodes: Sequence[Episode], period: float, headway: Headway | None = None) -> dict[str, np.ndarray]:
    """Each of :data:`FIGURES` of each episode (K,); ``period``: the seconds that a decision may take; ``headway`` reads distances."""
    found = {
        "collisions": np.array([float(one.crashed) for one in episodes]),
        "reward": np.array([one.rewards_T.sum() for one in episodes]),
        "decisions": np.array([float(len(one.actions_T)) for one in episodes]),
        "speed": np.array([one.speeds_T.mean() for one in episodes]),
        "distance": np.array([one.distance for one in episodes]),
        "lane_changes": np.array([float(one.lane_changes) for one in episodes]),
        "missed_deadlines": np.array([(one.seconds_T > period).mean() for one in episodes]),
    }
    if headway is not None:
        seconds = [headway.seconds(one.states_TF) for one in episodes]
        found["short_headway"] = np.array([(one_T < SHORT).mean() for one_T in seconds])
        found["least_headway"] = np.array([one_T.min() for one_T in seconds])
    return found


def judged(episodes: Sequence[Episode], period: float, headway: Headway | None = None) -> dict[str, Any]:
    """The mean of each figure with its standard error over the episodes, and ``decision_ms``: median and 99th percentile of all decisions."""
    found: dict[str, Any] = {}
    for name, score_K in scores(episodes, period, headway).items():
        error = score_K.std(ddof=1) / len(score_K) ** 0.5 if len(score_K) > 1 else None
        found[name] = {"mean": float(score_K.mean()), "se": None if error is None else float(error)}
    seconds = np.concatenate([one.seconds_T for one in episodes])
    found["decision_ms"] = {"median": float(np.median(seconds)) * 1e3, "p99": float(np.percentile(seconds, 99)) * 1e3}
    found["episodes"] = len(episodes)
    return found


def beside(
    drivers: Sequence[Sequence[Episode]],
    references: Sequence[Sequence[Episode]],
    period: float,
    headway: Headway | None = None,
) -> dict[str, dict[str, Any]]:
    """By figure: how much more of it a driver has than the reference, with an interval paired by seed.

    ``drivers`` are the episodes of one driver or, of several trainings, of each; ``references`` those of one driver, or of as many
    trainings. All have the same seeds in the same order; raises ``ValueError`` where they have not.
    """
    if len(references) == 1:
        references = [*references] * len(drivers)
    if len({tuple(one.seed for one in episodes) for episodes in (*drivers, *references)}) > 1:
        raise ValueError("episodes of other seeds cannot be set beside one another")
    ours, theirs = ([scores(one, period, headway) for one in each] for each in (drivers, references))
    return {
        name: paired_bootstrap(np.stack([one[name] for one in ours]), np.stack([one[name] for one in theirs]))
        for name in ours[0]
    }


def regrets(values_NA: np.ndarray, actions_N: np.ndarray) -> np.ndarray:
    """What each decision costs (N,): the best value of its state less that of the action that was taken."""
    return values_NA.max(axis=1) - np.take_along_axis(values_NA, actions_N[:, None], axis=1)[:, 0]


def offline(values_NA: np.ndarray, actions_N: np.ndarray) -> Mapping[str, float]:
    """``regret``, its mean; ``bad_decisions``, the share beyond :data:`BAD`; ``agreement`` with the planner's best."""
    regret_N = regrets(values_NA, actions_N)
    return {
        "regret": float(regret_N.mean()),
        "bad_decisions": float((regret_N > BAD).mean()),
        "agreement": float((best(values_NA) == actions_N).mean()),
    }
