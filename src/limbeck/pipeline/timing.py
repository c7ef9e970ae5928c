"""A few steps timed: what training and asking will take."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn

from ..interfaces import Target
from ..models.capture import Capture
from ..objectives.modules import Objective
from ..objectives.schedules import Progress
from ..sections.train import Train
from ..targets.live_teacher import LiveTeacher
from ..training.dry_run import has_to_build, of_one_batch
from ..training.optimizer import optimizer_for
from .job import Job
from .objective import supervised
from .students import objective_of, student_of

WARM_UP_STEPS, TIMED_STEPS = 2, 5


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
    objective = (objective or supervised(job.splits.answers)).to(device)
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
