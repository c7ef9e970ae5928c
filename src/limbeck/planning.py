"""What a run would do: which stages are finished, which are to be done, and about how long and how much disk."""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import progress
from .arms import member_stage as stage_of
from .arms import members, the_arms
from .conclusion import evaluate_stage, export_stage, report_stage
from .data.load import load
from .interfaces import Target
from .job import Job, job_from_recipe, use_threads
from .objectives.modules import CrossEntropy
from .recipe import Recipe, Train
from .stages import Stage
from .targets.codecs import bytes_per_target
from .targets.store import Store
from .teachers import Member
from .teaching import given_store, targets_stage, teacher_stages, the_targets, the_teacher, why_live
from .trained import Trained, train_stage
from .training.optimizer import optimizer_for

WARM_UP_STEPS, TIMED_STEPS = 2, 5


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
    use_threads(threads)
    splits = load(recipe.data, progress.bar)
    job = job_from_recipe(recipe, splits, out=out, trust_code=trust_code, device=device, force=())
    if note := why_live(job):
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
    title, trained = job.recipe.teacher.title, [one for one in job.teachers if one.section.train is not None]
    if not trained:
        return PlannedStage("teacher", "finished", f"{title}, as it comes")
    stages = teacher_stages(job)
    left = [one for one, here in zip(trained, stages, strict=True) if not here.finished]
    state = "unfinished" if any(here.begun for here in stages) else "to do"
    seconds = sum(_teacher_seconds(job, one) for one in left) if left else None
    epochs = " and ".join(dict.fromkeys(str(plan.epochs) for one in trained if (plan := one.section.train)))
    detail = f"{title}, {epochs} epochs of {len(job.splits.train)}"
    size = sum(weights_bytes(one.model) for one in trained)
    return PlannedStage("teacher", state if left else "finished", detail, seconds, size)


def _teacher_seconds(job: Job, member: Member) -> float:
    plan, task = member.section.train, job.task.seen_through(member.sees)
    assert plan is not None
    return training_seconds(job, member.model, plan, len(task.train), task)


def planned_targets(job: Job, teacher: Trained | None) -> PlannedStage:
    """What is to be done for the soft targets; ``teacher`` where it is there already."""
    wanted, count = job.recipe.targets, len(job.task.pool)
    if wanted.store is not None:
        return PlannedStage("targets", "finished", f"{given_store(job).views} views of {count} examples, as given")
    state = "to do" if teacher is None else _state(targets_stage(job, teacher))
    size = wanted.views * count * bytes_per_target(job.codecs.codecs[-1], len(job.splits.classes))
    seconds = None if state == "finished" else wanted.views * count * answer_seconds(job)
    return PlannedStage("targets", state, f"{wanted.views} views of {count} examples", seconds, size)


def _the_students(job: Job, teacher: Trained | None, store: Store | None) -> list[PlannedStage]:
    recipe, student = job.recipe, job.student(job.recipe.seed)
    arms = None if teacher is None else the_arms(job, teacher, store)
    one = None
    planned = []
    for name in dict.fromkeys(name for name, _ in members(job)):
        stages = [] if arms is None else [stage_of(job, arms[name], seed) for seed in job.seeds]
        finished = sum(stage.finished for stage in stages)
        state = "finished" if stages and finished == len(stages) else "to do"
        if state == "to do" and (finished or any(stage.begun for stage in stages)):
            state = "unfinished"
        if state != "finished" and one is None:
            one = training_seconds(job, student, recipe.train, len(job.task.pool), job.task)
        seconds = None if state == "finished" or one is None else one * (recipe.seeds - finished)
        if name == "student" and job.asks_teacher and job.live and seconds is not None:
            seconds += recipe.seeds * recipe.train.epochs * len(job.task.pool) * answer_seconds(job)
        detail = f"{recipe.student.model}, {recipe.train.epochs} epochs, {recipe.seeds} seed(s), {finished} finished"
        planned.append(PlannedStage(name, state, detail, seconds, recipe.seeds * weights_bytes(student)))
    return planned


def _the_conclusion(job: Job, teacher: Trained | None, store: Store | None) -> list[PlannedStage]:
    names = ("evaluate", "export", "report")
    if teacher is None:
        return [PlannedStage(name, "to do", "") for name in names]
    arms = the_arms(job, teacher, store)
    trained: dict[str, list[Trained]] = {}
    for name, seed in members(job):
        trained.setdefault(name, []).append(_finished(job, name, stage_of(job, arms[name], seed), seed))
    evaluation = evaluate_stage(job, teacher, trained)
    export = export_stage(job, teacher, trained)
    stages = (evaluation, export, report_stage(job, evaluation, export))
    return [PlannedStage(name, _state(stage), "") for name, stage in zip(names, stages, strict=True)]


def _finished(job: Job, name: str, here: Stage, seed: int) -> Trained:
    return train_stage(
        job,
        here,
        title=name,
        build=lambda: job.student(seed),
        objective=CrossEntropy(),
        plan=job.recipe.train,
        views=job.recipe.views,
        seed=seed,
    )


def _state(stage: Stage) -> str:
    return "finished" if stage.finished else "unfinished" if stage.begun else "to do"


def training_seconds(job: Job, model: nn.Module, plan: Train, examples: int, task: Any) -> float:
    """Epochs times steps times what a step takes, from a few steps of a copy."""
    device = job.accelerator.device
    trial = copy.deepcopy(model).to(device).train()
    trial.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = optimizer_for([trial], plan)
    source = task.source(task.train, views=job.recipe.views, seed=0, batch_size=plan.batch_size)
    objective = CrossEntropy()

    def step(number: int) -> None:
        batch = source.next(number, trial)
        term = objective(task.forward(trial, batch), Target(), batch)["cross_entropy"]
        (term.total / term.count).backward()
        optimizer.step()
        optimizer.zero_grad()

    with torch.random.fork_rng(devices=[]):
        times = [_timed(partial(step, number)) for number in range(WARM_UP_STEPS + TIMED_STEPS)]
        took = statistics.median(times[WARM_UP_STEPS:])
    return plan.epochs * (-(-examples // plan.batch_size)) * took


def answer_seconds(job: Job) -> float:
    """What the teacher's answer to one example takes."""
    examples = job.task.train
    index_B = torch.arange(min(128, len(examples)), device=examples.ids.device)
    batch = job.task.batch(examples, index_B, torch.zeros_like(index_B), job.recipe.views)
    model = job.teacher.to(job.accelerator.device).eval()
    with torch.no_grad():
        job.task.answer(model, batch)
        return _timed(lambda: job.task.answer(model, batch)) / len(index_B)


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
