"""The student of a finished run in further formats: what ``limbeck export`` does"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..deploy.formats import require
from ..recipe import read
from .finished import finished_job, values_of
from .known import known_of
from .run import distil
from .stages import FORMATS, QUANTIZATION_AWARE

LAST = (FORMATS, QUANTIZATION_AWARE, "report")


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
    values = values_of(run)
    there = (values.get("export") or {}).get("formats") or ["onnx"]
    overrides = [f"export.formats=[{', '.join(dict.fromkeys([*there, *names]))}]"]
    recipe = read.read(run / "recipe.yaml", [*overrides, *([f"export.prefer={prefer}"] if prefer else [])])
    require(recipe.export.more)
    job = finished_job(recipe, run, but_for=LAST, trust_code=trust_code, device=device)
    return distil(job, known=known_of(recipe, run))
