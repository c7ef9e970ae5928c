"""The story of a run: teacher, soft targets, students, evidence, export, report.

Each step is a stage (:mod:`limbeck.stages`) named by the fingerprint of what goes into it: finished ones are skipped,
unfinished ones resume. The test split is opened once, after the last student is trained.
"""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import conclusion, progress, stages
from .data.load import load
from .errors import BadInput, Interrupted, did_you_mean
from .files import write_text
from .job import Job, coarse, job_from_recipe, use_threads
from .models.identity import Identity, identity
from .models.weights import load_weights, save_weights
from .objectives.modules import CrossEntropy, Objective
from .recipe import Recipe, Train, Views
from .recipe_file import resolved_yaml
from .stages import Stage, stage
from .targets.cast import cast
from .targets.live import LiveTeacher
from .targets.store import Store
from .targets.stored import StoredTeacher
from .tasks.image import ViewOf, every_epoch_anew
from .training.history import read_history, write_history
from .training.loop import Training, fit

ARMS = ("student", "baseline", "smoothed")
STAGES = ("teacher", "targets", *ARMS, "evaluate", "export", "report")

# Bumped by hand when the meaning of a stage changes, so that results of an older version are not taken for new ones.
TRAINING_VERSION = 1
TARGETS_VERSION = 1


