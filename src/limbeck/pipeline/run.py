"""The story of a run: teacher, soft targets, students, evidence, export, report.

Each step is a stage (:mod:`limbeck.pipeline.stages`) named by the fingerprint of what goes into it: finished ones are skipped,
unfinished ones resume. The test split is opened once, after the last student is trained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from .. import progress
from ..errors import BadInput, Interrupted, did_you_mean
from ..files import write_text
from ..recipe.read import resolved_yaml
from ..sections.recipe import Recipe
from ..targets.store.store import Store
from . import stages
from .evaluate import TestSplit, best_on_validation, evaluate, evaluate_stage, models_of, test_reads
from .export import export_and_measure, export_stage
from .job import Job, open_job
from .objective import deployed_with
from .parallel import Asked, side_by_side
from .report import report, report_stage
from .stages import ARMS, CONCLUSION, STAGES
from .students import about_student, member_stage, members, the_arms, titled, train_member
from .targets import about_targets, given_store, targets_stage, the_targets, why_live
from .teacher import about_teacher, beware, teacher_stages, the_teacher
from .training_stage import Trained, taken_over


def run(
    recipe: Recipe,
    *,
    out: Path | None = None,
    trust_code: bool = False,
    force: tuple[str, ...] = (),
    device: str = "auto",
    threads: int | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Does what a recipe asks and returns the results (``results.json``).

    ``jobs`` students are trained at a time, each in a process of its own with its share of ``threads``: small models
    gain little from a second thread. The number of threads is part of what makes a run repeatable to the bit.

    Raises :class:`limbeck.errors.LimbeckError` in sentences; nothing is written where the recipe, the data or a model
    is refused.
    """
    for name in force:
        if name not in STAGES:
            raise BadInput(f"--force {name}: no such stage.{did_you_mean(name, STAGES)}")
    if {"evaluate", "export"} & set(force) and "report" not in force:
        force = (*force, "report")  # else the results would go on telling what was measured before
    folder = out or default_folder(recipe)
    stages.check_free(folder)  # before the data is read, which may take a while
    job = open_job(recipe, out=folder, trust_code=trust_code, device=device, force=force, threads=threads)
    if jobs == 1:
        return distil(job)
    share = max(1, (threads or torch.get_num_threads()) // jobs)
    asked = Asked(recipe, folder, trust_code, force, device, share)
    in_processes = partial(side_by_side, asked, jobs, len(members(job)))
    # what was to be forced is made anew there, and must not be a second time here
    return distil(dataclasses.replace(job, force=tuple(set(force) - set(ARMS))), in_processes)


def default_folder(recipe: Recipe) -> Path:
    """``runs/<name>``."""
    return Path("runs") / (recipe.name or "run")


def distil(job: Job, ahead: Callable[[], None] | None = None) -> dict[str, Any]:
    """Teacher, targets, students, and what is to be concluded from them.

    ``ahead`` is called once the targets are there; it may finish students' stages in other processes.
    """
    for note in (*job.notes, why_live(job), deployed_with(job.objective())):
        if note is not None:
            progress.note(note)
    if job.recipe.targets.store is not None and job.asks_teacher:
        given_store(job)  # refused before anything is trained
    stored = job.asks_teacher and not job.live
    steps = progress.Steps(1 + stored + len(members(job)) + len(CONCLUSION))
    with stages.claimed(job.out):
        write_text(job.out / "recipe.yaml", resolved_yaml(job.recipe))
        try:
            steps.next(f"teacher: {about_teacher(job)}{taken_over(job, *teacher_stages(job))}")
            teacher = the_teacher(job)
            job = dataclasses.replace(job, notes=(*job.notes, *beware(job, teacher)))
            if stored:
                given = job.recipe.targets.store is not None
                finished = "" if given else taken_over(job, targets_stage(job, teacher))
                steps.next(f"soft targets: {about_targets(job)}{finished}")
            store = the_targets(job, teacher)
            if ahead is not None:
                ahead()
            arms = the_students(job, teacher, store, steps)
        except KeyboardInterrupt:
            raise Interrupted("stopped; run the same command to go on from there.") from None
        results = conclude(job, teacher, store, arms, steps)
    steps.end()
    return results


def the_students(job: Job, teacher: Trained, store: Store | None, steps: progress.Steps) -> dict[str, list[Trained]]:
    """For every seed: the student, and the same student without the teacher, once with plain labels, once smoothed."""
    arms = the_arms(job, teacher, store)
    trained: dict[str, list[Trained]] = {}
    for name, seed in members(job):
        finished = taken_over(job, member_stage(job, arms[name], seed))
        steps.next(f"{titled(job, arms[name], seed)}: {about_student(job, name)}{finished}")
        trained.setdefault(name, []).append(train_member(job, arms[name], seed))
    return trained


def conclude(
    job: Job, teacher: Trained, store: Store | None, arms: dict[str, list[Trained]], steps: progress.Steps
) -> dict[str, Any]:
    """Evaluates, exports, measures and reports; returns the results."""
    test = TestSplit(job)
    test_reads(job.out)  # a record that was lost or damaged is noticed, whether or not it grows
    chosen = best_on_validation(job, arms["student"])
    finished = taken_over(job, evaluate_stage(job, teacher, arms))
    steps.next(f"evaluate: {len(models_of(teacher, arms))} models on validation and test{finished}")
    evaluation, answers = evaluate(job, test, teacher, arms)
    wanted = export_stage(job, teacher, arms)
    steps.next(f"export: student and teacher, parity and speed{taken_over(job, wanted)}")
    export = export_and_measure(job, test, wanted, teacher, arms["student"][chosen])
    steps.next(f"report{taken_over(job, report_stage(job, evaluation, export))}")
    return report(job, test, teacher, arms, chosen, store, evaluation, answers, export)
