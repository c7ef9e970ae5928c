"""Training as a stage: skipped where finished, resumed where begun."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..data.epochs import ViewOf, every_epoch_anew
from ..models.identity import Identity, identity
from ..models.weights import load_weights, save_weights
from ..objectives.modules import Objective
from ..sections.train import Train
from ..targets.live_teacher import LiveTeacher
from ..targets.stored_teacher import StoredTeacher
from ..training.history import ended, read_history, write_history
from ..training.loop import Training, fit
from . import stages
from .job import Job
from .stages import Stage


@dataclass(frozen=True)
class Trained:
    """A model at the end of its stage."""

    model: nn.Module
    seed: int
    seconds: float  # of training; 0 for a model that came ready-made
    fingerprint: str
    identity: Identity
    history: list[dict[str, float]]
    title: str = ""  # how a person sees it, where the recipe has several of its kind
    members: tuple[Trained, ...] = ()  # of an ensemble; each takes what the ensemble takes
    dense: Trained | None = None  # itself before most of its weights were set to zero, where they were


def train_stage(
    job: Job,
    here: Stage,
    *,
    title: str,
    build: Callable[[], nn.Module],
    objective: Objective,
    plan: Train,
    views: Any,
    seed: int,
    teacher: LiveTeacher | StoredTeacher | None = None,
    view_of: ViewOf = every_epoch_anew,
    sees: Any = None,
    until: int | None = None,
    learning: Callable[[nn.Module], AbstractContextManager[object]] = nullcontext,
) -> Trained:
    """One training stage: skipped where finished, resumed where begun.

    ``sees``: what its input goes through, where that differs from the student's. ``until``: train to the end of that epoch
    alone; unless the training ends there, its stage stays unfinished, and whoever wants it next goes on from its checkpoint.
    ``learning``: what the model is made within, in place, for as long as it learns.
    """
    here = begun(job, here)
    model = build()
    task = job.task.seen_through(sees).learnt_by(model)
    if here.finished:
        (here.folder / "checkpoint.pt").unlink(missing_ok=True)  # of a run killed just after it had finished
        facts = here.facts()
        load_weights(model, here.folder / "model.safetensors", title)
        # laid out as training leaves it, or its answers would differ in the last bit from those given before a restart
        model.to(memory_format=torch.channels_last).eval()
        history = read_history(here.folder)
        return Trained(model, seed, facts["seconds"], here.fingerprint, facts["identity"], history)
    here.prepare()
    # only a teacher has something to say of the unlabelled examples of a transfer set
    examples = task.train if teacher is None else task.pool
    upcoming = teacher.upcoming if isinstance(teacher, StoredTeacher) else None
    source = task.source(
        examples, views=views, seed=seed, batch_size=plan.batch_size, view_of=view_of, upcoming=upcoming
    )
    run = Training(title, model, task, source, objective, teacher, plan, seed, here.folder, examples.ids)
    with learning(model):
        history = fit(run, job.accelerator, until)
    known = identity(model, job.task.probe(sees))
    if not ended(history, plan, run.figures):
        return Trained(model, seed, history[-1]["seconds"], here.fingerprint, known, history)
    save_weights(model, here.folder / "model.safetensors")
    write_history(here.folder, history)
    facts = {"seconds": history[-1]["seconds"], "identity": known, "seed": seed}
    here.finish(facts, ["model.safetensors", "history.json"])
    (here.folder / "checkpoint.pt").unlink(missing_ok=True)
    return Trained(model, seed, facts["seconds"], here.fingerprint, known, history)


def gone_on(plan: Train, epochs: int, rate: float) -> Train:
    """How a trained model goes on for so many epochs: as it learnt, from a ``rate`` of its peak learning rate that falls to zero, and without what
    only a long run needs."""
    changes = {
        "epochs": epochs,
        "learning_rate": rate * plan.peak,
        "schedule": "cosine",
        "milestones": (),
        "warmup_epochs": 0.0,
        "ema": 0.0,
        "keep": "best",
        "patience": None,
    }
    return plan.model_copy(update=changes)


def begun(job: Job, here: Stage) -> Stage:
    """The stage, set aside first where ``--force`` names it: once, however often it is come by."""
    if here.name in job.force and here.folder not in job.redone:
        job.redone.add(here.folder)
        stages.redo(job.out, here)
    return here


def taken_over(job: Job, *here: Stage) -> str:
    """What a step's line ends with where its stages are finished and not to be done anew; empty otherwise."""
    finished = bool(here) and all(one.finished and one.name not in job.force for one in here)
    return ", finished before" if finished else ""


def named(model: str, knobs: dict[str, Any]) -> dict[str, Any]:
    return {"name": model, "knobs": knobs}
