"""The student, and the same student without a teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from ..data.epochs import ViewOf, every_epoch_anew
from ..models.identity import coarse
from ..objectives.modules import Objective
from ..sections.recipe import Recipe
from ..sections.train import Train
from ..targets.codecs import Codec
from ..targets.live_teacher import LiveTeacher
from ..targets.store.manifest import contents
from ..targets.store.store import Store
from ..targets.stored_teacher import StoredTeacher
from .job import Job
from .objective import class_weights_of, supervised
from .simkd import simkd_in, taught_as_one, with_teachers_classifier
from .sparse import RATE, epochs_more, train_sparse
from .stages import ASSISTANT, Stage, stage
from .training_stage import Trained, named, train_stage
from .trial import two_examples
from .versions import TRAINING_VERSION

TAUGHT = ("student", ASSISTANT)  # who learns from a teacher


@dataclass(frozen=True)
class Arm:
    """One side of the comparison: what the student learns from."""

    name: str
    ingredients: dict[str, Any]  # what sets its stage apart from the other arms'
    objective: Callable[[], Objective]
    build: Callable[[int], nn.Module]  # a fresh student for a seed
    teacher: LiveTeacher | StoredTeacher | None = None

    @property
    def view_of(self) -> ViewOf:
        """Which view an epoch shows: one the teacher has answered, or, without a teacher, a fresh one."""
        return every_epoch_anew if self.teacher is None else self.teacher.view_of


def members(job: Job) -> list[tuple[str, int]]:
    """(arm, seed) of every training run, seed by seed, so that a run cut short leaves whole comparisons."""
    return [(name, seed) for seed in job.seeds for name in arms_in(job.recipe)]


def arms_in(recipe: Recipe) -> list[str]:
    """The names of the student's arm and of its baselines'."""
    return ["student", "baseline"] + (["smoothed"] if recipe.smoothed else [])


def the_arms(job: Job, teacher: Trained, store: Store | None, made_of: Trained | None = None) -> dict[str, Arm]:
    """The student's arm, and those of its baselines.

    ``teacher`` is who answers, and ``made_of`` whose weights a student begins with, where that is another.
    """
    wanted, smoothing = job.recipe.targets, job.recipe.baseline.label_smoothing
    taught: dict[str, Any] = {"objective": job.code["objective"]}
    if simkd_in(job.objective()) is not None:
        taught["deployed"] = "body, projector, teacher's classifier"
    answers: LiveTeacher | StoredTeacher | None = None
    if job.asks_teacher:
        taught["teacher"] = coarse(teacher.identity)
        if store is None:
            answers = LiveTeacher(teacher.model.to(job.accelerator.device), job.task)
            taught["live"] = True
            if job.needs.teacher_features:
                taught["features"] = [*job.needs.features], [*job.needs.teacher_features]
        else:
            first = job.task.answers_for_all_views(teacher.model) and not store.ragged
            answers = StoredTeacher(store, average=wanted.average, first=first)
            store.require(job.task.pool.ids)
            taught |= {"views_stored": wanted.views, "codec": _named(store.codec), "average": wanted.average}
            if first:
                taught |= {"views_stored": 1, "views_learnt": "every epoch anew"}
            if wanted.store is not None:  # whatever it says of its teacher: its contents are what is learnt from
                taught |= {"views_stored": store.views, "teacher": {"store": contents(store.path)}}
    control: dict[str, Any] = {}
    kind = job.splits.answers
    plain = str(supervised(kind).name)
    # a student whose labels are weighted by class is set beside controls whose labels are too
    weights = class_weights_of(job.objective())
    if weights is not None:
        plain += f", class weights {weights}"
    if job.modality.starts_from_teacher(job.recipe):
        taught["start"] = control["start"] = coarse((made_of or teacher).identity)
    return {
        "student": Arm("student", taught, partial(objective_of, job), partial(student_of, job, teacher.model), answers),
        "baseline": Arm(
            "baseline", {"objective": plain, **control}, partial(supervised, kind, 0.0, weights), job.student
        ),
        "smoothed": Arm(
            "smoothed",
            {"objective": f"{plain}, label smoothing {smoothing}", **control},
            partial(supervised, kind, smoothing, weights),
            job.student,
        ),
    }


def student_of(job: Job, teacher: nn.Module, seed: int) -> nn.Module:
    """A fresh student for a seed, with all that its objective deploys with it."""
    student, wanted = job.student(seed), simkd_in(job.objective())
    if wanted is None:
        return student
    return with_teachers_classifier(wanted, student, teacher, two_examples(job.task, job.recipe), seed)


def objective_of(job: Job) -> Objective:
    """A fresh objective for such a student."""
    objective = job.objective()
    return objective if simkd_in(objective) is None else taught_as_one(objective)


def examples_of(job: Job, name: str) -> Any:
    """What an arm learns from: only a teacher has something to say of the unlabelled examples of a transfer set."""
    return job.task.pool if name in TAUGHT and job.asks_teacher else job.task.train


def plan_of(job: Job, name: str) -> Train:
    """How the arm ``name`` is trained. A control learns from the labelled examples alone, and takes as many steps as the student.

    ``baseline.epochs`` says otherwise. What else is counted in epochs changes in proportion.
    """
    plan, wanted = job.recipe.train, job.recipe.baseline.epochs
    if name in TAUGHT or (wanted is None and len(job.task.pool) == len(job.task.train)):
        return plan
    factor = wanted / plan.epochs if wanted is not None else len(job.task.pool) / len(job.task.train)

    def scaled(epochs: int) -> int:
        return max(1, round(factor * epochs))

    if scaled(plan.epochs) == plan.epochs:
        return plan
    changes: dict[str, Any] = {
        "epochs": scaled(plan.epochs),
        "warmup_epochs": min(factor * plan.warmup_epochs, scaled(plan.epochs)),
        "milestones": tuple(dict.fromkeys(scaled(epoch) for epoch in plan.milestones)),
        "patience": None if plan.patience is None else scaled(plan.patience),
    }
    return plan.model_copy(update=changes)


def train_member(job: Job, arm: Arm, seed: int, title: str | None = None, until: int | None = None) -> Trained:
    """One student of one seed; ``title`` is how a person sees it, the arm's name and number where not given.

    ``until``: train to the end of that epoch alone, as :func:`limbeck.pipeline.training_stage.train_stage` does.
    """
    recipe, plan, title = job.recipe, plan_of(job, arm.name), title or titled(job, arm, seed)
    trained = train_stage(
        job,
        _dense_stage(job, arm, seed),
        title=title,
        build=partial(arm.build, seed),
        objective=arm.objective(),
        plan=plan,
        views=recipe.views,
        seed=seed,
        teacher=arm.teacher,
        view_of=arm.view_of,
        until=until,
    )
    if recipe.sparsity is None or until is not None:
        return trained
    return train_sparse(
        job,
        member_stage(job, arm, seed),
        recipe.sparsity,
        trained,
        title=title,
        objective=arm.objective,
        plan=plan,
        teacher=arm.teacher,
        view_of=arm.view_of,
    )


def titled(job: Job, arm: Arm, seed: int) -> str:
    """The arm's name, and which of its seeds, where there are several."""
    recipe = job.recipe
    return arm.name if recipe.seeds == 1 else f"{arm.name} {seed - recipe.seed + 1}/{recipe.seeds}"


