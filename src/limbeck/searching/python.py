"""A search from Python: the same one, over a function that makes a person's own module out of knobs."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from ..api import check_task, fresh, in_python, load, name_of, own_of, recipe_of
from ..errors import BadInput, LimbeckError, did_you_mean, shown
from ..modalities import DEFAULT_TASK, part_of
from ..sections.recipe import Recipe
from ..sections.search import Search
from ..sections.section import Section
from ..sections.targets import Targets
from ..sections.teacher import Model
from ..sections.train import Train
from . import results
from .bench import Given
from .candidates import value_at
from .precision import PREFER

# Sections of the recipe whose fields may vary beside the student's knobs.
_SECTIONS = ("objective", "train", "targets", "views", "export")
_TASKS = ("image-classification", "image-regression")
# What sentences about a recipe call a thing, and what it is called here.
_ARGUMENTS = (
    (r"\bsearch\.space\.student\.", "space: "),
    (r"\bsearch\.space\.", "space: "),
    (r"\bsearch\.(?=[a-z_]+\b)", ""),
    (r"\bSearch\(space\.(?:student\.)?([\w.]+)=\.\.\.\)", r"space: \1"),
    (r"\bSearch\(([\w.]+)=\.\.\.\)", r"\1"),
    (r"\bfolder with --out\b", "folder with out"),
)


@dataclass(frozen=True)
class Found:
    """What came out of a search."""

    student: nn.Module  # of the best seed by validation, trained anew; in evaluation mode, takes images as they are
    knobs: dict[str, Any]  # what it was made and taught with, by the names of the space
    front: list[dict[str, Any]]  # trials that none beats, the cheapest first: trial, knobs, quality (validation), cost
    results: dict[str, Any]  # search.json
    folder: Path

    @property
    def page(self) -> Path:
        """The page of the search, one HTML file."""
        return self.folder / "search.html"


def search(
    *,
    teacher: nn.Module,
    student: Callable[..., nn.Module],
    space: Mapping[str, Any],
    train: Any,
    validation: Any = None,
    test: Any = None,
    transfer: Any = None,
    task: str = DEFAULT_TASK,
    validation_fraction: float = 0.1,
    budget: Mapping[str, float] | None = None,
    trials: int = 40,
    time: str | None = None,
    finalists: int = 3,
    keep: float | None = None,
    rungs: Sequence[float] = (1 / 9, 1 / 3),
    sampler: str = "tpe",
    objective: Mapping[str, Any] | None = None,
    views: Section | Mapping[str, Any] | None = None,
    train_plan: Train | None = None,
    targets: Targets | None = None,
    preprocess: Section | None = None,
    classes: Sequence[str] | None = None,
    numbers: Sequence[str] | str | None = None,
    unit: Sequence[str] | str | None = None,
    seeds: int = 1,
    seed: int = 0,
    out: str | Path = "runs/searched",
    device: str = "auto",
) -> Found:
    """Searches for the student that a budget allows, and for the settings that teach it best, as ``limbeck search`` does.

    Args:
        teacher, train, validation, test, transfer, validation_fraction, preprocess, classes, numbers, unit, out, device: as
            :func:`limbeck.distill` takes them.
        student: a function of knobs, by their names, to a fresh module (a class will do), called under torch's seed.
        space: by the name of a knob, or the path of a recipe's field (``train.learning_rate``, ``objective``): a list of values,
            a range ``{"low": 4, "high": 32, "log": True}``, or one value. A range of a knob whose ends are ``int`` is of whole numbers.
        task: ``image-classification`` or ``image-regression``.
        budget: what the exported student may cost at most: ``latency_ms``, ``size_kb``, ``memory_mb``, ``energy_mj``, ``macs``,
            ``parameters``.
        trials: how many students are tried, and as many again without a teacher.
        time: ``"2h"``, ``"90m"``: none is begun after so long.
        finalists: how many students of the front are trained anew with ``seeds`` and tested.
        rungs: shares of a student's epochs after which the weak stop; ``()``: all are trained in full.
        sampler: what proposes the next student: ``tpe`` (Optuna's) or ``random``.
        keep: the share of the teacher's quality for which the smallest student is foretold.
        objective, views, train_plan, targets: what a candidate has that the space does not vary; the objective as a recipe has
            it, ``{"kd": {"temperature": 4, "weight": 0.9}, "cross_entropy": {"weight": 0.1}}``.

    Raises:
        BadInput: a model, the data or the space cannot be used, or no student fits the budget; says why.
        LimbeckError: no student came out: time was up, or the finalists came to nothing.
    """
    check_task(task)
    if task not in _TASKS:
        raise BadInput(f"task: {task} is not searched from Python: write a recipe, and run limbeck search.")
    if isinstance(student, nn.Module) or not callable(student):
        raise BadInput(
            f"student is of type {type(student).__name__}: a search makes many, so give a function of the knobs in space that "
            "makes a module, such as MySmallModel itself."
        )
    if objective is not None and not isinstance(objective, Mapping):
        raise BadInput(
            f"objective is {type(objective).__name__}: a search varies its settings, so give them as a recipe does: "
            '{"kd": {"temperature": 4, "weight": 0.9}, "cross_entropy": {"weight": 0.1}}.'
        )
    for name, value, kind, such in (
        ("space", space, Mapping, '{"width": [4, 8]}'),
        ("budget", budget or {}, Mapping, '{"size_kb": 40}'),
        ("rungs", rungs, Sequence, "(1 / 9, 1 / 3)"),
    ):
        if not isinstance(value, kind):
            raise BadInput(f"{name} is {shown(value)}: give it as in {name}={such}.")
    python = part_of(task, "python")
    own = own_of(task, validation_fraction, preprocess=preprocess, numbers=numbers, unit=unit)
    paths = _paths(space, student)
    # what comes out is a module, in float32 unless it is said otherwise
    varied = {PREFER: None, **{paths[name]: _said(name, said, paths[name]) for name, said in space.items()}}
    with in_python((*_ARGUMENTS, *python.ARGUMENTS)):
        settings = Search(
            space=varied, budget=dict(budget or {}), trials=trials, time=time, finalists=finalists, keep=keep,
            rungs=tuple(rungs), sampler=sampler,
        )  # fmt: skip
        sections = python.sections_of(
            f"{type(teacher).__module__}:{type(teacher).__name__}",
            "",
            validation_fraction=validation_fraction,
            transfer=transfer is not None,
            **own,
        )
        begins = _begins(varied, student)
        sections["student"] = {"model": f"{student.__module__}:{name_of(student)}", **begins}
        given = {"objective": objective, "views": views, "targets": targets, "train": train_plan}
        recipe = recipe_of(task, sections, given, name=Path(out).name, seeds=seeds, seed=seed)
        of_data = {name: value for name, value in own.items() if name != "preprocess"}
        splits = python.splits_of(train, validation, test, recipe=recipe, transfer=transfer, classes=classes, **of_data)
        made = Given(splits, copy.deepcopy(teacher), lambda one, number: _made(student, one, number, python, splits))
        recipe = recipe.model_copy(update={"search": settings})
        found = results.search(recipe, out=Path(out), device=device, given=made)
        best = next((one for one in found["finalists"] if one["trial"] == found["chosen"]), None)
        if best is None or best["problem"] is not None:
            raise LimbeckError(found["why_none"] if best is None else f"The chosen student is none: {best['problem']}")
        tried = {one["number"]: one for one in found["trials"]["student"]}
        names = {path: name for name, path in paths.items()}
        knobs = partial(_knobs, recipe, names)
        chosen = knobs(tried[found["chosen"]])
        of_student = {name: chosen[name] for name, path in paths.items() if path.startswith("student.")}
        module = load(Path(out) / best["folder"], model=student(**of_student))
    front = [
        {
            "trial": number,
            "knobs": knobs(tried[number]),
            "quality": tried[number]["quality"],
            "cost": tried[number]["cost"],
        }
        for number in found["front"]
    ]
    return Found(module, chosen, front, found, Path(out))


def _paths(space: Mapping[str, Any], student: Callable[..., nn.Module]) -> dict[str, str]:
    """The fields of the recipe that the names in a space stand for. Raises :class:`BadInput` for what is none."""
    taken = inspect.signature(student).parameters.values()
    named = {one.name for one in taken if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    any_name = any(one.kind is one.VAR_KEYWORD for one in taken)
    found = {}
    for name in space:
        root, *more = name.split(".")
        if name in named or (any_name and not more and name not in _SECTIONS):
            if name in Model.model_fields:
                raise BadInput(
                    f"space: a knob cannot be called {shown(name)}; call it otherwise in {name_of(student)}."
                )
            found[name] = f"student.{name}"
        elif root in _SECTIONS:
            found[name] = name
        elif name in Train.model_fields:
            found[name] = f"train.{name}"
        else:
            known = [*named, *_SECTIONS, *Train.model_fields]
            raise BadInput(
                f"space: {shown(name)} is no knob of {name_of(student)}, nor a field of {', '.join(_SECTIONS)}."
                f"{did_you_mean(name, known)}"
            )
    needed = [one.name for one in taken if one.name in named and one.default is one.empty]
    if missing := [name for name in needed if name not in space]:
        raise BadInput(f"space: {name_of(student)} needs {', '.join(missing)}; give values, or one value, of each.")
    return found


def _said(name: str, said: Any, path: str) -> Any:
    """The values of a field; a knob's range from one ``int`` to another is of whole numbers."""
    try:
        json.dumps(said, allow_nan=False)
    except (TypeError, ValueError):
        raise BadInput(
            f"space: the values of {shown(name)} must be numbers, texts, True, False, None, or lists of them; a function of "
            "knobs can make of a text whatever it stands for."
        ) from None
    if isinstance(said, Mapping) and path.startswith("student."):
        numbers = [said[end] for end in ("low", "high", "step") if said.get(end) is not None]
        if numbers and all(type(one) is int for one in numbers):
            return {"whole": True, **said}
    return said


def _begins(varied: Mapping[str, Any], student: Callable[..., nn.Module]) -> dict[str, Any]:
    """The student that is tried first: what its function has by default, or the middle of what is tried."""
    taken = inspect.signature(student).parameters
    found = {}
    for path, said in varied.items():
        root, _, name = path.partition(".")
        if root != "student":
            continue
        default = taken[name].default if name in taken else inspect.Parameter.empty
        found[name] = _middle(said) if default is inspect.Parameter.empty else default
    return found


def _middle(said: Any) -> Any:
    if isinstance(said, list | tuple):
        return said[len(said) // 2] if said else None
    if not isinstance(said, Mapping) or not {"low", "high"} <= set(said):
        return said
    low, high = said["low"], said["high"]
    middle = (low * high) ** 0.5 if said.get("log") else (low + high) / 2
    return round(middle) if said.get("whole") else middle


def _made(student: Callable[..., nn.Module], recipe: Recipe, seed: int, python: Any, splits: Any) -> nn.Module:
    """A fresh student of a candidate. Raises :class:`BadInput` where the function makes no module of its knobs."""
    knobs = copy.deepcopy(recipe.student.knobs)
    try:
        made = fresh(partial(student, **knobs), seed, lambda one: one)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise BadInput(f"student: {name_of(student)} makes nothing of {knobs}: {error}") from None
    return python.fresh(made, splits)


def _knobs(recipe: Recipe, names: Mapping[str, str], trial: Mapping[str, Any]) -> dict[str, Any]:
    """What a trial was made with, by the names of the space; what else varied, by its path."""
    begun = recipe.student.knobs
    settings = recipe.search or Search()
    pinned = {path: value_at({"student": begun}, path) for path in names if path.startswith("student.")}
    pinned |= {path: one for path, one in settings.space.items() if isinstance(one, str | int | float)}
    return {names.get(path, path): value for path, value in {**pinned, **trial["values"]}.items()}
