"""What stages will take: a few steps of each timed, or as those that were made before took."""

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
from ..interfaces.modality import Member
from ..models.capture import Capture
from ..objectives.modules import Objective
from ..objectives.schedules import Progress
from ..sections.train import Train
from ..targets.live_teacher import LiveTeacher
from ..training.dry_run import has_to_build, of_one_batch
from ..training.optimizer import optimizer_for
from .before import Before
from .job import Job
from .objective import supervised
from .sparse import epochs_more
from .stages import ASSISTANT, CONCLUSION
from .students import examples_of, members, objective_of, plan_of, student_of
from .targets import asked_views
from .training_stage import named

WARM_UP_STEPS, TIMED_STEPS = 2, 5
# Rough: two models translated and measured for a fixed time, a process each for memory; and a page drawn.
EXPORT_SECONDS, REPORT_SECONDS = 12.0, 2.0
COMPARED = 5000  # test examples that an exported model is held to, at most


class Costs:
    """About what stages take: measured on a few steps, or as stages of this run's folder took that were made before."""

    def __init__(self, job: Job, measure: bool) -> None:
        self.job, self.measure = job, measure
        self.before = Before(job.out)

    def teacher(self, member: Member) -> float | None:
        """Seconds of one teacher's training."""
        section, task = member.section, self.job.task.seen_through(member.sees)
        if self.measure:
            return training_seconds(self.job, member.model, section.train, task.train, task)
        return self._before("teacher", section, section.train)

    def targets(self) -> float | None:
        """Seconds of the soft targets."""
        views, count = asked_views(self.job, self.job.teacher)[1], len(self.job.task.pool)
        return views * count * answer_seconds(self.job) if self.measure else self.before.targets(self.job.recipe)[0]

    def assistant(self, assistant: Job) -> float | None:
        """Seconds of the training of the assistant whose job this is."""
        if self.measure:
            return student_seconds(assistant)
        return self._before(ASSISTANT, assistant.recipe.student, assistant.recipe.train)

    def student(self, name: str) -> float | None:
        """Seconds of one student's training, or of a control's."""
        job, plan = self.job, plan_of(self.job, name)
        plan = plan.model_copy(update={"epochs": plan.epochs + epochs_more(job.recipe, plan)})
        if not self.measure:
            return self._before(name, job.recipe.student, plan)
        if name == "student" and job.asks_teacher and job.live:
            return student_seconds(job)
        return training_seconds(job, job.student(job.recipe.seed), plan, examples_of(job, name), job.task)

    def conclusion(self) -> dict[str, float | None]:
        """Seconds of evaluation, export and report."""
        return _conclusion_seconds(self.job) if self.measure else {name: self.before.other(name) for name in CONCLUSION}

    def _before(self, name: str, section: Any, plan: Train) -> float | None:
        model = named(section.model, section.knobs)
        return self.before.training(name, model, plan.model_dump(mode="json"))[0]


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
    task = task.learnt_by(trial)
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
