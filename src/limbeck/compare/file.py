"""What a comparison is to be: objectives, students and seeds as a grid over one teacher. No torch.

A comparison file names a recipe and the objectives to set side by side. Read, it is a list of rows, each a student with
what it learns from; two rows without a teacher are always among them. Nothing is left to be found wrong later but what
only the data or the models can tell.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from ..errors import BadInput, did_you_mean, shown
from ..objectives.catalogue import CATALOGUE
from ..objectives.catalogue.entry import LABELS
from ..recipe import read as recipe_file
from ..recipe.sentences import sentences
from ..sections.recipe import LONGEST_NAME as LONGEST_RUN
from ..sections.recipe import Recipe
from ..sections.section import Positive, Section, Seeds, Times, meanings

K = TypeVar("K")
V = TypeVar("V")

LONGEST_NAME = 60
MOST_TRIALS = 100  # of a row
# The rows that are there without being asked for: the arms of a run that have no teacher.
CONTROLS = ("baseline", "smoothed")
_TAKEN = (*CONTROLS, "teacher")
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet takes what begins like this for a formula


class Sweep(Section):
    """A small grid, alike for every objective, of which the best on validation is taken. Test is not looked at."""

    weight_scale: tuple[Positive, ...] = Field(default=(0.5, 1.0, 2.0), min_length=1, max_length=MOST_TRIALS)
    """Factors to try on the weights of all terms but those that need labels alone, such as ``cross_entropy``."""
    settings: dict[str, Annotated[tuple[tuple[str, ...], ...], Field(max_length=MOST_TRIALS)]] = Field(default={})
    """By row: settings to try instead, each a list of ``term.field=value``; as many as the other rows have."""
    epochs: Times | None = None
    """Epochs of a trial; the recipe's where not given."""
    seeds: Seeds = 1
    """How many students are trained for a trial."""


class ComparisonFile(Section):
    """The fields of a comparison file."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=LONGEST_RUN)
    """Names the comparison and its folder; the file's name where not given."""
    recipe: str
    """The recipe that gives data, teacher, student, training and seeds; a path, beside this file if not absolute."""
    set: tuple[str, ...] = ()
    """Changes to the recipe, each ``section.field=value``."""
    objectives: dict[str, dict[str, Any]]
    """By row's name: an objective, as in a recipe."""
    students: dict[str, dict[str, Any]] | None = None
    """By name: students, as in a recipe; the recipe's where not given."""
    against: str | None = None
    """The row whose differences from the others are shown, beside those from no teacher; ``kd`` where there is one."""
    sweep: Sweep | None = None
    """How each row's settings are chosen; null: they are as given, or as published where nothing is given."""


@dataclass(frozen=True)
class Trial:
    """One setting to try on validation."""

    settings: tuple[str, ...]  # what it changes, as a person says it
    recipe: Recipe  # at full length
    short: Recipe  # as it is tried


@dataclass(frozen=True)
class Row:
    """One line of the comparison: a student and what it learns from."""

    student: str
    name: str
    arm: str  # of a run: "student", "baseline" or "smoothed"
    recipe: Recipe
    trials: tuple[Trial, ...] = ()  # empty: the recipe is taken as it is

    @property
    def key(self) -> str:
        """Names the row among all, whatever signs the two names hold."""
        return json.dumps([self.student, self.name], ensure_ascii=False)

    @property
    def title(self) -> str:
        """How a person reads it."""
        if self.arm == "baseline":
            return "no teacher"
        if self.arm == "smoothed":
            return f"no teacher, labels smoothed by {self.recipe.baseline.label_smoothing:g}"
        return self.name


