"""What a run would do, by what earlier runs noted: no data is read, no model is built, nothing is timed. No torch.

What the notes do not tell is "not known", which :mod:`limbeck.pipeline.check` finds out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..evaluation.wording import counted
from ..objectives.catalogue import CATALOGUE
from ..recipe import files
from ..sections.assistant import in_students_place
from ..sections.recipe import Recipe
from ..sections.targets import Targets
from ..sections.teacher import members_of, seeds_of
from .before import Before
from .known import Known, stored
from .stages import ASSISTANT, CONCLUSION, FORMATS, QUANTIZATION_AWARE, Stage, check_free, read_done
from .versions import STAGES

FINISHED, UNFINISHED, TO_DO, NOT_KNOWN = "finished", "unfinished", "to do", "not known"


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a plan; ``seconds`` and ``bytes`` are estimates, None where nothing is known."""

    name: str
    state: str  # "finished", "unfinished", "to do" or "not known"
    detail: str
    seconds: float | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class _Found:
    """A stage as the notes tell of it."""

    state: str
    folder: Path | None = None
    about: str | None = None


def plan(recipe: Recipe, out: Path) -> list[PlannedStage]:
    """Looks at the run's folder and at the files that the recipe names, and writes nothing.

    A stage is "finished" where a run has noted that this recipe comes to it, and all that decides it is as it was; "to do"
    where none that is there can be it. Seconds and bytes are those of stages made before. Raises
    :class:`limbeck.errors.BadInput` where a file that the recipe names is not there.
    """
    check_free(out)
    return _Plan(recipe, out).stages()


