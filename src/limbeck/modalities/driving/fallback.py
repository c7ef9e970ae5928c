"""A fallback: slower in place of what the student would do, wherever it is unsure. Shapes: F numbers of a state, A actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .actions import SLOWER
from .episodes import Episode, Network

KEPT = 0.95
"""Of the reward that a student has alone: what a fallback must leave it."""


@dataclass(frozen=True)
class Careful:
    """The network decides where it is sure: where its likeliest action's logit is ahead of that of slower by ``lead`` or more, or is slower's.

    Its probability alone would not do: where nothing is near, many actions are as good, and it gives each of them little.
    """

    network: Network
    lead: float

    def __call__(self, observation_F: np.ndarray, env: Any, draw: np.random.Generator) -> tuple[int, None]:
        """The action."""
        logits_A = self.network.logits(observation_F)
        best = int(logits_A.argmax())
        return (best if logits_A[best] - logits_A[SLOWER] >= self.lead else SLOWER), None

    def interventions(self, episodes: Sequence[Episode]) -> float:
        """Share of the decisions in which it was slower and the network alone would not have been."""
        taken = [
            (action, int(self.network.logits(state_F).argmax()))
            for one in episodes
            for state_F, action in zip(one.states_TF, one.actions_T.tolist(), strict=True)
        ]
        return float(np.mean([action == SLOWER != own for action, own in taken]))


def chosen(alone: Sequence[Episode], by_lead: Mapping[float, Sequence[Episode]]) -> float:
    """Of episodes on the same validation seeds, with each lead that was tried: that with the fewest collisions, of equals the least, among those
    that leave :data:`KEPT` of the reward that the student has ``alone``; 0, which is no fallback, where none does."""
    least = KEPT * _reward(alone)
    tried = {0.0: alone, **by_lead}
    fit = {lead: _collisions(episodes) for lead, episodes in tried.items() if _reward(episodes) >= least}
    return min(fit, key=lambda lead: (fit[lead], lead))


def _reward(episodes: Sequence[Episode]) -> float:
    return float(np.mean([one.rewards_T.sum() for one in episodes]))


def _collisions(episodes: Sequence[Episode]) -> float:
    return float(np.mean([one.crashed for one in episodes]))
