"""A job: a recipe together with the things it names, checked and ready for the pipeline."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from .. import progress
from ..errors import BadInput
from ..evaluation.kinds import KINDS
from ..interfaces import Needs, Task
from ..interfaces.modality import Member, Modality, Teachers
from ..modalities import modality_of
from ..models.ensemble import Together
from ..models.identity import coarse, identity
from ..models.sparsity import set_to_zero
from ..objectives.modules import Objective
from ..sections.assistant import in_students_place
from ..sections.recipe import Recipe
from ..targets.codecs.fits_objective import no_deviation
from ..targets.codecs.from_recipe import Candidates, asked_codecs
from .objective import (
    misfit_with_labels,
    objective_of,
    temperature_of,
    wants_features,
    with_layers,
)
from .trial import try_out


@dataclass(frozen=True)
class Job:
    """All that the stages need.

    Attributes:
        modality: data, models and files of the recipe's task.
        teacher: what answers, built; its starting weights are loaded.
        teachers: what it is made of: itself, or the members of the ensemble.
        student: a fresh student for a seed.
        objective: a fresh objective (it may hold parameters of its own).
        code: what identifies models that are not known by name alone; part of the fingerprints.
        notes: what a person should know of data and models, in sentences.
        force: names of stages to be made anew, each once.
        redone: folders of those that were.
        in_python: whether a program made it, of modules and data of its own, so that there is no recipe to run.
        assistant: the job of the recipe's assistant, which is the student there; None where the students learn from the teacher.
    """

    recipe: Recipe
    name: str
    out: Path
    modality: Modality
    splits: Any
    task: Task
    accelerator: Accelerator
    teacher: nn.Module
    teachers: tuple[Member, ...]
    student: Callable[[int], nn.Module]
    objective: Callable[[], Objective]
    code: dict[str, Any]
    notes: tuple[str, ...] = ()
    force: tuple[str, ...] = ()
    redone: set[Path] = field(default_factory=set)
    in_python: bool = False
    assistant: Job | None = None

    @property
    def seeds(self) -> list[int]:
        """The seeds of the students, first to last."""
        return [self.recipe.seed + i for i in range(self.recipe.seeds)]

    @cached_property
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

    @cached_property
    def codecs(self) -> Candidates:
        """How the teacher's answers may be kept."""
        several = isinstance(self.teacher, Together)
        return asked_codecs(
            self.recipe.targets, self.splits.answers.width, self.recipe.seed, self.objective(), several=several
        )

    @cached_property
    def temperature(self) -> float | None:
        """The temperature that the student is trained at, where its objective has one."""
        return temperature_of(self.objective())


def open_job(
    recipe: Recipe,
    splits: Any = None,
    *,
    out: Path,
    trust_code: bool = False,
    device: str = "auto",
    force: tuple[str, ...] = (),
    threads: int | None = None,
    quiet: bool = False,
) -> Job:
    """Loads the data of a recipe, builds the models that it names and checks that they fit. Writes nothing.

    Args:
        splits: the data, where it is loaded already.
        force: names of stages to be made anew.
        threads: of arithmetic; torch's own choice where not given.
        quiet: no bar while the data is loaded.

    Raises :class:`limbeck.errors.BadInput` in sentences.
    """
    use_threads(threads)
    modality = modality_of(recipe)
    if splits is None:
        splits = modality.load(recipe, None if quiet else progress.bar, trust_code=trust_code)
    teachers = modality.teachers_of(recipe, splits, trust_code=trust_code)
    job = job_from_models(
        recipe,
        splits,
        out=out,
        teacher=teachers,
        student=modality.student_of(recipe, splits, teachers, trust_code=trust_code),
        objective=lambda: objective_of(recipe.objective, splits),
        device=device,
        force=force,
    )
    return with_assistant(job, teachers, trust_code=trust_code, device=device)