@dataclass(frozen=True)
class Comparison:
    """A comparison file, read and found right."""

    name: str
    file: ComparisonFile
    recipe: Recipe
    rows: tuple[Row, ...]

    @property
    def students(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(dict.fromkeys(row.student for row in self.rows))

    @property
    def against(self) -> str | None:
        """The row that the others are set beside, next to no teacher."""
        return self.file.against or ("kd" if "kd" in self.file.objectives else None)

    @property
    def tuning(self) -> str:
        """How the settings of the rows came about, in a sentence."""
        sweep = self.file.sweep
        if sweep is None:
            return "Nothing was tuned: settings are as the comparison file gives them, and as published where it gives none."
        trials = self.rows[0].trials
        return (
            f"Settings were chosen on validation by as many trials for every row ({len(trials)}, each with {sweep.seeds} "
            f"seed(s) and {trials[0].short.train.epochs} epoch(s)): settings of the teacher's terms for the objectives, "
            "learning rates for the rows without a teacher."
        )


def read(path: Path, overrides: Sequence[str] = ()) -> Comparison:
    """The comparison in a YAML file; ``overrides`` change its recipe, after those in the file.

    Raises `BadInput` with a line per problem, each naming the field, what was given and what would be right.
    """
    path = Path(path)
    where = str(path)
    values = recipe_file.named_after(path, recipe_file.values_in(path, "comparison file", "recipe and objectives"))
    recipe_file.check_plain(values, where)
    _refuse(where, list(_fields(values)))
    try:
        file = ComparisonFile.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise recipe_file.refusal(where, sentences(error, ComparisonFile)) from None
    _refuse(where, list(_names(file)))
    base = recipe_file.read(path.parent / file.recipe, [*file.set, *overrides])
    if base.assistant is not None:
        problem = "recipe: it has an assistant, and the students of a comparison learn from the teacher itself; give set: [assistant=null]"
        _refuse(where, [problem])
    students = file.students or {base.student.model: base.student.model_dump(mode="json")}
    _refuse(where, list(_unequal(file)))
    names = [name for name in (*CONTROLS, *file.objectives) if name != "smoothed" or base.smoothed]
    with_students = _all(where, {n: partial(_changed, base, f"students.{n}", student=students[n]) for n in students})
    rows = _all(
        where,
        {(s, n): partial(_row, file, with_students[s], s, n) for s, n in itertools.product(students, names)},
    )
    return Comparison(str(file.name), file, base, tuple(rows.values()))


def resolved(comparison: Comparison, recipe: str) -> str:
    """The comparison as YAML, its recipe, with every default, being in the file named ``recipe`` beside it."""
    return recipe_file.as_yaml(comparison.file.model_dump(mode="json") | {"recipe": recipe, "set": []})


def _all(where: str, made: Mapping[K, Callable[[], V]]) -> dict[K, V]:
    """What each gives; `BadInput` with all that is wrong, where anything is."""
    found: dict[K, V] = {}
    problems: list[str] = []
    for key, make in made.items():
        try:
            found[key] = make()
        except BadInput as error:
            problems += error.lines
    _refuse(where, list(dict.fromkeys(problems)))
    return found


def _row(file: ComparisonFile, base: Recipe, student: str, name: str) -> Row:
    """A row with its trials. Raises `BadInput` in the words of a recipe, headed by where it stands in the file."""
    control = name in CONTROLS
    where = "baseline" if control else f"objectives.{name}"
    plain = base.labels_alone
    weighted = getattr(base.objective.terms.get(plain), "class_weights", None)
    labels = {"class_weights": weighted} if weighted else {}  # a control's labels weigh what the base recipe's do
    recipe = _changed(base, where, objective={plain: labels} if control else file.objectives[name])
    row = Row(student, name, name if control else "student", recipe)
    sweep = file.sweep
    if sweep is None:
        return row
    trials = _rates(recipe, _trial_count(file)) if control else _settings(sweep, name, recipe)
    short = {"train": {"epochs": sweep.epochs or recipe.train.epochs}, "seeds": sweep.seeds}
    tried = tuple(Trial(settings, full, _changed(full, "sweep", **short)) for settings, full in trials)
    return dataclasses.replace(row, trials=tried)


def _settings(sweep: Sweep, name: str, recipe: Recipe) -> Iterator[tuple[tuple[str, ...], Recipe]]:
    given = recipe.objective.model_dump(mode="json")
    if name not in sweep.settings:
        for factor in sweep.weight_scale:
            yield (f"weight × {factor:g}",), _changed(recipe, f"objectives.{name}", objective=scaled(given, factor))
        return
    for settings in sweep.settings[name]:
        where = f"sweep.settings.{name}"
        try:
            changed = recipe_file.apply_overrides({"objective": given}, [f"objective.{one}" for one in settings])
        except BadInput as error:
            raise BadInput(f"{where}: {str(error).removeprefix('--set objective.')}") from None
        yield settings, _changed(recipe, where, objective=changed["objective"])


def _rates(recipe: Recipe, count: int) -> Iterator[tuple[tuple[str, ...], Recipe]]:
    """As many learning rates as others have trials: the recipe's, half, double, a quarter, ..."""
    peak = recipe.train.peak
    for k in range(count):
        factor = 2.0 ** (k // 2 if k % 2 == 0 else -(k + 1) // 2)
        yield (f"learning rate × {factor:g}",), _changed(recipe, "sweep", train={"learning_rate": peak * factor})


def scaled(objective: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """An objective's plain values with the weights of the teacher's terms multiplied, schedules from end to end."""
    return {
        name: term
        if term is None or CATALOGUE[name].needs == (LABELS,)
        else {**term, "weight": _times(term["weight"], factor)}
        for name, term in objective.items()
    }


def _times(weight: Any, factor: float) -> Any:
    if isinstance(weight, Mapping):
        inside = {key: value for key, value in weight.items() if key in ("start", "end") or isinstance(value, Mapping)}
        return {**weight, **{key: _times(value, factor) for key, value in inside.items()}}
    return weight * factor


def _changed(recipe: Recipe, where: str, **changes: Any) -> Recipe:
    """The recipe with other fields in ``train``, and other values for whole fields elsewhere."""
    values = recipe.model_dump(mode="json")
    train = {**values["train"], **changes.pop("train", {})}
    return recipe_file.from_dict({**values, **changes, "train": train}, where)


def _fields(values: Mapping[str, Any]) -> Iterator[str]:
    """Fields that there are not, and fields that must be there."""
    for name in values:
        if name not in ComparisonFile.model_fields:
            yield f"{name}: no such field.{did_you_mean(name, ComparisonFile.model_fields)}"
    for name in ("recipe", "objectives"):
        if values.get(name) is None:
            yield f"{name}: is missing. {' '.join(meanings(ComparisonFile)[name].split())}"
    sweep = values.get("sweep")
    for name in sweep if isinstance(sweep, Mapping) else ():
        if name not in Sweep.model_fields:
            yield f"sweep.{name}: no such field.{did_you_mean(name, Sweep.model_fields)}"


def _names(file: ComparisonFile) -> Iterator[str]:
    """What is wrong with the rows' names, and with fields that name rows."""
    if not file.objectives:
        yield "objectives: is empty; give at least one, such as kd: {kd: {temperature: 4}, cross_entropy: {}}"
    if file.students is not None and not file.students:
        yield "students: is empty; give at least one, or leave it out for the recipe's"
    for field, names in (("objectives", file.objectives), ("students", file.students or {})):
        for name in names:
            if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable() or name.startswith(_FORMULA):
                yield (
                    f"{field}: {shown(name)} cannot be a name; it must be 1 to {LONGEST_NAME} printable characters, "
                    f"the first of them none of {' '.join(_FORMULA)}"
                )
            elif name in _TAKEN:
                yield f"{field}.{name}: this name is taken by a row that is always there; choose another"
    rows = (*CONTROLS, *file.objectives)
    if file.against is not None and file.against not in rows:
        yield f"against: {shown(file.against)} is no row.{did_you_mean(file.against, rows)}"
    for name in file.sweep.settings if file.sweep else ():
        if name not in file.objectives:
            yield f"sweep.settings.{name}: there is no such objective.{did_you_mean(name, file.objectives)}"


def _trial_count(file: ComparisonFile) -> int:
    return max(_counts(file).values())


def _counts(file: ComparisonFile) -> dict[str, int]:
    """How many trials each objective has."""
    sweep = file.sweep
    assert sweep is not None
    return {name: len(sweep.settings.get(name, sweep.weight_scale)) for name in file.objectives}


def _unequal(file: ComparisonFile) -> Iterator[str]:
    """Objectives that would have more trials than others."""
    if file.sweep is None:
        return
    counts = _counts(file)
    for name, count in counts.items():
        if not count:
            yield f"sweep.settings.{name}: is empty; give at least one trial, such as [kd.temperature=2]"
        elif count != max(counts.values()):
            yield (
                f"sweep: {shown(name)} has {count} trial(s) where others have {max(counts.values())}; "
                "every row must have as many, or the choice among them is not fair"
            )


def _refuse(where: str, problems: list[str]) -> None:
    if problems:
        raise recipe_file.refusal(where, problems)
