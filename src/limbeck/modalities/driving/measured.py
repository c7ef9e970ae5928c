"""What only driving tells of a model: closed loop on the judge's seeds, which no state was collected on and nothing is chosen by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ...models.inference import ask
from .collect import JUDGED, Drive, planner_named
from .episodes import Driver, Episode, Plans, drives
from .examples import Splits
from .judge import beside, judged, offline
from .network import MLP, driver_of
from .recipe import ControlRecipe
from .simulator import World
from .task import Control
from .teachers import Said


@dataclass(frozen=True)
class Asked:
    """A module of a person's own as a driver."""

    model: nn.Module

    def __call__(self, observation_F: np.ndarray, env: Any, draw: np.random.Generator) -> tuple[int, None]:
        """The likeliest action."""
        return int(ask(self.model, torch.from_numpy(observation_F[None])).argmax()), None


def seeds_of(recipe: ControlRecipe) -> range:
    """Those that drivers are judged on."""
    return range(JUDGED, JUDGED + recipe.judge.episodes)


def judged_drive(driver: Driver, recipe: ControlRecipe) -> Sequence[Episode]:
    """An episode for each of the judge's seeds. The planner's are kept, since all are set beside them."""
    world = World(recipe.data.name, recipe.data.settings)
    if isinstance(driver, Plans):
        return Drive(world, driver, planner_named(), seeds_of(recipe), recipe.data.processes).episodes(None, "")
    return drives(world, driver, seeds_of(recipe), processes=recipe.data.processes)


def figures_of(model: nn.Module, task: Control, splits: Splits) -> dict[str, float]:
    """Means over the episodes; of a student beside the planner's on the same seeds, with the ends of paired intervals."""
    recipe, period = task.recipe, task.recipe.judge.period_ms / 1e3
    if isinstance(model, Said):
        return _means(judged_drive(Plans(), recipe), period)
    driver = driver_of(model) if isinstance(model, MLP) else Asked(model)
    own, planner = judged_drive(driver, recipe), judged_drive(Plans(), recipe)
    found = _means(own, period)
    for name, interval in beside([own], planner, period).items():
        if name in ("collisions", "reward"):
            end = {"more": interval["difference"], "at least": interval["low"], "at most": interval["high"]}
            found |= {f"{name}_beside_planner_{which.replace(' ', '_')}": float(value) for which, value in end.items()}
    held = splits.validation
    logits_NA = ask(model, held.states_NF.cpu())
    for name, value in offline(held.values_NA.cpu().numpy(), logits_NA.argmax(1).cpu().numpy()).items():
        found[f"{name}_on_validation"] = value
    return found


def _means(episodes: Sequence[Episode], period: float) -> dict[str, float]:
    said = judged(episodes, period)
    found = {name: float(one["mean"]) for name, one in said.items() if isinstance(one, dict) and "mean" in one}
    return {**found, "decision_ms_p99": said["decision_ms"]["p99"]}
