"""The student of a finished run in further formats: what ``limbeck export`` does"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..deploy.formats import require
from ..errors import BadInput
from ..files import near
from ..recipe import read
from .check import check_job
from .job import open_job
from .known import known_of
from .run import distil
from .stages import FORMATS

LAST = (FORMATS, "report")


def export_as(
    run: Path, names: Sequence[str], prefer: str | None = None, *, trust_code: bool = False, device: str = "auto"
) -> dict[str, Any]:
    """Adds formats to those of a finished run, and returns its results, which tell of all of them.

    The run's recipe names them from then on, so that the same recipe run again comes to the same. ``prefer`` is as in a
    recipe; as it was where not given. The test split is read once more.

    Raises:
        BadInput: the folder is no run, what was trained in it is not finished or belongs to another recipe, there is no
            such format, or something is to be installed for it.
    """
    file = run / "recipe.yaml"
    if not file.is_file():
        raise BadInput(f"{run}: it is not the folder of a run.{near(run)}")
    values = read.values_in(file)
    if (values.get("data") or {}).get("name") == "python":
        raise BadInput(
            f"{run}: it was made by limbeck.distill, of modules and data that are a program's own and that a command does not have."
        )
    there = (values.get("export") or {}).get("formats") or ["onnx"]
    overrides = [f"export.formats=[{', '.join(dict.fromkeys([*there, *names]))}]"]
    recipe = read.read(file, [*overrides, *([f"export.prefer={prefer}"] if prefer else [])])
    require(recipe.export.more)
    job = open_job(recipe, out=run, trust_code=trust_code, device=device, quiet=True)
    for stage in check_job(job):
        if stage.name not in LAST and stage.state != "finished":
            raise BadInput(
                f"{run}: its {stage.name} is not finished, or belongs to another recipe: "
                f"limbeck run {shlex.quote(str(file))} --out {shlex.quote(str(run))} goes on from there."
            )
    return distil(job, known=known_of(recipe, run))
