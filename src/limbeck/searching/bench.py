"""What the candidates of a search share: the data, each teacher with its soft targets, the training of one up to an epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from ..evaluation.kinds import KINDS
from ..interfaces.modality import Teachers
from ..models.identity import architecture
from ..pipeline.assistant import Assistant, arms_of, assistant_stage, learns_from_teacher, train_assistant
from ..pipeline.job import Job, job_from_models, open_job, taught_by, use_threads, with_assistant
from ..pipeline.objective import objective_of
from ..pipeline.stages import Stage
from ..pipeline.students import Arm, examples_of, member_stage, plan_of, train_member
from ..pipeline.targets import targets_stage, the_targets
from ..pipeline.teacher import beware, the_teacher
from ..pipeline.training_stage import Trained
from ..recipe.read import from_dict
from ..sections.assistant import in_students_place
from ..sections.recipe import Recipe
from ..sections.train import Train
from ..targets.store.store import Store
from ..training.history import ended
from .as_deployed import Deployed, as_deployed
from .precision import FLOAT32, format_of

# Added to the recipe's seed: a student of the front is trained anew with the recipe's own, so that none is chosen for its luck.
SEED_OFFSET = 1_000_000
_STORES = 2  # that are held open: what the teacher said, and what its assistant did


@dataclass(frozen=True)
class Given:
    """Data and models of a Python program, in the place of those that a recipe names.

    Attributes:
        splits: the data.
        teacher: trained; it is not changed.
        student: a fresh student of a candidate's recipe for a seed.
    """

    splits: Any
    teacher: nn.Module
    student: Callable[[Recipe, int], nn.Module]


@dataclass(frozen=True)
class Candidate:
    """A student to be trained.

    Attributes:
        recipe: its own.
        arm: ``student``, ``baseline`` or ``smoothed``: what it learns from.
        title: how a person sees it.
        seed: of a student that is trained anew; None: the search's own.
    """

    recipe: Recipe
    arm: str
    title: str
    seed: int | None = None


@dataclass(frozen=True)
class Begun:
    """What a candidate's training consists of; ``stage`` is its fingerprint."""

    stage: str
    plan: Train
    steps_per_epoch: int


@dataclass(frozen=True)
class Reached:
    """A training so far: a record an epoch, as :func:`limbeck.training.loop.fit` has them, and seconds; at its end, of a candidate
    that is deployed in 8 bits or less, what its file came to."""

    history: list[dict[str, float]]
    seconds: float
    deployed: Deployed | None = None


@dataclass
class _Ground:
    """What all candidates of one teacher share."""

    job: Job  # the first of them, its teacher as it was before it was trained
    trained: Trained | None = None