def with_assistant(job: Job, teachers: Teachers, *, trust_code: bool, device: str) -> Job:
    """The job with that of its recipe's assistant beside it, where there is one.

    Raises :class:`limbeck.errors.BadInput` where the assistant fits neither the data nor the teacher, or the students cannot learn from
    it what they would from the teacher.
    """
    if job.recipe.assistant is None:
        return job
    recipe, splits = in_students_place(job.recipe), job.splits
    try:
        learner = job_from_models(
            recipe,
            splits,
            out=job.out,
            teacher=teachers,
            student=job.modality.student_of(recipe, splits, teachers, trust_code=trust_code),
            objective=lambda: objective_of(recipe.objective, splits),
            device=device,
            force=job.force,
        )
        learner = replace(learner, task=job.task, accelerator=job.accelerator, redone=job.redone)
        students = taught_by(job, learner.student(recipe.seed))
        if job.live and (why := no_deviation(None, job.objective())):
            raise BadInput(why)
        kept = None if job.live else students.codecs
        try_out(job.objective(), students.teacher, job.student(recipe.seed), students.task, students.recipe, kept)
    except BadInput as error:
        raise BadInput(*(f"assistant: {line}" for line in error.lines)) from error.__cause__
    return replace(job, assistant=learner)


def taught_by(job: Job, assistant: nn.Module) -> Job:
    """The job of students that learn from an assistant, which answers in the teacher's place, about what they see themselves."""
    recipe, task = job.recipe, copy.copy(job.task)
    task.teacher_sees = None
    # soft targets that were given are the teacher's, and the assistant's alone to learn from
    targets = recipe.targets.model_copy(update={"store": None})
    return replace(
        job,
        recipe=recipe.model_copy(update={"targets": targets}),
        task=task,
        teacher=assistant,
        teachers=(Member(recipe.assistant, recipe.seed, assistant, None),),
        assistant=None,
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
    modality = modality_of(recipe)
    if in_python := isinstance(teacher, nn.Module):
        teacher = modality.given_teacher(teacher, recipe, splits)
    first = student(recipe.seed)
    modality.check(first, splits, "student")
    if why := misfit_with_labels(objective(), KINDS[splits.answers.kind].READS):
        raise BadInput(why)
    objective = partial(_with_layers, objective, modality, first, teacher.model)
    accelerator = Accelerator(cpu=device == "cpu")
    task = modality.task_of(recipe, splits, teacher, accelerator.device).learnt_by(first)
    needs = objective().needs
    if needs.teacher_features and recipe.targets.average:
        raise BadInput(
            f"targets.average needs stored answers, and {wants_features(objective())} needs the teacher's features, which "
            "are not stored: leave out targets.average, or that objective."
        )
    if needs.teacher_features and (why := recipe.teacher.opaque):
        raise BadInput(
            f"objective: {wants_features(objective())} needs the teacher's features, and {why}: leave out that objective, "
            "or name a teacher by its model."
        )
    if needs.teacher_features and recipe.targets.store is not None:
        raise BadInput(
            f"targets.store keeps logits, and {wants_features(objective())} needs the teacher's features: leave out "
            "targets.store, or that objective."
        )
    kept, several = None, isinstance(teacher.model, Together)
    if (recipe.targets.live or needs.teacher_features) and not several and (why := no_deviation(None, objective())):
        raise BadInput(why)
    if needs.target and not (recipe.targets.live or needs.teacher_features or recipe.targets.store is not None):
        kept = asked_codecs(recipe.targets, splits.answers.width, recipe.seed, objective(), several=several)
    try_out(objective(), teacher.model, first, task, recipe, kept)
    if recipe.sparsity is not None:  # whether so many weights can be zero is said before hours of training
        set_to_zero(copy.deepcopy(first), recipe.sparsity.share)
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
        in_python=in_python,
    )


def _sizes(splits: Any) -> str:
    """How many examples each split of the run has, as a sentence."""
    test = "an unknown number" if splits.test.count is None else f"{splits.test.count:,}"
    transfer = "" if splits.transfer is None else f"; {len(splits.transfer):,} more without labels to learn from"
    return f"in all: {len(splits.train):,} examples to train on, {len(splits.validation):,} to select on, {test} to test{transfer}."


def _with_layers(
    objective: Callable[[], Objective], modality: Modality, student: nn.Module, teacher: nn.Module
) -> Objective:
    return with_layers(objective(), modality, student, teacher)


def use_threads(count: int | None) -> None:
    """Uses so many threads for arithmetic; None leaves torch's own choice."""
    if count is not None:
        torch.set_num_threads(count)
