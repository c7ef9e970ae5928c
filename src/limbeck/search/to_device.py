"""Candidates written out untrained, with the script that measures them on the device they are for"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..deploy.standalone import write_standalone
from ..errors import BadInput, LimbeckError
from ..files import atomic_path, write_json
from ..pipeline.job import Job
from ..pipeline.versions import EXPORT_VERSION
from ..version import __version__
from . import measure
from .costs import candidate_of, exported, name_of, tokens_of
from .device import PRECISION

SCRIPT = "measure.py"


def write_candidates(folder: Path, students: Iterable[tuple[str, Job]], budget: Mapping[str, float]) -> dict[str, Any]:
    """Writes the untrained export of each architecture among ``students`` (what each is, and its job), each once.

    In ``folder``: ``NAME.onnx``, named by :func:`limbeck.search.costs.name_of`; ``candidates.json``, what they are and the
    limits of the budget that latencies are held to; and ``measure.py``.

    Returns what ``candidates.json`` says; of an architecture that cannot be exported there is a ``problem`` instead of a file.
    Raises :class:`limbeck.errors.BadInput` for a folder that holds something else, or cannot be written.
    """
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / measure.CANDIDATES).is_file())
    ):
        raise BadInput(f"--candidates {folder}: it holds something else already; name a folder that is not there yet.")
    found: dict[str, dict[str, Any]] = {}
    problems: dict[str, dict[str, Any]] = {}
    for what, job in students:
        model = candidate_of(job)
        name = name_of(job, model)
        if name in found or name in problems:
            continue
        try:
            with tempfile.TemporaryDirectory() as made:
                deployed = exported(job, model, Path(made))
                with atomic_path(folder / f"{name}.onnx") as path:
                    shutil.copyfile(deployed.path, path)
        except LimbeckError as error:
            problems[name] = {"what": what, "problem": str(error)}
        else:
            found[name] = {"what": what, "file": f"{name}.onnx", "tokens": tokens_of(job, deployed)}
    told = {
        "limbeck_version": __version__,
        "exports": EXPORT_VERSION,
        "precision": PRECISION,
        "limits": dict(budget),
        "candidates": found,
        "problems": problems,
    }
    write_standalone(measure.__name__, folder / SCRIPT)
    write_json(folder / measure.CANDIDATES, told)
    return told
