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
from .costs import candidate_of, exported, name_of, tokens_of
from .device import PRECISION, Profile, require_attained
from .dimensions import STUDENT, Space, asked, enumerated
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

    In ``folder``: ``NAME.onnx``, named by :func:`limbeck.searching.costs.name_of`; ``candidates.json``, what they are and the
    limits of the budget that latencies are held to; and ``measure.py``. What an earlier call wrote there is kept.

    Returns what ``candidates.json`` says; of what cannot be exported there is a ``problem`` instead of a file.
    Raises :class:`limbeck.errors.BadInput` for a folder that holds something else, or cannot be written.
    """
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
            name = name_of(job, model)
            if name not in found and name not in problems:
                what = told_of(one)
                try:
                    found[name] = {"what": what, **_written(job, model, folder / f"{name}.onnx")}
                except LimbeckError as error:
                    problems[name] = {"what": what, "problem": str(error)}
                write_json(folder / measure.CANDIDATES, told)
            advance()
    return told


def for_device(recipe: Recipe, profile: Profile) -> Recipe:
    """The recipe, its search among the students that a device was given to measure.

    Raises :class:`limbeck.errors.BadInput` where nothing that it measured is within the budget.
    """
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


def told_of(recipe: Recipe) -> str:
    """A student in words: ``convnet, width 8, depth 2``."""
    student = recipe.model_dump(mode="json", exclude_none=True)[STUDENT]
    name = str(student.pop("model", "student"))
    student |= student.pop(PRUNED, {})
    return ", ".join([name, *(f"{knob} {value}" for knob, value in student.items())])


def _written(job: Job, model: Any, path: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as made:
        deployed = exported(job, model, Path(made))
        with atomic_path(path) as temporary:
            shutil.copyfile(deployed.path, temporary)
    return {"file": path.name, "tokens": tokens_of(deployed)}


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
