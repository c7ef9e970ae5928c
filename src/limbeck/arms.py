"""The arms of the comparison: the student, and the same student without a teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .job import Job, coarse
from .objectives.modules import CrossEntropy, Objective
from .stages import Stage, stage
from .targets.codecs import Codec
from .targets.live import LiveTeacher
from .targets.manifest import contents
from .targets.store import Store
from .targets.stored import StoredTeacher
from .tasks.image import ViewOf, every_epoch_anew
from .trained import TRAINING_VERSION, Trained, named, normalisation, train_stage

ARMS = ("student", "baseline", "smoothed")


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
    if job.asks_teacher:
        taught["teacher"] = coarse(teacher.identity)
        if store is None:
            answers = LiveTeacher(teacher.model.to(job.accelerator.device), job.task)
            taught["live"] = True
            if job.needs.teacher_features:
                taught["features"] = [*job.needs.features], [*job.needs.teacher_features]
        else:
            answers = StoredTeacher(store, average=wanted.average)
            store.require(job.task.pool.ids)
            taught |= {"views_stored": wanted.views, "codec": _named(store.codec), "average": wanted.average}
            if wanted.store is not None:  # whatever it says of its teacher: its contents are what is learnt from
                taught["views_stored"] = store.views
                taught["teacher"] = {"store": contents(store.path)}
    return {
        "student": Arm("student", taught, job.objective, answers),
        "baseline": Arm("baseline", {"objective": "cross_entropy"}, CrossEntropy),
        "smoothed": Arm(
            "smoothed",
            {"objective": f"cross_entropy, label smoothing {smoothing}"},
            partial(CrossEntropy, label_smoothing=smoothing),
        ),
    }


def train_member(job: Job, arm: Arm, seed: int, title: str | None = None) -> Trained:
    """One student of one seed; ``title`` is how a person sees it, the arm's name and number where not given."""
    recipe = job.recipe
    number = "" if recipe.seeds == 1 else f" {seed - recipe.seed + 1}/{recipe.seeds}"
    return train_stage(
        job,
        member_stage(job, arm, seed),
        title=title or f"{arm.name}{number}",
        build=partial(job.student, seed),
        objective=arm.objective(),
        plan=recipe.train,
        views=recipe.views,
        seed=seed,
        teacher=arm.teacher,
        view_of=arm.view_of,
    )


def member_stage(job: Job, arm: Arm, seed: int) -> Stage:
    """The stage of one student of one seed."""
    recipe = job.recipe
    ingredients = {
        "version": TRAINING_VERSION,
        "model": named(recipe.student.model, recipe.student.knobs),
        "initial": job.code["student"],
        "train": recipe.train.model_dump(mode="json"),
        "views": recipe.views.model_dump(mode="json"),
        "view_seed": recipe.seed,
        "seed": seed,
        "data": job.splits.fingerprint,
        "normalisation": normalisation(job),
        **arm.ingredients,
    }
    return stage(job.out, arm.name, ingredients)


def _named(codec: Codec) -> Any:
    """What the fingerprint of a student holds of how its teacher's answers are kept."""
    return {"name": codec.name, "settings": dict(codec.settings)} if codec.settings else codec.name
