"""The report of a finished run once more: what ``limbeck report`` does"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..files import write_json
from ..recipe import read
from .device import ADOPTED, read_device, require_of_run
from .finished import finished_job, values_of
from .known import known_of
from .run import distil


def report_again(
    run: Path, profile: Path | None = None, *, trust_code: bool = False, device: str = "auto"
) -> dict[str, Any]:
    """Makes the report of a finished run, with the figures of a device that a ``profile`` has, or without any; returns the results.

    The profile is kept in the run's folder, so that the recipe run again comes to the same report. Nothing is trained or
    measured; the test split is read once more, for the examples that the page shows, where such a report was not made before.

    Raises :class:`limbeck.errors.BadInput` where the folder is no finished run, or the profile is none, or none of its files.
    """
    values_of(run)
    said = None if profile is None else read_device(profile)
    if profile is not None and said is not None:
        require_of_run(said, profile, _student_of(run), run)
    recipe = read.read(run / "recipe.yaml")
    job = finished_job(recipe, run, but_for=("report",), trust_code=trust_code, device=device)
    if said is None:
        (run / ADOPTED).unlink(missing_ok=True)
    else:
        write_json(run / ADOPTED, said)
    return distil(job, known=known_of(recipe, run))


def _student_of(run: Path) -> Path:
    """The file of a run's student, as it lies in its folder."""
    try:
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        file = run / results["export"]["path"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise BadInput(f"{run}: it has no results yet: finish the run first.") from None
    if not file.is_file():
        raise BadInput(f"{file} is missing: the same recipe, run again, puts it there.")
    return file