class _Plan:
    def __init__(self, recipe: Recipe, out: Path) -> None:
        self.recipe, self.out = recipe, out
        self.known, self.before = Known(recipe, out, files.seen(recipe)), Before(out)

    def stages(self) -> list[PlannedStage]:
        """All of them, in their order; behind one that is not finished, all are to do."""
        teachers = self._teachers()
        planned = [self._teacher(teachers)]
        upon = teachers
        if stored(self.recipe):
            targets, row = self._targets(upon)
            planned.append(row)
            upon = [*upon, *targets]
        between = []
        if self.recipe.assistant is not None:
            between, rows = self._assistant(upon)
            planned += rows
            upon = [*upon, *between]
        names = ["student", "baseline"] + (["smoothed"] if self.recipe.smoothed else [])
        seeds = [self.recipe.seed + k for k in range(self.recipe.seeds)]
        arms = {name: [self._found(name, seed, upon, self._of_student(name, seed)) for seed in seeds] for name in names}
        planned += [self._arm(name, found) for name, found in arms.items()]
        models = [*teachers, *between[:1], *(arms[name][k] for k in range(len(seeds)) for name in names)]
        if any(one.state in (TO_DO, UNFINISHED) for one in upon):
            models = upon
        concluded = [self._found(name, 0, models, self._of_conclusion(name)) for name in CONCLUSION[:-1]]
        *_, exported = concluded
        more = [self._found(FORMATS, k, [exported], {"format": name}) for k, name in enumerate(self.recipe.export.more)]
        further, row = self._further([*models, exported], exported, more)
        more += further
        last = CONCLUSION[-1]
        if any(one.state in (TO_DO, UNFINISHED) for one in models):
            concluded.append(_Found(TO_DO))
        else:  # what is unfinished has no digest yet, and may come to what is there
            unsure = [one if one.state == FINISHED else _Found(NOT_KNOWN) for one in (*concluded, *more)]
            concluded.append(self._found(last, 0, unsure, self._of_conclusion(last)))
        if (about := self.recipe.collected) is not None:  # what was trained on them shows that they are there
            state = FINISHED if any(one.state == FINISHED for one in planned if one.name != "teacher") else NOT_KNOWN
            planned.insert(0, PlannedStage("data", state, about))
        for name, found in zip(CONCLUSION, concluded, strict=True):
            seconds = None if found.state == FINISHED else self.before.other(name)
            if name == last and more:
                planned.append(self._formats(more[: len(more) - len(further)]))
                planned += row
            planned.append(PlannedStage(name, found.state, "", seconds))
        return planned

    def _formats(self, found: list[_Found]) -> PlannedStage:
        """The formats as one line."""
        finished = sum(one.state == FINISHED for one in found)
        detail = f"{', '.join(self.recipe.export.more)}; {finished} finished"
        return _row(FORMATS, detail, found, [(self.before.other(FORMATS), None)] * len(found))

    def _further(
        self, upon: Sequence[_Found], exported: _Found, formats: Sequence[_Found]
    ) -> tuple[list[_Found], list[PlannedStage]]:
        """The stages in which the student goes on for a format that loses too much, and their line."""
        export, seconds = self.recipe.export, self.before.other(QUANTIZATION_AWARE)
        if export.quantization_aware is None:
            return [], []
        if any(one.state != FINISHED for one in formats):
            state = NOT_KNOWN if any(one.state == NOT_KNOWN for one in formats) else TO_DO
            return [], [PlannedStage(QUANTIZATION_AWARE, state, where_needed(self.recipe), seconds)]
        names = [*enumerate(export.more)]
        lose = [(k, name) for k, name in names if name in export.quantised and self._loses(formats[k])]
        if not lose:
            return [], [PlannedStage(QUANTIZATION_AWARE, FINISHED, not_needed(self.recipe))]
        found = list[_Found]()
        for k, name in lose:
            trained = self._found(QUANTIZATION_AWARE, k, upon, {})
            made = self._found(FORMATS, k, [exported, trained], {"format": name})
            # formats that keep weights alike share a training
            found += [one for one in (trained, made) if one.folder is None or one not in found]
        return found, [_row(QUANTIZATION_AWARE, found[0].about or "", found, [(seconds, None)] * len(found))]

    def _loses(self, found: _Found) -> bool:
        """Whether a format's file loses more than the recipe lets it."""
        wanted = self.recipe.export.quantization_aware
        if wanted is None or found.folder is None:
            return False
        try:
            parity = read_done(found.folder / "done.json")[0]["facts"].get("parity", {})
        except (OSError, ValueError):
            return False
        return parity.get("lost", 0.0) > wanted.when

    def _found(self, name: str, which: int, upon: Sequence[_Found], certain: dict[str, Any]) -> _Found:
        """A stage that is made ``upon`` others; ``certain`` of its ingredients are known."""
        if any(one.state in (TO_DO, UNFINISHED) for one in upon):
            return _Found(TO_DO)
        folders = [one.folder for one in upon if one.folder is not None]
        note = self.known.find(name, which, folders) if len(folders) == len(upon) else None
        if note is not None:
            here = Stage(name, {}, self.out / "stages" / name / note.fingerprint)
            state = FINISHED if here.finished else UNFINISHED if here.begun else TO_DO
            return _Found(state, here.folder, note.about)
        taught = self.recipe.objective if name == "student" else None
        if name == ASSISTANT:
            taught = in_students_place(self.recipe).objective
        possible = any(_agrees(folder, certain, taught) for folder in (self.out / "stages" / name).glob("*"))
        return _Found(NOT_KNOWN if possible else TO_DO)

    def _teachers(self) -> list[_Found]:
        """Those that are trained here."""
        found = []
        for k, (section, _) in enumerate(self._trained()):
            views = section.views or self.recipe.views
            certain = {
                "model": {"name": section.model, "knobs": section.knobs},
                "train": section.train.model_dump(mode="json"),
                "views": views.model_dump(mode="json"),
            }
            found.append(self._found("teacher", k, (), certain))
        return found

    def _trained(self) -> list[tuple[Any, int]]:
        section, seed = self.recipe.teacher, self.recipe.seed
        sections = [one for _, one in members_of(section)]
        seeds = seeds_of(section, seed) if len(sections) > 1 else [seed]
        return [(one, at) for one, at in zip(sections, seeds, strict=True) if one.train is not None]

    def _teacher(self, found: list[_Found]) -> PlannedStage:
        title, trained = self.recipe.teacher.title, self._trained()
        if not trained:
            return PlannedStage("teacher", FINISHED, f"{title}, as it comes")
        epochs = " and ".join(dict.fromkeys(str(section.train.epochs) for section, _ in trained))
        about = next((one.about for one in found if one.about), f"{title}, {epochs} epochs")
        costs = [
            self.before.training("teacher", _model(section), section.train.model_dump(mode="json"))
            for section, _ in trained
        ]
        return _row("teacher", about, found, costs)

    def _targets(self, upon: Sequence[_Found]) -> tuple[list[_Found], PlannedStage]:
        """What the students' stages are made upon, and the row; of a store that was given, none is a stage."""
        wanted = self.recipe.targets
        if wanted.store is not None:
            return [], PlannedStage("targets", FINISHED, f"as given in {wanted.store}")
        return self._asked(wanted, 0, upon)

    def _asked(self, wanted: Targets, which: int, upon: Sequence[_Found]) -> tuple[list[_Found], PlannedStage]:
        views, count = self.recipe.views, wanted.views
        if self.recipe.asked_once and which == 0:  # the second is an assistant
            views, count = type(views)(), 1
        certain = {"views": views.model_dump(mode="json"), "view_seed": self.recipe.seed}
        certain |= {"count": count, "precision": wanted.precision}
        found = self._found("targets", which, upon, certain)
        about = found.about or counted(count, "view")
        return [found], _row("targets", about, [found], [self.before.targets(self.recipe)])

    def _assistant(self, upon: Sequence[_Found]) -> tuple[list[_Found], list[PlannedStage]]:
        """Its training, and where its answers are kept its soft targets."""
        recipe = in_students_place(self.recipe)
        train = recipe.train.model_dump(mode="json")
        certain = {"model": _model(recipe.student), "train": train, "seed": recipe.seed, "view_seed": recipe.seed}
        trained = self._found(ASSISTANT, 0, upon, {**certain, "views": recipe.views.model_dump(mode="json")})
        about = trained.about or f"{recipe.student.model}, {recipe.train.epochs} epochs"
        cost = self.before.training(ASSISTANT, _model(recipe.student), train)
        rows = [_row(ASSISTANT, about, [trained], [cost])]
        if not stored(recipe):
            return [trained], rows
        own = recipe.targets.model_copy(update={"store": None})
        asked, row = self._asked(own, 1, [*upon, trained])
        return [trained, *asked], [*rows, replace(row, detail=f"{row.detail}, asked of the assistant")]

    def _of_student(self, name: str, seed: int) -> dict[str, Any]:
        certain = {
            "model": _model(self.recipe.student),
            "views": self.recipe.views.model_dump(mode="json"),
            "view_seed": self.recipe.seed,
            "seed": seed,
            "sparsity": None if self.recipe.sparsity is None else self.recipe.sparsity.model_dump(mode="json"),
        }
        # beside a transfer set a control is given as many steps as the student, which depends on the data
        alike = self.recipe.data.transfer is None and self.recipe.baseline.epochs is None
        if name == "student" or alike:
            certain["train"] = self.recipe.train.model_dump(mode="json")
        return certain

    def _arm(self, name: str, found: list[_Found]) -> PlannedStage:
        recipe = self.recipe
        train = recipe.train.model_dump(mode="json")
        if name != "student":  # beside a transfer set as many as give it the student's steps: as last time
            train["epochs"] = recipe.baseline.epochs or (None if recipe.data.transfer else recipe.train.epochs)
        cost = self.before.training(name, _model(recipe.student), train)
        sparse = "" if recipe.sparsity is None else recipe.sparsity.about(recipe.sparsity.epochs)
        usual = f"{recipe.student.model}, {recipe.train.epochs} epochs{sparse}"
        about = next((one.about for one in found if one.about), usual)
        finished = sum(one.state == FINISHED for one in found)
        detail = f"{about}, {recipe.seeds} seed(s), {finished} finished"
        return _row(name, detail, found, [cost] * len(found))

    def _of_conclusion(self, name: str) -> dict[str, Any]:
        if name == "export":
            return {"limits": self.recipe.export.limits}
        if name == "report":
            plain = self.recipe.model_dump(mode="json", exclude_none=True)
            return {"name": self.recipe.name or "run", "recipe": plain}
        return {}


