"""Candidates written out untrained, with the script that measures them on the device they are for"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna

from .. import progress
from ..deploy.formats import FORMATS
from ..deploy.standalone import write_standalone
from ..errors import BadInput, LimbeckError
from ..files import atomic_path, write_json
from ..pipeline.job import Job
from ..pipeline.versions import EXPORT_VERSION
from ..sections.pruned import PRUNED
from ..sections.recipe import Recipe
from ..sections.search import Search
from ..version import __version__
from . import measure
from .bench import Bench
from .candidates import recipe_with
from .costs import candidate_of, exported, name_of, rounded, tokens_of
from .device import PRECISION, Profile, require_attained, require_measured
from .dimensions import STUDENT, Space, asked, enumerated
from .precision import FLOAT32, format_of, formats_in, key_of, with_precision
from .space import space_of

SCRIPT = "measure.py"
MOST = 100
"""How many candidates are written."""
_PROPOSALS = 20  # are looked at for each of them at most


def write_candidates(
    recipe: Recipe,
    folder: Path,
    *,
    trust_code: bool = False,
    threads: int | None = None,
    most: int = MOST,
) -> dict[str, Any]:
    """Writes untrained exports of the architectures in the space of a recipe's search: all, or so many that chance names.

    In ``folder``: ``NAME.onnx``, named by :func:`limbeck.searching.costs.name_of`, and ``NAME.int8.onnx`` where the space has that
    precision; ``candidates.json``, what they are and the
    limits of the budget that latencies are held to; and ``measure.py``. What an earlier call wrote there is kept.

    Returns what ``candidates.json`` says; of what cannot be exported there is a ``problem`` instead of a file.
    Raises :class:`limbeck.errors.BadInput` for a folder that holds something else, or cannot be written.
    """
    recipe = with_precision(recipe)
    told = _begun(folder, recipe.search or Search())
    bench = Bench(recipe, out=folder, trust_code=trust_code, device="cpu", threads=threads)
    found: dict[str, dict[str, Any]] = told["candidates"]
    problems: dict[str, dict[str, Any]] = told["problems"]
    with progress.bar(most, "write candidates") as advance:
        for one in sampled(recipe, most):
            try:
                job = bench.job_of(one)
            except BadInput:  # a student that does not go with the data or the objective; a search leaves it out too
                continue
            model = candidate_of(job)
            architecture = name_of(job, model)
            for format in formats_in(recipe):
                name, path = key_of(architecture, format), folder / f"{architecture}{FORMATS[format].suffix}"
                if name in found or name in problems:
                    continue
                what = told_of(one, format)
                try:
                    found[name] = {"what": what, **_written(job, model, path, format)}
                except LimbeckError as error:
                    problems[name] = {"what": what, "problem": str(error)}
                write_json(folder / measure.CANDIDATES, told)
            advance()
    return told


def for_device(recipe: Recipe, profile: Profile) -> Recipe:
    """The recipe, its search among the students that a device was given to measure.

    Raises :class:`limbeck.errors.BadInput` where nothing that it measured is within the budget.
    """
    recipe = with_precision(recipe, profile.formats)  # one of float32 alone serves a search of float32
    require_measured(profile, formats_in(recipe))
    require_attained(profile, (recipe.search or Search()).budget)
    return among_written(recipe)


def among_written(recipe: Recipe, most: int = MOST) -> Recipe:
    """The recipe, its search among the students alone that :func:`write_candidates` writes of it.

    Where the space has more than these, hardly one that a search proposes would have been measured on the device.
    """
    search = recipe.search or Search()
    there = space_of(recipe).of_student.points
    if there is not None and there <= most:
        return recipe
    students = tuple(one.student.model_dump(mode="json", exclude_none=True) for one in sampled(recipe, most))
    others = {path: said for path, said in search.space.items() if path.split(".")[0] != STUDENT}
    return recipe.model_copy(update={"search": search.model_copy(update={"space": {**others, STUDENT: students}})})


def sampled(recipe: Recipe, most: int) -> Iterator[Recipe]:
    """Candidates that differ in their student: all there are, where these are at most so many, or so many by chance.

    What contradicts itself is left out.
    """
    space = space_of(recipe)
    seen: set[str] = set()
    for values in enumerated(space.of_student, most) or _by_chance(space, recipe.seed, _PROPOSALS * most):
        try:
            one = recipe_with(recipe, values)
        except BadInput:
            continue
        if (student := one.student.model_dump_json()) not in seen:
            seen.add(student)
            yield one
        if len(seen) == most:
            return


def _by_chance(space: Space, seed: int, count: int) -> Iterator[dict[str, Any]]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return (asked(space, study.ask()) for _ in range(count))


def told_of(recipe: Recipe, format: str | None = None) -> str:
    """A student in words: ``convnet, width 8, depth 2``; and in which format, its recipe's where not given, unless that is float32."""
    format = format or format_of(recipe)
    student = recipe.model_dump(mode="json", exclude_none=True)[STUDENT]
    name = str(student.pop("model", "student"))
    student |= student.pop(PRUNED, {})
    words = [name, *(f"{knob} {value}" for knob, value in student.items())]
    return ", ".join([*words, *([] if format == FLOAT32 else [format])])


def _written(job: Job, model: Any, path: Path, format: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as made:
        if format == FLOAT32:
            deployed = exported(job, model, Path(made))
            file, tokens = deployed.path, tokens_of(deployed)
        else:
            file, tokens = rounded(job, model, Path(made), format)
        with atomic_path(path) as temporary:
            shutil.copyfile(file, temporary)
    return {"file": path.name, "tokens": tokens}


def _begun(folder: Path, search: Search) -> dict[str, Any]:
    """What ``candidates.json`` begins with: what an earlier call of the same format wrote, and this budget."""
    told: dict[str, Any] = {
        "limbeck_version": __version__,
        "exports": EXPORT_VERSION,
        "precision": PRECISION,
        "limits": dict(search.budget),
        "candidates": {},
        "problems": {},
    }
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        before = _before(folder / measure.CANDIDATES)
        if before is None:
            raise BadInput(
                f"--candidates {folder}: it holds something else already; name a folder that is not there yet."
            )
        if (before.get("exports"), before.get("precision")) == (EXPORT_VERSION, PRECISION):
            told["candidates"] = {
                name: one for name, one in before["candidates"].items() if (folder / one["file"]).is_file()
            }
    write_json(folder / measure.CANDIDATES, told)
    write_standalone(measure.__name__, folder / SCRIPT)
    return told


def _before(path: Path) -> Mapping[str, Any] | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) and isinstance(said.get("candidates"), dict) else None
