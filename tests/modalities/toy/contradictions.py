"""What is wrong in a recipe of points beside what is wrong in any. No torch."""

from collections.abc import Iterator
from pathlib import Path

from .recipe import PointRecipe


def contradictions(recipe: PointRecipe) -> Iterator[str]:
    """A network of another name."""
    for where, section in (("teacher", recipe.teacher), ("student", recipe.student)):
        if section.model != "net":
            yield f"{where}.model: '{section.model}' is no network of points; 'net' is"


def look_for(recipe: PointRecipe) -> list[Path | None]:
    """Nothing: the points are made up."""
    return []