def where_needed(recipe: Recipe) -> str:
    """Of a student that may go on, in words."""
    wanted = recipe.export.quantization_aware
    assert wanted is not None
    return f"{counted(wanted.epochs, 'epoch')} more where {' or '.join(recipe.export.quantised)} loses more than {wanted.when:g} points"


def not_needed(recipe: Recipe) -> str:
    """Of one that need not."""
    wanted = recipe.export.quantization_aware
    assert wanted is not None
    return f"not needed where {' or '.join(recipe.export.quantised)} loses {wanted.when:g} points at most"


def _model(section: Any) -> dict[str, Any]:
    return {"name": section.model, "knobs": section.knobs}


def _row(
    name: str, about: str, found: Sequence[_Found], costs: Sequence[tuple[float | None, int | None]]
) -> PlannedStage:
    """Several stages as one line; ``costs`` are what each of them takes, were it done."""
    states = {one.state for one in found}
    state = next(iter(states)) if len(states) == 1 else NOT_KNOWN if NOT_KNOWN in states else UNFINISHED
    seconds = [cost for one, (cost, _) in zip(found, costs, strict=True) if one.state != FINISHED]
    sizes = [size for _, size in costs]
    return PlannedStage(
        name,
        state,
        about,
        None if not seconds or None in seconds else sum(one for one in seconds if one is not None),
        None if None in sizes else sum(size for size in sizes if size is not None),
    )


