"""TASKS: a recipe's ``task`` and the folder that does it; the one place that names a modality.

``recipe``, ``cli``, ``pipeline``, ``compare`` and ``api`` reach a modality through these functions alone. No torch.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from ..sections.recipe import Recipe

if TYPE_CHECKING:
    from ..interfaces.modality import Modality

TASKS: dict[str, str] = {
    "image-classification": "image",
    "text-classification": "text",
}
DEFAULT_TASK = "image-classification"


def part_of(task: str, part: str) -> ModuleType:
    """A module of the folder that does a task: its ``recipe``, ``contradictions``, ``draft``, ``predict`` or ``modality``."""
    return import_module(f"{__name__}.{TASKS[task]}.{part}")


def recipe_class(task: str) -> type[Recipe]:
    """What the recipe of a task is."""
    return part_of(task, "recipe").RECIPES[task]


def modality_of(recipe: Recipe) -> Modality:
    """The modality of a recipe. Imports torch."""
    return part_of(recipe.task, "modality")  # type: ignore[return-value]
