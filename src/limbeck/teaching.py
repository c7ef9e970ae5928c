"""The teacher, and what it is asked once: the first two steps of a run."""

from __future__ import annotations

import time

import torch

from . import progress
from .job import Job, asked_live, coarse
from .models.identity import identity
from .objectives.modules import CrossEntropy
from .stages import Stage, stage
from .targets.cast import cast
from .targets.check import lacks_a_file
from .targets.live import LiveTeacher
from .targets.manifest import StoreIdentity
from .targets.store import Store
from .trained import TRAINING_VERSION, Trained, begun, named, normalisation, teacher_shape, train_stage

# Bumped by hand when the meaning of the soft targets, or the layout of their files, changes.
TARGETS_VERSION = 2


def the_teacher(job: Job) -> Trained:
    """The teacher: trained here, or as it came."""
    section = job.recipe.teacher
    if section.train is None:
        known = identity(job.teacher, *teacher_shape(job))
        return Trained(job.teacher, job.recipe.seed, 0.0, "as it came", known, [])
    return train_stage(
        job,
        teacher_stage(job),
        title="teacher",
        build=lambda: job.teacher,
        objective=CrossEntropy(),
        plan=section.train,
        views=section.views or job.recipe.views,
        seed=job.recipe.seed,
        as_teacher=True,
    )


def teacher_stage(job: Job) -> Stage:
    """The stage of a teacher that is trained here."""
    section = job.recipe.teacher
    assert section.train is not None
    ingredients = {
        "version": TRAINING_VERSION,
        "model": named(section.model, section.knobs),
        "initial": job.code["teacher"],
        "train": section.train.model_dump(mode="json"),
        "views": (section.views or job.recipe.views).model_dump(mode="json"),
        "seed": job.recipe.seed,
        "data": job.splits.fingerprint,
        "normalisation": normalisation(job, as_teacher=True),
    }
    return stage(job.out, "teacher", ingredients)


def the_targets(job: Job, teacher: Trained) -> Store | None:
    """The soft targets of every view of every example; None where the teacher is asked live."""
    wanted = job.recipe.targets
    if job.live or not job.asks_teacher:
        return None
    known = store_identity(job, teacher)
    here = begun(job, targets_stage(job, teacher))
    path = here.folder / "store"
    before = 0.0
    if here.finished:
        before = here.facts()["seconds"]
        if not lacks_a_file(path):
            return Store.open(path, expect=known).to(job.accelerator.device)
        here.reopen()  # a damaged shard was deleted, as the sentence about it advises: only that one is asked again
    here.prepare()
    pool, task = job.task.pool, job.task
    teacher.model.to(job.accelerator.device)
    live = LiveTeacher(teacher.model, task)
    views = job.recipe.views

    def ask(index_B: torch.Tensor, view: int) -> torch.Tensor:
        index_B = index_B.to(pool.ids.device)
        batch = task.batch(pool, index_B, torch.full_like(index_B, view), views)
        return task.answer(live.model, batch).float()

    began = time.monotonic()
    with progress.bar(wanted.views * len(pool), "soft targets") as advance, torch.no_grad():
        store = cast(path, known, pool.ids, wanted.views, ask, progress=advance)
    here.finish(
        {"seconds": before + time.monotonic() - began, "targets": wanted.views * len(pool)}, ["store/seal.json"]
    )
    return store.to(job.accelerator.device)


def why_live(job: Job) -> str | None:
    """One line for a person who did not ask for a live teacher and gets one."""
    if job.recipe.targets.live or not job.needs.teacher_features:
        return None
    return f"{asked_live(job.objective())}, and no soft targets are kept."


def store_identity(job: Job, teacher: Trained) -> StoreIdentity:
    """What a store of soft targets must agree with to be used in this job."""
    return {
        "classes": len(job.splits.classes),
        "data": job.splits.fingerprint,
        "teacher": teacher.identity,
        "preprocess": normalisation(job, as_teacher=True),
        "precision": "float32",
        "views": job.recipe.views.model_dump(mode="json"),
        "view_seed": job.recipe.seed,
    }


def targets_stage(job: Job, teacher: Trained) -> Stage:
    """The stage of the soft targets."""
    wanted = job.recipe.targets
    ingredients = {
        "version": TARGETS_VERSION,
        **store_identity(job, teacher),
        "teacher": coarse(teacher.identity),
        "count": wanted.views,
        "codec": wanted.codec,
    }
    return stage(job.out, "targets", ingredients)