def _agrees(folder: Path, certain: dict[str, Any], taught: Any) -> bool:
    """Whether a stage's folder may be that of a stage with these ingredients; one that was set aside is none.

    ``taught`` is the objective's section of a student's stage.
    """
    if "." in folder.name or not folder.is_dir():
        return False
    try:
        ingredients = json.loads((folder / "ingredients.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return True
    wanted = json.loads(json.dumps({"version": STAGES[folder.parent.name], **certain}))
    if not isinstance(ingredients, dict):
        return True
    other = taught is not None and is_other_objective(taught, ingredients.get("objective"))
    return not other and all(ingredients.get(key) == value for key, value in wanted.items())


def is_other_objective(section: Any, written: Any) -> bool:
    """Whether an objective as its module is ``written`` certainly is not that of a recipe's section.

    The terms, their weights and those settings that are numbers stand there as in the recipe; of paths, schedules and weights of
    classes only the module tells how they are written.
    """
    if not isinstance(written, str):
        return False
    terms = section.terms
    weights = tuple(term.weight if isinstance(term.weight, float) else 1.0 for term in terms.values())
    parts = re.findall(r"^    \(\d+\): (\w+)\((.*)", written, re.MULTILINE)
    if not written.startswith(f"Sum(\n  weights={weights}\n") or len(parts) != len(terms):
        return True
    for (module, said), (name, term) in zip(parts, terms.items(), strict=True):
        numbers = {field: getattr(term, field) for field in type(term).model_fields if field != "weight"}
        numbers = {field: repr(value) for field, value in numbers.items() if type(value) is float}
        shown = dict(re.findall(r"(\w+)=([^,()]*)(?=[,)])", said))
        if module != CATALOGUE[name].module or any(shown.get(field, one) != one for field, one in numbers.items()):
            return True
    return False
