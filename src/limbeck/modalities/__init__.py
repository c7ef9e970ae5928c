"""TASKS: a recipe's ``task`` and the folder that does it; the one place that names a modality.

A folder is one beside this file, or, with a dot in its name, a package from elsewhere.
``recipe``, ``cli``, ``pipeline``, ``compare`` and ``api`` reach a modality through these functions alone. No torch.
Each raises :class:`limbeck.errors.BadInput` for a task that there is not, and where a library is missing that comes
with an extra.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import BadInput, near, not_installed, shown
from ..sections.outline import Outline

if TYPE_CHECKING:
    from ..interfaces.modality import Modality
    from ..sections.recipe import Recipe

TASKS: dict[str, str] = {
    "image-classification": "image",
    "image-regression": "image",
    "text-classification": "text",
    "audio-classification": "speech",
    "automatic-speech-recognition": "speech",
    "control": "driving",
}
DEFAULT_TASK = "image-classification"


def unknown_task(task: object, among: Collection[str] = TASKS) -> str | None:
    """A sentence where there is no such task ``among`` these; None where there is."""
    if isinstance(task, str) and task in TASKS:
        return None
    hint = near(task, among, cutoff=0.86) if isinstance(task, str) else ""
    return f"task: {shown(task)} is not one of {', '.join(among)}.{hint}"


def outline_of(task: str) -> Outline:
    """What a task is, in words."""
    return import_module(_folder(task)).OUTLINES[task]


def recipe_class(task: str) -> type[Recipe]:
    """What the recipe of a task is."""
    return part_of(task, "recipe").RECIPES[task]


def part_of(task: str, part: str) -> ModuleType:
    """A module of the folder that does a task: its ``recipe``, ``contradictions``, ``knobs``, ``draft``, ``predict`` or ``modality``."""
    try:
        return import_module(f"{_folder(task)}.{part}")
    except ModuleNotFoundError as missing:
        outline = outline_of(task)
        if outline.extra is None or str(missing.name).startswith((f"{__name__}.", f"{_folder(task)}.")):
            raise
        raise not_installed(f"models of {outline.examples}", missing, outline.extra) from missing


def modality_of(recipe: Recipe) -> Modality:
    """The modality of a recipe. Imports torch."""
    return part_of(recipe.task, "modality")  # type: ignore[return-value]


def _folder(task: str) -> str:
    if why := unknown_task(task):
        raise BadInput(why)
    folder = TASKS[task]
    return folder if "." in folder else f"{__name__}.{folder}"
