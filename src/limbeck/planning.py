"""What a run would do: which stages are finished, which are to be done, and about how long and how much disk."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import progress
from .arms import about_student, examples_of, members, objective_of, plan_of, student_of, the_arms, train_member
from .arms import member_stage as stage_of
from .conclusion import CONCLUSION, evaluate_stage, export_stage, report_stage
from .interfaces import Target
from .job import Job, deployed_with, job_from_recipe, supervised, use_threads
from .modalities import modality_of
from .models.capture import Capture
from .objectives.modules import Objective
from .objectives.schedules import Progress
from .recipe import Recipe, Train
from .stages import Stage, check_free
from .targets.codecs import bytes_per_target
from .targets.live import LiveTeacher
from .targets.store import Store
from .teachers import Member
from .teaching import (
    about_targets,
    about_teacher,
    targets_stage,
    teacher_stages,
    the_targets,
    the_teacher,
    why_live,
)
from .trained import Trained
from .training.dry_run import has_to_build, of_one_batch
from .training.optimizer import optimizer_for

WARM_UP_STEPS, TIMED_STEPS = 2, 5
# Rough: two models translated and measured for a fixed time, a process each for memory; and a page drawn.
EXPORT_SECONDS, REPORT_SECONDS = 12.0, 2.0
COMPARED = 5000  # test examples that an exported model is held to, at most


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a plan; ``seconds`` and ``bytes`` are estimates, None where nothing is known."""

    name: str
    state: str  # "finished", "unfinished" or "to do"
    detail: str
    seconds: float | None = None
    bytes: int | None = None


def plan(
    recipe: Recipe, out: Path, *, trust_code: bool = False, device: str = "auto", threads: int | None = None
) -> list[PlannedStage]:
    """Looks at the data and the run's folder, times a few steps of each model, and writes nothing.

    What a stage is made from is only known once the stages before it are finished, so behind an unfinished one all
    are "to do".
    """
    check_free(out)
    use_threads(threads)
    splits = modality_of(recipe).load(recipe, progress.bar)
    job = job_from_recipe(recipe, splits, out=out, trust_code=trust_code, device=device, force=())
    for note in (*job.notes, why_live(job), deployed_with(job.objective())):
        if note is not None:
            progress.note(note)
    planned = [planned_teacher(job)]
    known = planned[-1].state == "finished"
    teacher = the_teacher(job) if known else None
    store = None
    if job.asks_teacher and not job.live:
        planned.append(planned_targets(job, teacher))
        known = planned[-1].state == "finished"
        store = the_targets(job, teacher) if known and teacher is not None else None
    students = _the_students(job, teacher if known else None, store)
    planned += students
    known = known and all(one.state == "finished" for one in students)
    return planned + _the_conclusion(job, teacher if known else None, store)


def planned_teacher(job: Job) -> PlannedStage:
    """What is to be done for the teacher, or for all teachers of an ensemble."""
    trained = [one for one in job.teachers if one.section.train is not None]
    if not trained:
        return PlannedStage("teacher", "finished", about_teacher(job))
    stages = teacher_stages(job)
    left = [one for one, here in zip(trained, stages, strict=True) if not here.finished]
    state = "unfinished" if any(here.begun for here in stages) else "to do"
    seconds = sum(_teacher_seconds(job, one) for one in left) if left else None
    size = sum(weights_bytes(one.model) for one in trained)
    return PlannedStage("teacher", state if left else "finished", about_teacher(job), seconds, size)


def _teacher_seconds(job: Job, member: Member) -> float:
    plan, task = member.section.train, job.task.seen_through(member.sees)
    assert plan is not None
    return training_seconds(job, member.model, plan, task.train, task)


def planned_targets(job: Job, teacher: Trained | None) -> PlannedStage:
    """What is to be done for the soft targets; ``teacher`` where it is there already."""
    wanted, count = job.recipe.targets, len(job.task.pool)
    if wanted.store is not None:
        return PlannedStage("targets", "finished", about_targets(job))
    state = "to do" if teacher is None else _state(targets_stage(job, teacher))
    size = wanted.views * count * bytes_per_target(job.codecs.codecs[-1], len(job.splits.classes))
    seconds = None if state == "finished" else wanted.views * count * answer_seconds(job)
    return PlannedStage("targets", state, about_targets(job), seconds, size)


def _the_students(job: Job, teacher: Trained | None, store: Store | None) -> list[PlannedStage]:
    recipe, student = job.recipe, job.student(job.recipe.seed)
    arms = None if teacher is None else the_arms(job, teacher, store)
    planned = []
    for name in dict.fromkeys(name for name, _ in members(job)):
        stages = [] if arms is None else [stage_of(job, arms[name], seed) for seed in job.seeds]
        finished = sum(stage.finished for stage in stages)
        state = "finished" if stages and finished == len(stages) else "to do"
        if state == "to do" and (finished or any(stage.begun for stage in stages)):
            state = "unfinished"
        seconds = None
        if state != "finished":
            if name == "student" and job.asks_teacher and job.live:
                one = student_seconds(job)
            else:
                one = training_seconds(job, student, plan_of(job, name), examples_of(job, name), job.task)
            seconds = one * (recipe.seeds - finished)
        detail = f"{about_student(job, name)}, {recipe.seeds} seed(s), {finished} finished"
        planned.append(PlannedStage(name, state, detail, seconds, recipe.seeds * weights_bytes(student)))
    return planned


