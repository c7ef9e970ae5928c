"""A job: a recipe together with the things it names, checked and ready for the pipeline."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from .composition import misfit_with_labels, objective_of, temperature_of, with_layers
from .errors import BadInput
from .interfaces import Batch, DenseLogits, Features, Needs, Output, Target
from .modalities import Modality, modality_of
from .models.asking import Inputs, ask, moved
from .models.capture import Capture
from .models.identity import Identity, identity
from .objectives.catalogue.entry import ONE_CLASS, YES_OR_NO
from .objectives.modules import BinaryCrossEntropy, CrossEntropy, Objective
from .recipe import Ensemble, OnnxTeacher, Recipe, TeacherSection
from .reuse import simkd_in, taught_as_one, with_teachers_classifier
from .targets.codecs import Rows
from .targets.codecs.asked import Candidates, asked_codecs
from .teachers import Member, Teachers, given_teacher


@dataclass(frozen=True)
class Job:
    """All that the stages need.

    Attributes:
        modality: what is done otherwise for images than for texts.
        teacher: what answers, built; its starting weights are loaded.
        teachers: what it is made of: itself, or the members of the ensemble.
        student: a fresh student for a seed.
        objective: a fresh objective (it may hold parameters of its own).
        code: what identifies models that are not known by name alone; part of the fingerprints.
        notes: what a person should know of data and models, in sentences.
        force: names of stages to be made anew, each once.
        redone: folders of those that were.
    """

    recipe: Recipe
    name: str
    out: Path
    modality: Modality
    splits: Any
    task: Any
    accelerator: Accelerator
    teacher: nn.Module
    teachers: tuple[Member, ...]
    student: Callable[[int], nn.Module]
    objective: Callable[[], Objective]
    code: dict[str, Any]
    notes: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    redone: set[Path] = field(default_factory=set)

    @property
    def seeds(self) -> list[int]:
        """The seeds of the students, first to last."""
        return [self.recipe.seed + i for i in range(self.recipe.seeds)]

    @property
    def needs(self) -> Needs:
        """What the objective asks for."""
        return self.objective().needs

    @property
    def asks_teacher(self) -> bool:
        """Whether the student learns anything from the teacher."""
        return bool(self.needs.target or self.needs.teacher_features)

    @property
    def live(self) -> bool:
        """Whether the teacher, where it is asked, is asked at every step; only its logits are stored."""
        return self.recipe.targets.live or bool(self.needs.teacher_features)

    @property
    def codecs(self) -> Candidates:
        """How the teacher's answers may be kept."""
        return asked_codecs(self.recipe.targets, len(self.splits.classes), self.recipe.seed, self.objective())

    @property
    def temperature(self) -> float | None:
        """The temperature that the student is trained at, where its objective has one."""
        return temperature_of(self.objective())


def job_from_recipe(
    recipe: Recipe, splits: Any, *, out: Path, trust_code: bool, device: str, force: tuple[str, ...]
) -> Job:
    """Builds the models a recipe names and checks that they fit the data. Writes nothing."""
    modality = modality_of(recipe)
    teachers = modality.teachers_of(recipe, splits, trust_code=trust_code)
    return job_from_models(
        recipe,
        splits,
        out=out,
        teacher=teachers,
        student=modality.student_of(recipe, splits, teachers, trust_code=trust_code),
        objective=lambda: objective_of(recipe.objective, splits),
        device=device,
        force=force,
    )


def job_from_models(
    recipe: Recipe,
    splits: Any,
    *,
    out: Path,
    teacher: nn.Module | Teachers,
    student: Callable[[int], nn.Module],
    objective: Callable[[], Objective],
    device: str,
    force: tuple[str, ...] = (),
) -> Job:
    """A job from models at hand. A module as ``teacher`` is what the recipe's section of the teacher describes.

    Raises :class:`limbeck.errors.BadInput` where one does not fit the data, or the objective does not fit both.
    """
    modality, classes = modality_of(recipe), len(splits.classes)
    if isinstance(teacher, nn.Module):
        assert isinstance(recipe.teacher, TeacherSection)
        teacher = given_teacher(teacher, recipe.teacher, recipe.seed, splits)
    first = student(recipe.seed)
    modality.check(first, splits, "student")
    if why := misfit_with_labels(objective(), YES_OR_NO if has_label_sets(splits) else ONE_CLASS):
        raise BadInput(why)
    objective = partial(_with_layers, objective, first, teacher.model)
    accelerator = Accelerator(cpu=device == "cpu")
    task = modality.task_of(recipe, splits, teacher, accelerator.device)
    needs = objective().needs
    if needs.teacher_features and recipe.targets.average:
        raise BadInput(
            f"targets.average needs stored answers, and {wants_features(objective())} needs the teacher's features, which "
            "are not stored: leave out targets.average, or that objective."
        )
    if needs.teacher_features and (why := shows_nothing(recipe.teacher)):
        raise BadInput(
            f"objective: {wants_features(objective())} needs the teacher's features, and {why}: leave out that objective, "
            "or name a teacher by its model."
        )
    if needs.teacher_features and recipe.targets.store is not None:
        raise BadInput(
            f"targets.store keeps logits, and {wants_features(objective())} needs the teacher's features: leave out "
            "targets.store, or that objective."
        )
    kept = None
    if needs.target and not (recipe.targets.live or needs.teacher_features or recipe.targets.store is not None):
        kept = asked_codecs(recipe.targets, classes, recipe.seed, objective())
    _try(objective(), teacher.model, first, task, recipe, kept)
    return Job(
        recipe=recipe,
        name=recipe.name or "run",
        out=out,
        modality=modality,
        splits=splits,
        task=task,
        accelerator=accelerator,
        teacher=teacher.model,
        teachers=teacher.members,
        student=student,
        objective=objective,
        code={
            "teachers": [coarse(identity(one.model, task.probe(one.sees))) for one in teacher.members],
            "student": coarse(identity(first, task.probe(None))),
            "objective": repr(objective()),
        },
        notes=(*splits.notes, _sizes(splits), *teacher.notes, *modality.notes_on(first, splits)),
        force=force,
    )