@dataclass(frozen=True)
class Trained:
    """A model at the end of its stage."""

    model: nn.Module
    seed: int
    seconds: float  # of training; 0 for a model that came ready-made
    fingerprint: str
    identity: Identity
    history: list[dict[str, float]]


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
    use_threads(threads)
    splits = load(recipe.data, progress.bar)
    folder = out or default_folder(recipe)
    job = job_from_recipe(recipe, splits, out=folder, trust_code=trust_code, device=device, force=force)
    if jobs == 1:
        return distil(job)
    share = max(1, (threads or torch.get_num_threads()) // jobs)
    asked = Asked(recipe, folder, trust_code, force, device, share)
    in_processes = partial(side_by_side, asked, jobs, len(members(job)))
    # what was to be forced is made anew there, and must not be a second time here
    return distil(dataclasses.replace(job, force=tuple(set(force) - set(ARMS))), in_processes)


@dataclass(frozen=True)
class Asked:
    """A run as it was asked for, to be handed to another process."""

    recipe: Recipe
    out: Path
    trust_code: bool
    force: tuple[str, ...]
    device: str
    threads: int


def side_by_side(asked: Asked, jobs: int, total: int) -> None:
    """Finishes the students' stages in ``jobs`` processes. What a process could not finish is left to the caller."""
    context = torch.multiprocessing.get_context("spawn")
    done = context.Queue()
    workers = [context.Process(target=_share_of_students, args=(asked, k, jobs, done)) for k in range(jobs)]
    for worker in workers:
        worker.start()
    try:
        with progress.bar(total, f"students and baselines, {jobs} at a time") as advance:
            while any(worker.is_alive() for worker in workers):
                try:
                    done.get(timeout=0.5)
                    advance()
                except queue.Empty:
                    continue
    finally:
        for worker in workers:
            worker.join()


def _share_of_students(asked: Asked, number: int, jobs: int, done: Any) -> None:
    """One process's part of :func:`side_by_side`: every ``jobs``-th training run, starting with ``number``."""
    use_threads(asked.threads)
    job = job_from_recipe(
        asked.recipe,
        load(asked.recipe.data),
        out=asked.out,
        trust_code=asked.trust_code,
        device=asked.device,
        force=tuple(set(asked.force) & set(ARMS)),
    )
    try:
        teacher = the_teacher(job)
        arms = the_arms(job, teacher, the_targets(job, teacher))
        for name, seed in members(job)[number::jobs]:
            train_member(job, arms[name], seed)
            done.put((name, seed))
    except (Interrupted, KeyboardInterrupt):
        return


def default_folder(recipe: Recipe) -> Path:
    """``runs/<name>``."""
    return Path("runs") / (recipe.name or "run")


def distil(job: Job, ahead: Callable[[], None] | None = None) -> dict[str, Any]:
    """Teacher, targets, students, and what is to be concluded from them.

    ``ahead`` is called once the targets are there; it may finish students' stages in other processes.
    """
    for note in job.splits.notes:
        progress.note(note)
    with stages.claimed(job.out):
        write_text(job.out / "recipe.yaml", resolved_yaml(job.recipe))
        try:
            teacher = the_teacher(job)
            store = the_targets(job, teacher)
            if ahead is not None:
                ahead()
            arms = the_students(job, teacher, store)
        except KeyboardInterrupt:
            raise Interrupted("stopped; run the same command to go on from there.") from None
        return conclusion.conclude(job, teacher, store, arms)


def the_teacher(job: Job) -> Trained:
    """The teacher: trained here, or as it came."""
    section = job.recipe.teacher
    if section.train is None:
        known = identity(job.teacher, *_teacher_shape(job))
        return Trained(job.teacher, job.recipe.seed, 0.0, "as it came", known, [])
    ingredients = {
        "version": TRAINING_VERSION,
        "model": _named(section.model, section.knobs),
        "initial": job.code["teacher"],
        "train": section.train.model_dump(mode="json"),
        "views": (section.views or job.recipe.views).model_dump(mode="json"),
        "seed": job.recipe.seed,
        "data": job.splits.fingerprint,
        "normalisation": _normalisation(job, as_teacher=True),
    }
    return _train(
        job,
        stage(job.out, "teacher", ingredients),
        title="teacher",
        build=lambda: job.teacher,
        objective=CrossEntropy(),
        plan=section.train,
        views=section.views or job.recipe.views,
        seed=job.recipe.seed,
        as_teacher=True,
    )


def the_targets(job: Job, teacher: Trained) -> Store | None:
    """The soft targets of every view of every example; None where the teacher is asked live."""
    wanted = job.recipe.targets
    if wanted.live or not job.objective().needs.target:
        return None
    known = store_identity(job, teacher)
    ingredients = {
        "version": TARGETS_VERSION,
        **known,
        "teacher": coarse(teacher.identity),
        "count": wanted.views,
        "codec": wanted.codec,
    }
    here = _begun(job, stage(job.out, "targets", ingredients))
    path = here.folder / "store"
    if here.finished:
        here.facts()
        return Store.open(path, expect=known).to(job.accelerator.device)
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
    here.finish({"seconds": time.monotonic() - began, "targets": wanted.views * len(pool)}, ["store/seal.json"])
    return store.to(job.accelerator.device)


def the_students(job: Job, teacher: Trained, store: Store | None) -> dict[str, list[Trained]]:
    """For every seed: the student, and the same student without the teacher, once with plain labels, once smoothed."""
    arms = the_arms(job, teacher, store)
    trained: dict[str, list[Trained]] = {name: [] for name in arms}
    for name, seed in members(job):
        trained[name].append(train_member(job, arms[name], seed))
    return trained


@dataclass(frozen=True)
class Arm:
    """One side of the comparison: what the student learns from."""

    name: str
    ingredients: dict[str, Any]  # what sets its stage apart from the other arms'
    objective: Callable[[], Objective]
    teacher: LiveTeacher | StoredTeacher | None = None

    @property
    def view_of(self) -> ViewOf:
        """Which view an epoch shows: one the teacher has answered, or, without a teacher, a fresh one."""
        return every_epoch_anew if self.teacher is None else self.teacher.view_of


def members(job: Job) -> list[tuple[str, int]]:
    """(arm, seed) of every training run, seed by seed, so that a run cut short leaves whole comparisons."""
    names = ["student", "baseline"] + (["smoothed"] if job.recipe.baseline.label_smoothing else [])
    return [(name, seed) for seed in job.seeds for name in names]


def the_arms(job: Job, teacher: Trained, store: Store | None) -> dict[str, Arm]:
    """The student's arm, and those of its baselines."""
    wanted, smoothing = job.recipe.targets, job.recipe.baseline.label_smoothing
    taught: dict[str, Any] = {"objective": job.code["objective"]}
    answers: LiveTeacher | StoredTeacher | None = None
    if job.objective().needs.target:
        taught["teacher"] = coarse(teacher.identity)
        if store is None:
            answers = LiveTeacher(teacher.model.to(job.accelerator.device), job.task)
            taught["live"] = True
        else:
            answers = StoredTeacher(store, average=wanted.average)
            store.require(job.task.pool.ids)
            taught |= {"views_stored": wanted.views, "codec": wanted.codec, "average": wanted.average}
    return {
        "student": Arm("student", taught, job.objective, answers),
        "baseline": Arm("baseline", {"objective": "cross_entropy"}, CrossEntropy),
        "smoothed": Arm(
            "smoothed",
            {"objective": f"cross_entropy, label smoothing {smoothing}"},
            partial(CrossEntropy, label_smoothing=smoothing),
        ),
    }


def train_member(job: Job, arm: Arm, seed: int) -> Trained:
    """One student of one seed."""
    recipe = job.recipe
    ingredients = {
        "version": TRAINING_VERSION,
        "model": _named(recipe.student.model, recipe.student.knobs),
        "initial": job.code["student"],
        "train": recipe.train.model_dump(mode="json"),
        "views": recipe.views.model_dump(mode="json"),
        "view_seed": recipe.seed,
        "seed": seed,
        "data": job.splits.fingerprint,
        "normalisation": _normalisation(job, as_teacher=False),
        **arm.ingredients,
    }
    return _train(
        job,
        stage(job.out, arm.name, ingredients),
        title=arm.name if recipe.seeds == 1 else f"{arm.name} {seed - recipe.seed + 1}/{recipe.seeds}",
        build=partial(job.student, seed),
        objective=arm.objective(),
        plan=recipe.train,
        views=recipe.views,
        seed=seed,
        teacher=arm.teacher,
        view_of=arm.view_of,
    )


def _train(
    job: Job,
    here: Stage,
    *,
    title: str,
    build: Callable[[], nn.Module],
    objective: Objective,
    plan: Train,
    views: Views,
    seed: int,
    teacher: LiveTeacher | StoredTeacher | None = None,
    view_of: ViewOf = every_epoch_anew,
    as_teacher: bool = False,
) -> Trained:
    """One training stage: skipped where finished, resumed where begun."""
    here = _begun(job, here)
    model, channels_size = build(), _teacher_shape(job) if as_teacher else _student_shape(job)
    task = job.task.seen_by_teacher() if as_teacher else job.task
    if here.finished:
        facts = here.facts()
        load_weights(model, here.folder / "model.safetensors", title)
        model.eval()
        history = read_history(here.folder)
        return Trained(model, seed, facts["seconds"], here.fingerprint, facts["identity"], history)
    here.prepare()
    # only a teacher has something to say of the unlabelled examples of a transfer set
    examples = task.train if teacher is None else task.pool
    source = task.source(examples, views=views, seed=seed, batch_size=plan.batch_size, view_of=view_of)
    history = fit(Training(title, model, task, source, objective, teacher, plan, seed, here.folder), job.accelerator)
    known = identity(model, *channels_size)
    save_weights(model, here.folder / "model.safetensors")
    write_history(here.folder, history)
    facts = {"seconds": history[-1]["seconds"], "identity": known, "seed": seed}
    here.finish(facts, ["model.safetensors", "history.json"])
    (here.folder / "checkpoint.pt").unlink(missing_ok=True)
    return Trained(model, seed, facts["seconds"], here.fingerprint, known, history)


def store_identity(job: Job, teacher: Trained) -> dict[str, Any]:
    """What a store of soft targets must agree with to be used in this job."""
    return {
        "classes": len(job.splits.classes),
        "data": job.splits.fingerprint,
        "teacher": teacher.identity,
        "preprocess": _normalisation(job, as_teacher=True),
        "precision": "float32",
        "views": job.recipe.views.model_dump(mode="json"),
        "view_seed": job.recipe.seed,
    }


def _begun(job: Job, here: Stage) -> Stage:
    """The stage, set aside first where ``--force`` names it."""
    if here.name in job.force:
        stages.redo(job.out, here)
    return here


def _named(model: str, knobs: dict[str, Any]) -> dict[str, Any]:
    return {"name": model, "knobs": knobs}


def _normalisation(job: Job, *, as_teacher: bool) -> dict[str, Any]:
    other = job.task.teacher_normalisation if as_teacher else None
    return dataclasses.asdict(other or job.task.normalisation)


def _student_shape(job: Job) -> tuple[int, int]:
    _, channels, size, _ = job.splits.train.images.shape
    return channels, size


def _teacher_shape(job: Job) -> tuple[int, int]:
    channels, size = _student_shape(job)
    other = job.task.teacher_normalisation
    return channels, size if other is None or other.size is None else other.size
