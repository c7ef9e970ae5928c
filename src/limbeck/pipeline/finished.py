"""A run that is finished, opened once more to conclude something further from it"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..files import near
from ..recipe import read
from ..sections.recipe import Recipe
from .check import check_job
from .job import Job, open_job


def values_of(run: Path) -> dict[str, Any]:
    """What the recipe in a run's folder says.

    Raises :class:`limbeck.errors.BadInput` where it is no run, or one that only the program that made it can open.
    """
    file = run / "recipe.yaml"
    if not file.is_file():
        raise BadInput(f"{run}: it is not the folder of a run.{near(run)}")
    values = read.values_in(file)
    if (values.get("data") or {}).get("name") == "python":
        raise BadInput(
            f"{run}: it was made by limbeck.distill, of modules and data that are a program's own and that a command does not have."
        )
    return values


def finished_job(
    recipe: Recipe, run: Path, *, but_for: Collection[str], trust_code: bool = False, device: str = "auto"
) -> Job:
    """The job of a run whose stages are finished, ``but_for`` those that are to be made now.

    Raises :class:`limbeck.errors.BadInput` where another is not, or belongs to another recipe.
    """
    job = open_job(recipe, out=run, trust_code=trust_code, device=device, quiet=True)
    for stage in check_job(job):
        if stage.name not in but_for and stage.state != "finished":
            raise BadInput(
                f"{run}: its {stage.name} is not finished, or belongs to another recipe: "
                f"limbeck run {shlex.quote(str(run / 'recipe.yaml'))} --out {shlex.quote(str(run))} goes on from there."
            )
    return job