def about_student(job: Job, name: str) -> str:
    """What is trained in an arm, in words."""
    count, plan = len(examples_of(job, name)), plan_of(job, name)
    said, wanted = f"{job.recipe.student.model}, {plan.epochs} epochs of {count:,} examples", job.recipe.sparsity
    return said if wanted is None else said + wanted.about(epochs_more(job.recipe, plan))


def member_stage(job: Job, arm: Arm, seed: int) -> Stage:
    """The stage that one student of one seed comes to."""
    dense, wanted = _dense_stage(job, arm, seed), job.recipe.sparsity
    if wanted is None:
        return dense
    return stage(
        job.out, arm.name, dense.ingredients | {"sparsity": wanted.model_dump(mode="json"), "further_rate": RATE}
    )


def _dense_stage(job: Job, arm: Arm, seed: int) -> Stage:
    """The stage of its training; what comes of it may go on with most of its weights at zero."""
    recipe = job.recipe
    ingredients = {
        "version": TRAINING_VERSION,
        "model": named(recipe.student.model, recipe.student.knobs),
        "initial": job.code["student"],
        "train": plan_of(job, arm.name).model_dump(mode="json"),
        "views": recipe.views.model_dump(mode="json"),
        "view_seed": recipe.seed,
        "seed": seed,
        "data": job.splits.labelled if arm.teacher is None else job.splits.fingerprint,
        "normalisation": job.task.input_facts(None),
        **arm.ingredients,
    }
    return stage(job.out, arm.name, ingredients)


def _named(codec: Codec) -> Any:
    """What the fingerprint of a student holds of how its teacher's answers are kept."""
    return {"name": codec.name, "settings": dict(codec.settings)} if codec.settings else codec.name
