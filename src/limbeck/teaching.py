"""The teacher, and what it is asked once: the first two steps of a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from . import progress
from .errors import BadInput
from .job import Job, asked_live, coarse
from .models.identity import identity
from .objectives.modules import CrossEntropy
from .recipe import Views
from .reuse import donor_of, start_from
from .stages import Stage, stage
from .targets.cast import ERROR_SAMPLE, Ask, cast
from .targets.check import lacks_a_shard
from .targets.codecs import Codec, Rows, codec_from
from .targets.codecs.auto import choose
from .targets.codecs.fit import misfit
from .targets.live import LiveTeacher
from .targets.manifest import PLAN, SEAL, StoreIdentity, alone, read_json
from .targets.store import Store
from .targets.where import one_store
from .trained import TRAINING_VERSION, Trained, begun, named, normalisation, teacher_shape, train_stage

# Bumped by hand when the meaning of the soft targets changes.
TARGETS_VERSION = 1


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
    """The soft targets of every view of every example; None where the teacher is asked live.

    Several processes may call this at once: they share the work.
    """
    wanted = job.recipe.targets
    if job.live or not job.asks_teacher:
        return None
    if wanted.store is not None:
        return given_store(job).to(job.accelerator.device)
    known = store_identity(job, teacher)
    here = begun(job, targets_stage(job, teacher))
    path = here.folder / "store"
    before = 0.0
    with alone(here.folder):
        if here.finished:
            before = here.facts()["seconds"]
            if not lacks_a_shard(path):
                return Store.open(path, expect=known).to(job.accelerator.device)
            here.reopen()  # a damaged shard was deleted, as the sentence about it advises: only that one is asked again
        here.prepare()
    pool, ask = job.task.pool, asking(job, teacher)
    began = time.monotonic()
    donor = donor_of(here, known, pool.ids)
    if donor is not None and not (path / SEAL).exists():
        ask, origin = start_from(donor, path, wanted.views, ask, pool.ids)
        known = StoreIdentity(**{**known, **origin})
        before = max(before, donor.seconds)
    with progress.bar(wanted.views * len(pool), "soft targets") as advance, torch.no_grad():
        codec = _codec(job, path, ask)
        store = cast(path, known, pool.ids, wanted.views, ask, codec=codec, progress=advance)
    seconds = time.monotonic() - began
    with alone(here.folder):
        if here.finished:  # by another process, which did its part
            before = here.facts()["seconds"]
        here.finish({"seconds": before + seconds, "targets": wanted.views * len(pool)}, ["store/seal.json"])
    return store.to(job.accelerator.device)


def asking(job: Job, teacher: Trained) -> Ask:
    """Asks the teacher about examples of the pool, by position, at a view."""
    pool, task, views = job.task.pool, job.task, job.recipe.views
    teacher.model.to(job.accelerator.device)
    live = LiveTeacher(teacher.model, task)

    def ask(index_B: torch.Tensor, view: int) -> torch.Tensor:
        index_B = index_B.to(pool.ids.device)
        batch = task.batch(pool, index_B, torch.full_like(index_B, view), views)
        return task.answer(live.model, batch).float()

    return ask


def given_store(job: Job) -> Store:
    """The store that the recipe names, held to what can be known of it: classes, views and examples.

    Raises :class:`limbeck.errors.BadInput` where one of them does not fit, saying what differs.
    """
    recipe, pool = job.recipe, job.task.pool
    assert recipe.targets.store is not None
    path = one_store(Path(recipe.targets.store))
    expect: dict[str, Any] = {"classes": len(job.splits.classes), "views": recipe.views.model_dump(mode="json")}
    if recipe.views != Views():
        expect["view_seed"] = recipe.seed
    store = Store.open(path, expect=expect)
    store.require(pool.ids)
    if why := misfit(store.codec, job.objective(), average=recipe.targets.average):
        raise BadInput(f"targets.store: the codec of {path} does not fit. {why}")
    if (recipe.views.mixup or recipe.views.cutmix) and len(store) != len(pool):
        raise BadInput(
            f"targets.store: the store {path} was cast over {len(store)} examples and the data has {len(pool)}: under mixup "
            "and CutMix an example's partner depends on all of them, so the two must be the same."
        )
    return store


def _codec(job: Job, path: Path, ask: Ask) -> Codec:
    """The codec that is asked for; where the teacher's answers are to decide, the one they once decided for."""
    wanted = job.codecs
    if wanted.mean_kl is None:
        return wanted.codecs[0]
    if (path / PLAN).exists():
        there = read_json(path / PLAN)["codec"]
        return codec_from(there["name"], there["settings"])
    ids_N, index_N = job.task.pool.ids.cpu().sort()
    logits_NC = ask(index_N[:ERROR_SAMPLE], 0).cpu()
    if bool((logits_NC.isnan() | (logits_NC == torch.inf)).any()):
        return wanted.codecs[-1]  # casting says what is wrong with such answers
    rows = Rows(ids_N[:ERROR_SAMPLE], 0, torch.zeros(len(logits_NC), dtype=torch.int64))
    return choose(wanted.codecs, wanted.mean_kl, logits_NC, rows)[0]


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
        "codec": job.codecs.ingredient,
    }
    return stage(job.out, "targets", ingredients)
