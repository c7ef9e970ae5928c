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
from ..deploy.formats import require
from ..errors import BadInput, Interrupted, did_you_mean
from ..files import write_text
from ..recipe.read import resolved_yaml
from ..sections.recipe import Recipe
from ..targets.store.store import Store
from . import stages
from .assistant import (
    Assistant,
    arms_of,
    assistant_stage,
    learns_from_teacher,
    tested_of,
    train_assistant,
)
from .evaluate import TestSplit, best_on_validation, evaluate, evaluate_stage, models_of, test_reads
from .export import export_and_measure, export_stage
from .formats import deploy_as, format_stages
from .job import Job, open_job, taught_by
from .known import Known, known_of
from .objective import deployed_with
from .parallel import Asked, side_by_side
from .quantization_aware import further_stages, quantization_aware
from .report import report, report_stage
from .stages import ARMS, ASSISTANT, CONCLUSION, STAGES, Stage
from .students import about_student, member_stage, members, titled, train_member
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
    if {"evaluate", "export", "formats", "quantization_aware"} & set(force) and "report" not in force:
        force = (*force, "report")  # else the results would go on telling what was measured before
    folder = out or default_folder(recipe)
    stages.check_free(folder)  # before the data is read, which may take a while
    known = known_of(recipe, folder)  # likewise: files that change meanwhile are not those that were read
    job = open_job(recipe, out=folder, trust_code=trust_code, device=device, force=force, threads=threads)
    if jobs == 1:
        return distil(job, known=known)
    share = max(1, (threads or torch.get_num_threads()) // jobs)
    asked = Asked(recipe, folder, trust_code, force, device, share)
    in_processes = partial(side_by_side, asked, jobs, len(members(job)))
    # what was to be forced is made anew there, and must not be a second time here
    return distil(dataclasses.replace(job, force=tuple(set(force) - set(ARMS))), in_processes, known)


def default_folder(recipe: Recipe) -> Path:
    """``runs/<name>``."""
    return Path("runs") / (recipe.name or "run")


def distil(job: Job, ahead: Callable[[], None] | None = None, known: Known | None = None) -> dict[str, Any]:
    """Teacher, targets, students, and what is to be concluded from them.

    ``ahead`` is called once the targets are there; it may finish students' stages in other processes. ``known`` is where
    it is noted which stages the recipe comes to.
    """
    if known is None or job.splits.elsewhere:
        known = Known(job.recipe, job.out, None)
    require(job.recipe.export.more)
    for note in (*job.notes, why_live(job), deployed_with(job.objective())):
        if note is not None:
            progress.note(note)
    first = learns_from_teacher(job)
    if job.recipe.targets.store is not None and job.asks_teacher:
        given_store(first)  # refused before anything is trained
    stored = job.asks_teacher and not job.live
    taught = 1 if job.assistant is None else 2  # how often somebody is trained, and asked, before the students
    steps = progress.Steps(taught * (1 + stored) + len(members(job)) + len(CONCLUSION) + len(job.recipe.export.more))
    with stages.claimed(job.out):
        write_text(job.out / "recipe.yaml", resolved_yaml(job.recipe))
        try:
            made = teacher_stages(job)
            steps.next(f"teacher: {about_teacher(job)}{taken_over(job, *made)}")
            for number, here in enumerate(made):
                known.note(here, number, (), about_teacher(job))
            teacher = the_teacher(job)
            job = dataclasses.replace(job, notes=(*job.notes, *beware(job, teacher)))
            if stored:
                given = job.recipe.targets.store is not None
                wanted = [] if given else [targets_stage(first, teacher)]
                steps.next(f"soft targets: {about_targets(first)}{taken_over(job, *wanted)}")
                for here in wanted:
                    known.note(here, 0, made, about_targets(first))
                made = [*made, *wanted]
            store = the_targets(first, teacher)
            assistant, between = None, list[Stage]()
            if job.assistant is not None:
                assistant, between = assist(job, teacher, store, steps, known, made)
            if ahead is not None:
                ahead()
            arms, students = the_students(job, teacher, store, assistant, steps, known, [*made, *between])
        except KeyboardInterrupt:
            raise Interrupted("stopped; run the same command to go on from there.") from None
        models = [*teacher_stages(job), *between[:1], *students]
        results = conclude(job, teacher, store, assistant, arms, steps, known, models)
    steps.end()
    return results


def assist(
    job: Job, teacher: Trained, store: Store | None, steps: progress.Steps, known: Known, made: list[Stage]
) -> tuple[Assistant, list[Stage]]:
    """The assistant trained, then asked; beside it the stages of both, the training's first. ``made`` are those before."""
    assert job.assistant is not None
    here, about = assistant_stage(job, teacher, store), about_student(job.assistant, ASSISTANT)
    steps.next(f"{ASSISTANT}: {about}{taken_over(job, here)}")
    known.note(here, 0, made, about)
    trained = train_assistant(job, teacher, store)
    between, students = [here], taught_by(job, trained.model)
    if not job.live:
        wanted, about = targets_stage(students, trained), about_targets(students)
        steps.next(f"soft targets of the assistant: {about}{taken_over(job, wanted)}")
        known.note(wanted, 1, [*made, here], about)
        between.append(wanted)
    return Assistant(trained, students, the_targets(students, trained)), between


def the_students(
    job: Job,
    teacher: Trained,
    store: Store | None,
    assistant: Assistant | None,
    steps: progress.Steps,
    known: Known,
    made: list[Stage],
) -> tuple[dict[str, list[Trained]], list[Stage]]:
    """For every seed: the student, and the same student without the teacher, once with plain labels, once smoothed.

    ``made`` are the stages before; the students' own are returned beside them.
    """
    job, arms = arms_of(job, teacher, store, assistant)
    trained: dict[str, list[Trained]] = {}
    taught = []
    for name, seed in members(job):
        taught.append(member_stage(job, arms[name], seed))
        finished = taken_over(job, taught[-1])
        steps.next(f"{titled(job, arms[name], seed)}: {about_student(job, name)}{finished}")
        known.note(taught[-1], seed, made, about_student(job, name))
        trained.setdefault(name, []).append(train_member(job, arms[name], seed))
    return trained, taught


def conclude(
    job: Job,
    teacher: Trained,
    store: Store | None,
    assistant: Assistant | None,
    arms: dict[str, list[Trained]],
    steps: progress.Steps,
    known: Known,
    models: list[Stage],
) -> dict[str, Any]:
    """Evaluates, exports, measures and reports; returns the results. ``models`` are the stages of all that was trained."""
    test = TestSplit(job)
    test_reads(job.out)  # a record that was lost or damaged is noticed, whether or not it grows
    chosen = best_on_validation(job, arms["student"])
    tested = tested_of(arms, assistant)
    first = evaluate_stage(job, teacher, tested)
    finished = taken_over(job, first)
    steps.next(f"evaluate: {len(models_of(teacher, tested))} models on validation and test{finished}")
    known.note(first, 0, models, "")
    evaluation, answers = evaluate(job, test, teacher, tested)
    wanted = export_stage(job, teacher, arms)
    steps.next(f"export: student and teacher, parity and speed{taken_over(job, wanted)}")
    known.note(wanted, 0, models, "")
    export = export_and_measure(job, test, wanted, teacher, arms["student"][chosen], arms)
    formats = format_stages(job, export)
    for number, (name, here) in enumerate(formats.items()):
        steps.next(f"format {name}{taken_over(job, here)}")
        known.note(here, number, [export], name)
        deploy_as(job, test, name, here, export, teacher, arms["student"][chosen])
    learning, taught = arms_of(job, teacher, store, assistant)
    student = arms["student"][chosen]
    went_on = quantization_aware(learning, test, teacher, taught["student"], student, export, formats, known, models)
    last = report_stage(job, evaluation, export, formats, went_on)
    steps.next(f"report{taken_over(job, last)}")
    known.note(last, 0, [evaluation, export, *formats.values(), *further_stages(went_on)], "")
    return report(job, test, teacher, assistant, arms, chosen, store, evaluation, answers, export, formats, went_on)