def _sizes(splits: Any) -> str:
    """How many examples each split of the run has, as a sentence."""
    test = "an unknown number" if splits.test.count is None else f"{splits.test.count:,}"
    transfer = "" if splits.transfer is None else f"; {len(splits.transfer):,} more without labels to learn from"
    return f"in all: {len(splits.train):,} examples to train on, {len(splits.validation):,} to select on, {test} to test{transfer}."


def _with_layers(objective: Callable[[], Objective], student: nn.Module, teacher: nn.Module) -> Objective:
    return with_layers(objective(), student, teacher)


def has_label_sets(splits: Any) -> bool:
    """Whether an example may have several labels, or none."""
    return splits.train.labels is not None and splits.train.labels.ndim == 2


def supervised(splits: Any, label_smoothing: float = 0.0, class_weights: tuple[float, ...] | None = None) -> Objective:
    """What is learnt from labels alone."""
    kind = BinaryCrossEntropy if has_label_sets(splits) else CrossEntropy
    return kind(label_smoothing=label_smoothing, class_weights=class_weights)


def wants_features(objective: Objective) -> str:
    """The parts of an objective that need the teacher's features, by name."""
    return " and ".join(dict.fromkeys(part.title for _, part in objective.weighted if part.needs.teacher_features))


def deployed_with(objective: Objective) -> str | None:
    """One line for a person whose objective deploys more than the student."""
    if simkd_in(objective) is None:
        return None
    return (
        "simkd: what is trained, measured and exported is the student's body, a projector and the teacher's classifier; "
        "it is larger than the student, which the baselines are."
    )


def shows_nothing(teacher: TeacherSection | OnnxTeacher | Ensemble) -> str | None:
    """Why the inner modules of a teacher cannot be looked at; None where they can."""
    if isinstance(teacher, OnnxTeacher):
        return "an ONNX file gives its logits alone"
    return "an ensemble gives its logits alone" if isinstance(teacher, Ensemble) else None


def asked_live(objective: Objective) -> str:
    """Why the teacher of an objective on features is asked live, without the full stop."""
    wanting = wants_features(objective)
    return f"{wanting} needs the teacher's features, which are not stored: the teacher is asked at every step"


def _try(
    objective: Objective,
    teacher: nn.Module,
    student: nn.Module,
    task: Any,
    recipe: Recipe,
    kept: Candidates | None,
) -> None:
    """Asks both models about two examples, and the objective about what they say: a misfit shows before any training.

    ``kept`` says how the teacher's answers will be kept, where they will be.
    """
    batch = two_examples(task, recipe)
    if (wanted := simkd_in(objective)) is not None:
        student = with_teachers_classifier(wanted, copy.deepcopy(student), teacher, batch, recipe.seed)
        objective = taught_as_one(objective)
    needs = objective.needs
    target = Target()
    logits, features = _answer(student, batch.inputs, needs.features, "student")
    output = Output(logits=logits, features=features)
    if needs.target or needs.teacher_features:
        inputs = batch.inputs if batch.teacher_inputs is None else batch.teacher_inputs
        logits, features = _answer(teacher, inputs, needs.teacher_features, "teacher")
        target = Target((DenseLogits(logits), Features(features)) if features else (DenseLogits(logits),))
        if kept is not None:
            rows = Rows(batch.ids, 0, torch.zeros_like(batch.ids))
            columns = kept.codecs[0].encode(logits, rows)
            target = Target((kept.codecs[0].decode(columns, logits.shape[1]),))
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            objective.build(output, target, batch, task.pool.ids.cpu())
            objective(output, target, batch)
    except ValueError as error:
        raise BadInput(f"objective: {error}") from error


def two_examples(task: Any, recipe: Recipe) -> Batch:
    """The first examples at view 0, on the CPU: from what models say of them an objective learns their shapes."""
    index_B = torch.arange(min(2, len(task.pool)), device=task.pool.ids.device)
    batch = task.batch(task.pool, index_B, torch.zeros_like(index_B), recipe.views)
    there = {one.name: getattr(batch, one.name) for one in dataclasses.fields(batch)}
    on_cpu = {name: moved(value, "cpu") for name, value in there.items() if value is not None}
    return dataclasses.replace(batch, **on_cpu)


def _answer(
    model: nn.Module, inputs: Inputs, paths: tuple[str, ...], name: str
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits and features on the CPU, in evaluation mode. Raises :class:`BadInput` where there are no such features."""
    try:
        with Capture(model, paths) as features:
            logits = ask(model, inputs)
    except ValueError as error:
        raise BadInput(f"the {name}'s features: {error}") from error
    return logits.float().cpu(), {path: value.cpu() for path, value in features.items()}


def coarse(model: Identity) -> dict[str, Any]:
    """A model's identity, its probe rounded so far that rounding on another machine does not show."""
    largest = max((abs(value) for value in model["probe"]), default=0.0) or 1.0
    return {"weights": model["weights"], "probe": [round(20 * value / largest) for value in model["probe"]]}


def use_threads(count: int | None) -> None:
    """Uses so many threads for arithmetic; None leaves torch's own choice."""
    if count is not None:
        torch.set_num_threads(count)