def _the_conclusion(job: Job, teacher: Trained | None, store: Store | None) -> list[PlannedStage]:
    names = CONCLUSION
    if teacher is None:
        about = _conclusion_seconds(job)
        return [PlannedStage(name, "to do", "", about[name]) for name in names]
    arms = the_arms(job, teacher, store)
    trained: dict[str, list[Trained]] = {}
    for name, seed in members(job):
        trained.setdefault(name, []).append(train_member(job, arms[name], seed))
    evaluation = evaluate_stage(job, teacher, trained)
    export = export_stage(job, teacher, trained)
    stages = (evaluation, export, report_stage(job, evaluation, export))
    about = _conclusion_seconds(job) if not all(stage.finished for stage in stages) else {}
    return [
        PlannedStage(name, _state(stage), "", None if stage.finished else about[name])
        for name, stage in zip(names, stages, strict=True)
    ]


def _state(stage: Stage) -> str:
    return "finished" if stage.finished else "unfinished" if stage.begun else "to do"


def training_seconds(
    job: Job,
    model: nn.Module,
    plan: Train,
    examples: Any,
    task: Any,
    objective: Objective | None = None,
    teacher: LiveTeacher | None = None,
) -> float:
    """Epochs times steps times what a step takes, from a few steps of a copy.

    By default the step is that of cross-entropy, which one from stored answers costs too.
    """
    device = job.accelerator.device
    trial = copy.deepcopy(model).to(device).train()
    trial.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    source = task.source(examples, views=job.recipe.views, seed=0, batch_size=plan.batch_size)
    objective = (objective or supervised(job.splits)).to(device)
    with torch.random.fork_rng(devices=[]):
        if has_to_build(objective):
            seen = of_one_batch(trial, task, source, teacher, objective.needs, plan.micro_batches, nullcontext())
            objective.build(*seen, examples.ids)
            objective.to(device)
        optimizer = optimizer_for([trial, objective], plan)
        capture = Capture(trial, objective.needs.features)
        steps = source.steps_per_epoch()

        def step(number: int) -> None:
            objective.at(Progress(number, steps, plan.epochs * steps))
            batch = source.next(number, trial)
            target = teacher(batch, objective.needs) if teacher is not None else Target()
            with capture as features:
                output = task.forward(trial, batch)
            output = dataclasses.replace(output, features=features) if features else output
            terms = objective(output, target, batch).values()
            torch.stack([term.total / term.count.clamp(min=1) for term in terms]).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

        times = [_timed(partial(step, number)) for number in range(WARM_UP_STEPS + TIMED_STEPS)]
        took = statistics.median(times[WARM_UP_STEPS:])
    return plan.epochs * steps * took


def student_seconds(job: Job) -> float:
    """What the training of one student takes, by its own objective where the teacher is asked live."""
    plan, examples = job.recipe.train, job.task.pool
    if not (job.asks_teacher and job.live):
        return training_seconds(job, job.student(job.recipe.seed), plan, examples, job.task)
    teacher = copy.deepcopy(job.teacher).to(job.accelerator.device)
    student = student_of(job, teacher, job.recipe.seed)
    live = LiveTeacher(teacher, job.task)
    return training_seconds(job, student, plan, examples, job.task, objective_of(job), live)


def answer_seconds(job: Job, student: nn.Module | None = None) -> float:
    """What the teacher's answer to one example takes, or the student's."""
    examples = job.task.train
    index_B = torch.arange(min(128, len(examples)), device=examples.ids.device)
    batch = job.task.batch(examples, index_B, torch.zeros_like(index_B), job.recipe.views)
    model = (job.teacher if student is None else student).to(job.accelerator.device).eval()

    def ask() -> None:
        if student is None:
            job.task.answer(model, batch)
        else:
            job.task.forward(model, batch)

    with torch.no_grad():
        ask()
        return _timed(ask) / len(index_B)


def _conclusion_seconds(job: Job) -> dict[str, float | None]:
    """About what evaluation, export and report take; None where nobody knows how many test examples there are."""
    test = job.splits.test.count
    if test is None:
        return {"evaluate": None, "export": None, "report": REPORT_SECONDS}
    teacher, student = answer_seconds(job), answer_seconds(job, job.student(job.recipe.seed))
    examples, compared = test + len(job.splits.validation), min(test, COMPARED)
    return {
        "evaluate": examples * (teacher + len(members(job)) * student),
        # each is asked twice, in PyTorch and in onnxruntime
        "export": EXPORT_SECONDS + 2 * compared * (teacher + student),
        "report": REPORT_SECONDS,
    }


def _timed(action: Any) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def weights_bytes(model: nn.Module) -> int:
    """Size of a model's weights, buffers included."""
    return sum(value.numel() * value.element_size() for value in model.state_dict().values())
