"""Whether the files and folders that a recipe names are there; nothing is opened, and no torch."""

from __future__ import annotations

from pathlib import Path

from ..modalities import part_of
from ..sections.recipe import Recipe
from ..targets.find_stores import one_store


def look_for(recipe: Recipe) -> None:
    """Raises `BadInput` where something that a recipe names is not there, before anything is imported that could read it."""
    part_of(recipe.task, "contradictions").look_for(recipe)
    if recipe.targets.store is not None:
        one_store(Path(recipe.targets.store))
