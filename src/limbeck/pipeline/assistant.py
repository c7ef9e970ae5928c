"""The assistant between teacher and students: trained as a student is, asked as a teacher is (Mirzadeh et al. 2020, section 3)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..targets.store.store import Store
from .job import Job, taught_by
from .stages import ASSISTANT, Stage
from .students import Arm, member_stage, the_arms, train_member
from .targets import the_targets
from .training_stage import Trained


@dataclass(frozen=True)
class Assistant:
    """An assistant that has learnt, and what it teaches with.

    Attributes:
        trained: itself.
        job: of the students, which learn from it.
        store: what it said; None where it is asked at every step.
    """

    trained: Trained
    job: Job
    store: Store | None


def learns_from_teacher(job: Job) -> Job:
    """The job of whoever learns from the teacher itself: the assistant where there is one, else the students."""
    return job.assistant or job


def the_assistant(job: Job, teacher: Trained, store: Store | None) -> Assistant | None:
    """The recipe's assistant, trained and asked; None where it has none. ``store``: what the teacher said."""
    if job.assistant is None:
        return None
    trained = train_assistant(job, teacher, store)
    students = taught_by(job, trained.model)
    return Assistant(trained, students, the_targets(students, trained))


def train_assistant(job: Job, teacher: Trained, store: Store | None) -> Trained:
    """The assistant, trained once, from the recipe's first seed."""
    assert job.assistant is not None
    return train_member(job.assistant, _arm(job, teacher, store), job.recipe.seed)


def assistant_stage(job: Job, teacher: Trained, store: Store | None) -> Stage:
    """The stage of its training."""
    assert job.assistant is not None
    return member_stage(job.assistant, _arm(job, teacher, store), job.recipe.seed)


def arms_of(job: Job, teacher: Trained, store: Store | None, assistant: Assistant | None) -> tuple[Job, dict[str, Arm]]:
    """The job of the students and their arms, whoever they learn from; their baselines are the same either way."""
    if assistant is None:
        return job, the_arms(job, teacher, store)
    return assistant.job, the_arms(assistant.job, assistant.trained, assistant.store, made_of=teacher)


def tested_of(arms: Mapping[str, list[Trained]], assistant: Assistant | None) -> dict[str, list[Trained]]:
    """All that were trained to be tested beside the teacher."""
    return {**arms, **({} if assistant is None else {ASSISTANT: [assistant.trained]})}


def _arm(job: Job, teacher: Trained, store: Store | None) -> Arm:
    assert job.assistant is not None
    return replace(the_arms(job.assistant, teacher, store)["student"], name=ASSISTANT)
