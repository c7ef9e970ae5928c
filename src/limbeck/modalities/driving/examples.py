"""States as examples: what the driver saw, and what the planner says of it.

Shapes: N states, F numbers of one, A actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...data.examples import Identified, SplitsOf
from ...data.groups import Groups
from ...randomness import bits, stable_hash
from .episodes import Episode
from .planner import best


@dataclass(frozen=True, eq=False)
class States(Identified):
    """Attributes:
    states_NF: (N, F) float32.
    values_NA: (N, A) float32, what the planner says each action is worth.
    labels: (N,) int64, the best action.
    ids: (N,) int64, made of who drove, the episode's seed and the step.
    """

    states_NF: Tensor
    values_NA: Tensor
    labels: Tensor
    ids: Tensor
    groups: Groups | None = None

    def __post_init__(self) -> None:
        self._check_ids(len(self.states_NF))

    def take(self, index: Tensor, /) -> States:
        """Those at these positions."""
        return States(self.states_NF[index], self.values_NA[index], self.labels[index], self.ids[index])

    def to(self, device: torch.device | str, /) -> States:
        """The same on a device."""
        moved = [one.to(device) for one in (self.states_NF, self.values_NA, self.labels, self.ids)]
        return States(moved[0], moved[1], moved[2], moved[3])


Splits = SplitsOf[States]


def states_of(driven: Sequence[tuple[str, Episode]]) -> States:
    """All states of some episodes, each with what says who drove it: a driver is told from any other by it."""
    values_NA = np.concatenate([_values(episode) for _, episode in driven])
    ids = [_ids(who, episode) for who, episode in driven]
    return States(
        states_NF=torch.from_numpy(np.concatenate([episode.states_TF for _, episode in driven])),
        values_NA=torch.from_numpy(values_NA.astype(np.float32)),
        labels=torch.from_numpy(best(values_NA)),
        ids=torch.cat(ids),
    )


def _values(episode: Episode) -> np.ndarray:
    assert episode.values_TA is not None
    return episode.values_TA


def _ids(who: str, episode: Episode) -> Tensor:
    steps_T = torch.arange(len(episode.actions_T))
    return bits(0, stable_hash(f"{who} {episode.seed}"), steps_T, "driving.state")
