"""A run that is finished, opened once more to conclude something further from it"""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..recipe import read
from ..sections.recipe import Recipe
from .check import check_job
from .job import Job, open_job
from .stages import no_run, not_finished


def values_of(run: Path) -> dict[str, Any]:
    """What the recipe in a run's folder says.

    Raises :class:`limbeck.errors.BadInput` where it is no run, or one that only the program that made it can open, or it cannot be
    written to.
    """
    file = run / "recipe.yaml"
    if not file.is_file():
        raise BadInput(no_run(run))
    if not (run / "stages").is_dir():
        raise BadInput(
            f"{run}: it holds a recipe, and nothing of a run: limbeck run {shlex.quote(str(file))} --out FOLDER, with a folder that "
            "is not there yet, makes one."
        )
    if not os.access(run, os.W_OK | os.X_OK):
        raise BadInput(
            f"{run} cannot be written to, and what is made of a run lands in its folder: give yourself the right to write there, or "
            "copy the run to a folder of your own."
        )
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
    told = ""
    for one in _as_written(recipe):
        job = open_job(one, out=run, trust_code=trust_code, device=device, quiet=True)
        told = next((row.name for row in check_job(job) if row.name not in but_for and row.state != "finished"), "")
        if not told:
            return job
    raise BadInput(not_finished(run, told))


def _as_written(recipe: Recipe) -> list[Recipe]:
    """What a person may have written where a run's folder has this, most likely first.

    A folder of an earlier version has every default of the student written out, and a student's stage is named by what was said of the
    student: of texts a default that was said makes another stage than one that was not.
    """
    unsaid = {}
    for name in ("student", "assistant"):
        if (section := getattr(recipe, name)) is not None:
            unsaid[name] = type(section).model_validate(section.model_dump(exclude_defaults=True))
    fewer = recipe.model_copy(update=unsaid)
    same = all(getattr(fewer, name).knobs == getattr(recipe, name).knobs for name in unsaid)
    return [recipe] if same else [fewer, recipe]
