"""Fields of a recipe of driving that are right alone and wrong together, one sentence each. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...errors import not_installed, shown
from . import OUTLINES
from .families import MLP, problems
from .recipe import ControlRecipe


def contradictions(recipe: ControlRecipe) -> Iterator[str]:
    """What does not go together in a recipe of driving."""
    if recipe.targets.views > 1:
        yield f"targets.views: {recipe.targets.views} was given, and states are not varied, so that the planner would say the same; leave it out"
    if recipe.targets.live:
        yield "targets.live: what the planner says of a state is kept with it, and nothing is asked again; leave it out"
    if recipe.data.rollouts is not None and recipe.student.model != MLP:
        yield (
            f"data.rollouts: {recipe.student.model} is no network of ours, and mlp alone drives while data is collected; leave out "
            "data.rollouts, or take mlp"
        )
    if recipe.student.model == MLP:
        yield from (f"student{why}" for why in problems(recipe.student.knobs))
    elif ":" not in recipe.student.model:
        yield f"student.model: {shown(recipe.student.model)} is no network of states; mlp is, or module:callable"


def look_for(recipe: ControlRecipe) -> list[Path | None]:
    """Nothing: what is driven is made here.

    Raises :class:`BadInput` where there is no such environment, or it has no such setting, or the simulator is not installed.
    """
    try:
        from .simulator import World
    except ModuleNotFoundError as missing:
        raise not_installed("simulated drives", missing, str(OUTLINES[recipe.task].extra)) from missing
    World(recipe.data.name, recipe.data.settings)
    return []