class Bench:
    """The data, loaded once, and a teacher a section of the recipe; several processes may each have one of the same folder.

    Raises :class:`limbeck.errors.BadInput` where the recipe itself, the data or a model is refused.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        out: Path,
        trust_code: bool = False,
        device: str = "auto",
        threads: int | None = None,
        quiet: bool = False,
        given: Given | None = None,
    ) -> None:
        self._out, self._trust_code, self._device, self.given = out, trust_code, device, given
        recipe = _with_teachers_views(recipe)
        if given is None:
            self.job = open_job(recipe, out=out, trust_code=trust_code, device=device, threads=threads, quiet=quiet)
        else:
            use_threads(threads)
            self.job = self.job_of_given(given, recipe, out)
        self._grounds = {_teacher_of(recipe): _Ground(self.job)}
        # of the latest candidate alone: they come one after the other, and what each holds may lie on a GPU
        self._latest: tuple[Recipe, Job] | None = None
        self._arm: tuple[Candidate, Job, Arm] | None = None
        self._stores: dict[str, Store] = {}
        self._assistant: tuple[str, Trained] | None = None

    def job_of_given(self, given: Given, recipe: Recipe, out: Path) -> Job:
        """A job of a program's own models, in a folder of its own, whose test split nobody has read."""
        splits = replace(given.splits, test=given.splits.test.shut())
        return job_from_models(
            recipe,
            splits,
            out=out,
            teacher=copy.deepcopy(given.teacher),
            student=partial(given.student, recipe),
            objective=lambda: objective_of(recipe.objective, splits),
            device=self._device,
        )

    def job_of(self, recipe: Recipe) -> Job:
        """The job of a candidate, its models tried for fit. Raises :class:`limbeck.errors.BadInput` where they do not."""
        if self._latest is None or self._latest[0] != recipe:
            self._latest = recipe, self._job_of(_with_teachers_views(recipe))
        return self._latest[1]

    def _job_of(self, recipe: Recipe) -> Job:
        ground = self._grounds.get(_teacher_of(recipe))
        if ground is None:
            ground = self._grounds[_teacher_of(recipe)] = self._ground_of(recipe)
        base = ground.job
        teachers = _teachers(base)
        teachers.model.to("cpu")  # where models are tried for fit; whoever asks it takes it to the device
        learners = [recipe, *([] if recipe.assistant is None else [in_students_place(recipe)])]
        if ground.trained is not None and any(base.modality.starts_from_teacher(one) for one in learners):
            # its stage is named by the student that the teacher gives before it is trained
            teachers = base.modality.teachers_of(recipe, base.splits, trust_code=self._trust_code)
        job = job_from_models(
            recipe,
            base.splits,
            out=self._out,
            teacher=teachers,
            student=self._students_of(recipe, base, teachers),
            objective=lambda: objective_of(recipe.objective, base.splits),
            device=self._device,
        )
        # likewise the teacher's, by what it is before
        code = {**job.code, "teachers": base.code["teachers"]}
        job = replace(job, task=base.task, accelerator=base.accelerator, code=code)
        return with_assistant(job, teachers, trust_code=self._trust_code, device=self._device)

    def _ground_of(self, recipe: Recipe) -> _Ground:
        """Another teacher may read texts by another vocabulary, so the data is loaded by its recipe; where it comes to the same, it is kept once."""
        splits = self.job.modality.load(recipe, trust_code=self._trust_code)
        if splits.fingerprint == self.job.splits.fingerprint:
            splits = self.job.splits
        return _Ground(open_job(recipe, splits, out=self._out, trust_code=self._trust_code, device=self._device))

    def architecture_of(self, recipe: Recipe) -> str:
        """Names the student that a recipe with this teacher builds, but for the values of its weights."""
        job = self.job
        return architecture(self._students_of(recipe, job, _teachers(job))(recipe.seed))

    def _students_of(self, recipe: Recipe, job: Job, teachers: Teachers) -> Callable[[int], nn.Module]:
        if self.given is not None:
            return partial(self.given.student, recipe)
        return job.modality.student_of(recipe, job.splits, teachers, trust_code=self._trust_code)

    def teacher_of(self, job: Job) -> Trained:
        """The teacher of a job: trained once, whatever candidate asks first."""
        ground = self._grounds[_teacher_of(job.recipe)]
        if ground.trained is None:
            ground.trained = the_teacher(ground.job)
            if job.asks_teacher:
                beware(ground.job, ground.trained)
        if job.teacher is ground.job.teacher:
            return ground.trained
        return the_teacher(job)

    def arm_of(self, candidate: Candidate) -> tuple[Job, Arm]:
        """What a candidate learns from; its teacher is trained and asked where that has not been done."""
        if self._arm is None or self._arm[0] != candidate:
            job = self.job_of(candidate.recipe)
            teacher = self.teacher_of(job)
            store = self._targets_of(learns_from_teacher(job), teacher)
            students, arms = arms_of(job, teacher, store, self._assistant_of(job, teacher, store))
            self._arm = candidate, students, arms[candidate.arm]
        return self._arm[1:]

    def between(self, job: Job) -> list[Stage]:
        """The stages of a job's soft targets, and of its assistant with those of its own; what is missing of them is made."""
        teacher, first = self.teacher_of(job), learns_from_teacher(job)
        stored = job.asks_teacher and not job.live
        made = [targets_stage(first, teacher)] if stored and job.recipe.targets.store is None else []
        if job.assistant is None:
            return made
        store = self._targets_of(first, teacher)
        assistant = self._assistant_of(job, teacher, store)
        assert assistant is not None
        made.append(assistant_stage(job, teacher, store))
        return [*made, targets_stage(assistant.job, assistant.trained)] if stored else made

    def _assistant_of(self, job: Job, teacher: Trained, store: Store | None) -> Assistant | None:
        """That of a job, trained once, whatever candidate comes first, with what it says to this one."""
        if job.assistant is None:
            return None
        name = assistant_stage(job, teacher, store).fingerprint
        if self._assistant is None or self._assistant[0] != name:
            self._assistant = name, train_assistant(job, teacher, store)
        trained = self._assistant[1]
        students = taught_by(job, trained.model)
        return Assistant(trained, students, self._targets_of(students, trained))

    def _targets_of(self, job: Job, teacher: Trained) -> Store | None:
        if job.live or not job.asks_teacher or job.recipe.targets.store is not None:
            return the_targets(job, teacher)
        name = targets_stage(job, teacher).fingerprint
        if name not in self._stores:
            store = the_targets(job, teacher)
            assert store is not None
            self._stores = dict([*self._stores.items(), (name, store)][-_STORES:])
        return self._stores[name]

    def stage_of(self, candidate: Candidate) -> Stage:
        """The stage of a candidate's training; its teacher and soft targets are seen to."""
        return member_stage(*self.arm_of(candidate), _seed(candidate))

    def begin(self, candidate: Candidate) -> Begun:
        """Sees to the teacher and the soft targets of a candidate, and says what its training consists of."""
        job, arm = self.arm_of(candidate)
        plan, seed = plan_of(job, candidate.arm), _seed(candidate)
        source = job.task.source(
            examples_of(job, candidate.arm), views=job.recipe.views, seed=seed, batch_size=plan.batch_size
        )
        return Begun(member_stage(job, arm, seed).fingerprint, plan, source.steps_per_epoch())

    def train(self, candidate: Candidate, until: int | None) -> Reached:
        """Trains a candidate to the end of an epoch, or in full, or less where its patience is out before; it may be further already."""
        trained = self.trained(candidate, until)
        job, arm = self.arm_of(candidate)
        figures = KINDS[job.splits.answers.kind].FIGURES
        at_end = ended(trained.history[:until], plan_of(job, candidate.arm), figures)
        # a student that is trained anew is deployed by its run
        judged = at_end and candidate.seed is None and format_of(candidate.recipe) != FLOAT32
        return Reached(trained.history, trained.seconds, as_deployed(job, arm, trained) if judged else None)

    def trained(self, candidate: Candidate, until: int | None = None) -> Trained:
        """A candidate with what it learnt, as :meth:`train` has it."""
        job, arm = self.arm_of(candidate)
        return train_member(job, arm, _seed(candidate), candidate.title, until)


def _teachers(job: Job) -> Teachers:
    return Teachers(job.teacher, job.task.teacher_sees, job.teachers)


def _seed(candidate: Candidate) -> int:
    return candidate.recipe.seed + SEED_OFFSET if candidate.seed is None else candidate.seed


def _teacher_of(recipe: Recipe) -> str:
    return recipe.teacher.model_dump_json()


def _with_teachers_views(recipe: Recipe) -> Recipe:
    """The recipe with the views that its teachers are trained on written out, where those are the recipe's own.

    Candidates of other views, whose teacher was given these, then have the same teacher by its section as well.
    """
    values: dict[str, Any] = recipe.model_dump(mode="json") | {"seeds": 1}
    for section in values["teacher"].get("ensemble") or [values["teacher"]]:
        if section.get("train") is not None and "views" in section and section["views"] is None:
            section["views"] = values["views"]
    return from_dict(values, "recipe")
