"""What the rows of a comparison share: the data, the teacher's job, the training runs and the choice among trials."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from .. import progress
from ..errors import BadInput
from ..evaluation.kinds import KINDS
from ..interfaces.modality import Teachers
from ..pipeline.job import Job, job_from_models, open_job
from ..pipeline.objective import asked_live, deployed_with, objective_of
from ..pipeline.stages import Stage
from ..pipeline.students import Arm, member_stage, the_arms, train_member
from ..pipeline.targets import given_store, the_targets
from ..pipeline.training_stage import Trained, begun
from ..sections.recipe import Recipe
from ..training.history import field, kept
from .file import Comparison, Row


@dataclass(frozen=True)
class Member:
    """One training run of the grid."""

    title: str
    arm: str
    recipe: Recipe
    seed: int


@dataclass(frozen=True)
class Choice:
    """What a row came to by validation alone."""

    recipe: Recipe
    chosen: str  # in words
    trials: list[dict[str, Any]]  # "settings", the first two figures, "seconds" of each


class Bench:
    """What all rows share: the data, the teacher's job, the device."""

    def __init__(
        self,
        comparison: Comparison,
        *,
        out: Path,
        trust_code: bool,
        device: str,
        force: tuple[str, ...] = (),
        threads: int | None = None,
        quiet: bool = False,
    ) -> None:
        # the first row has no teacher, so that this job asks for nothing but a teacher that is trained
        recipe = comparison.rows[0].recipe
        self.job = open_job(
            recipe, out=out, trust_code=trust_code, device=device, force=force, threads=threads, quiet=quiet
        )
        self.trust_code, self.device = trust_code, device
        self._jobs: dict[str, Job] = {}
        self._latest: tuple[Member, Job, Arm] | None = None

    def job_of(self, recipe: Recipe) -> Job:
        """The job of one row, with its own student and objective. Raises `BadInput` where these do not fit.

        To be asked for before the teacher is trained: its stage is named by the student that an untrained one gives.
        """
        key = recipe.model_dump_json()
        if key not in self._jobs:
            self._jobs[key] = self._job_of(recipe)
        return self._jobs[key]

    def _job_of(self, recipe: Recipe) -> Job:
        objective = objective_of(recipe.objective, self.job.splits)
        if objective.needs.teacher_features or objective.finds_layers:  # only logits are stored
            live = recipe.targets.model_copy(update={"live": True, "average": False, "store": None})
            recipe = recipe.model_copy(update={"targets": live})
        base = self.job
        teachers = Teachers(base.teacher, base.task.teacher_sees, base.teachers)
        job = job_from_models(
            recipe,
            base.splits,
            out=base.out,
            teacher=teachers,
            student=base.modality.student_of(recipe, base.splits, teachers, trust_code=self.trust_code),
            objective=lambda: objective_of(recipe.objective, base.splits),
            device=self.device,
            force=base.force,
        )
        # a stage that several rows share is made anew once for all of them
        return dataclasses.replace(job, task=base.task, accelerator=base.accelerator, redone=base.redone)

    def arm_of(self, member: Member, teacher: Trained) -> tuple[Job, Arm]:
        """What a student learns from; the latest is kept, since the seeds of a row come one after the other."""
        if self._latest is not None and dataclasses.replace(self._latest[0], seed=member.seed) == member:
            return self._latest[1:]
        job = self.job_of(member.recipe)
        arm = the_arms(job, teacher, the_targets(job, teacher))[member.arm]
        self._latest = (member, job, arm)
        return job, arm

    def stage_of(self, member: Member, teacher: Trained) -> Stage:
        """The stage of a student, set aside first where it is to be made anew."""
        job, arm = self.arm_of(member, teacher)
        return begun(job, member_stage(job, arm, member.seed))

    def train(self, member: Member, teacher: Trained) -> Trained:
        """A student: trained, or as it was trained before."""
        job, arm = self.arm_of(member, teacher)
        return train_member(job, arm, member.seed, f"{member.title}, seed {member.seed}")


def open_bench(
    comparison: Comparison,
    *,
    out: Path,
    trust_code: bool,
    device: str,
    threads: int | None,
    force: tuple[str, ...] = (),
) -> Bench:
    """The bench, with the jobs of all rows and trials, tried for fit; what a person should know is said."""
    bench = Bench(comparison, out=out, trust_code=trust_code, device=device, force=force, threads=threads)
    for note in bench.job.notes:
        progress.note(note)
    for row in comparison.rows:
        try:
            trials = [recipe for trial in row.trials for recipe in (trial.recipe, trial.short)]
            job, *_ = [bench.job_of(recipe) for recipe in (row.recipe, *trials)]
        except BadInput as error:
            raise BadInput(f"{row.student}, {row.title}: {error}") from None
        if job.recipe.targets.store is not None and job.asks_teacher:
            given_store(job)  # refused before anything is trained
        if job.needs.teacher_features and not row.recipe.targets.live:
            progress.note(f"{row.title}: {asked_live(job.objective())}.")
        if larger := deployed_with(job.objective()):
            progress.note(f"{row.title}: {larger}")
    return bench


def members_of(row: Row, recipe: Recipe, what: str = "") -> list[Member]:
    """The training runs of a row under a recipe, seed by seed."""
    seeds = range(recipe.seed, recipe.seed + recipe.seeds)
    return [Member(f"{row.student}, {row.title}{what}", row.arm, recipe, seed) for seed in seeds]


def tried(row: Row) -> list[list[Member]]:
    """The training runs of a row's trials, trial by trial."""
    return [members_of(row, trial.short, f", {', '.join(trial.settings) or 'as given'}") for trial in row.trials]


def choose(kind: str, row: Row, in_trials: list[list[Trained]]) -> Choice:
    """The trial that is best on validation by the first figure, then by the loss, by mean over its seeds; the first of equals."""
    if not row.trials:
        return Choice(row.recipe, "as given", [])
    figures = KINDS[kind].FIGURES[:2]
    trials = []
    for trial, ones in zip(row.trials, in_trials, strict=True):
        records = [kept(one.history, trial.short.train, figures) for one in ones]
        trials.append(
            {
                "settings": list(trial.settings),
                **{figure.name: fmean(record[field(figure)] for record in records) for figure in figures},
                "seconds": sum(one.seconds for one in ones),
            }
        )
    best = max(range(len(trials)), key=lambda i: [figure.sign * trials[i][figure.name] for figure in figures])
    return Choice(row.trials[best].recipe, ", ".join(row.trials[best].settings) or "as given", trials)
