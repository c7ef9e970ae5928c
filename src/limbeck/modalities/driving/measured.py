"""What only driving tells of a model: closed loop on the judge's seeds, which no state was collected on and nothing is chosen by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ...files import fingerprint
from ...models.inference import ask
from ...progress import Bar
from .collect import JUDGED, Drive, named, planner_named
from .episodes import Always, AtRandom, Driver, Episode, Network, Plans, drives
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


def driver_for(model: nn.Module) -> Driver:
    """Who drives where a model decides."""
    if isinstance(model, Said):
        assert model.driver is not None, "values that are given with states are judged nowhere"
        return model.driver
    return driver_of(model) if isinstance(model, MLP) else Asked(model)


def judged_drive(driver: Driver, recipe: ControlRecipe, progress: Bar | None = None, title: str = "") -> list[Episode]:
    """An episode for each of the judge's seeds. They are kept, but for those of a person's own code, which has no name."""
    world, seeds = World(recipe.data.name, recipe.data.settings), seeds_of(recipe)
    if isinstance(driver, Plans):
        return Drive(world, driver, planner_named(), seeds, recipe.data.processes).episodes(progress, title)
    if not isinstance(driver, (Network, Always, AtRandom)):  # who knows by what its code decides
        return drives(world, driver, seeds, processes=recipe.data.processes)
    who = named(driver) if isinstance(driver, Network) else fingerprint(repr(driver))
    return Drive(world, driver, who, seeds, recipe.data.processes, labelled=False).episodes(progress, title)


def figures_of(model: nn.Module, task: Control, splits: Splits) -> dict[str, float]:
    """Means over the episodes; of a student beside the planner's on the same seeds, with the ends of paired intervals."""
    recipe, period = task.recipe, task.recipe.judge.period_ms / 1e3
    own = judged_drive(driver_for(model), recipe)
    found = _means(own, period)
    if isinstance(model, Said):
        return found
    planner = judged_drive(Plans(), recipe)
    for name, interval in beside([own], [planner], period).items():
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
