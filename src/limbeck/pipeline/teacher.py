"""The teacher trained, or as it came; is it any good."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from .. import progress
from ..evaluation.doubts import confused, no_better, taken_for
from ..evaluation.keep import Kept, keep
from ..evaluation.kinds import KINDS
from ..files import fingerprint
from ..interfaces import DenseLogits, Values
from ..interfaces.modality import Member
from ..modalities import outline_of
from ..models.identity import coarse, identity
from ..targets.hearing import ragged
from ..targets.store.as_logits import distribution, gathered
from ..targets.store.store import Store
from ..training.history import field, kept
from .job import Job
from .objective import supervised
from .stages import Stage, stage
from .targets import given_store
from .training_stage import Trained, named, train_stage
from .versions import TRAINING_VERSION

# Examples that a teacher which came ready-made is measured on, before anything is learnt from it.
DOUBTED = 512
DOUBTED_ONCE = 32  # of one that takes a second over an example, as a recogniser does: whenever a run goes on they are asked about again


def the_teacher(job: Job) -> Trained:
    """The teacher: trained here, or as it came; for an ensemble, what all of them say together."""
    members = [_one_teacher(job, member, title) for member, title in zip(job.teachers, titles(job), strict=True)]
    if len(members) == 1:
        return members[0]
    ensemble: Any = job.teacher
    known = identity(job.teacher, job.task.probe(job.task.teacher_sees))
    named_by = fingerprint([member.fingerprint for member in members] + [coarse(known)])
    seconds = sum(member.seconds for member in members)
    # each as the ensemble asks it, about what the ensemble takes
    asked = [replace(one, model=inner) for one, inner in zip(members, ensemble.members, strict=True)]
    return Trained(job.teacher, job.recipe.seed, seconds, named_by, known, [], "ensemble", tuple(asked))


def beware(job: Job, teacher: Trained) -> tuple[str, ...]:
    """Says what is wrong with whom the students are to learn from, before anything is learnt; the sentences."""
    if not job.asks_teacher:
        return ()
    given = job.recipe.targets.store is not None
    said = doubts_of_given(job, given_store(job)) if given else doubts(job, teacher)
    said = [f"Beware: {one}" for one in said]
    for one in said:
        progress.note(one)
    return tuple(said)


def doubts(job: Job, teacher: Trained) -> list[str]:
    """What is wrong with a teacher by what it says of the validation split, in sentences; empty where nothing is.

    One that was trained here was measured then; any other is asked about a part of the split, and its first figure is said.
    """
    validation, plans = job.splits.validation, [one.section.train for one in job.teachers]
    by = KINDS[job.splits.answers.kind]
    if teacher.history and plans[0] is not None:
        if outline_of(job.recipe.task).in_use is not None:  # which alone tells how good it is
            return []
        reached = kept(teacher.history, plans[0], by.FIGURES)[field(by.FIGURES[0])]
        said = no_better(by.FIGURES[0], reached, by.commonest(validation.labels.cpu()), "validation", len(validation))
        return [f"{one}: train it longer, or look whether its labels are the data's." for one in said]
    few = DOUBTED_ONCE if job.task.answers_for_all_views(teacher.model) else DOUBTED
    validation = validation.take(validation.ids.argsort()[:few])
    device = job.accelerator.device
    parts = job.task.answers_to(teacher.model.to(device), validation.to(device), as_teacher=True)
    answers = keep(by, parts, validation.labels.cpu())
    progress.note(f"{_reached(by, answers)} {len(validation)} validation examples.")
    first = f"Look first {outline_of(job.recipe.task).look_first}."
    return _misgivings(job, answers, validation.labels.cpu(), "validation", first)


def doubts_of_given(job: Job, store: Store) -> list[str]:
    """What is wrong with soft targets that were given, by the labels of some training examples; as :func:`doubts`."""
    train = job.splits.train.take(job.splits.train.ids.argsort()[:DOUBTED])
    by, labels, said = KINDS[job.splits.answers.kind], train.labels.cpu(), gathered(store, train.ids.cpu(), 0)
    if isinstance(said, Values):
        answer = said.values.float().cpu()
    elif job.splits.answers.kind == "classes":
        answer = distribution(said, store.classes)[:, :-1].log().cpu()
    elif isinstance(said, DenseLogits):
        answer = said.logits.float().cpu()
        if store.ragged:
            answer = ragged(said, store.lengths(train.ids.cpu(), torch.zeros_like(train.ids.cpu())), store.classes)
    else:  # of several labels, other kinds of answer keep only a part
        return []
    first = "Look first whether these soft targets are of the data's classes, in their order."
    return [
        f"targets.store: {one}" for one in _misgivings(job, by.kept(answer, labels), labels, "training examples", first)
    ]


def _misgivings(job: Job, answers: Kept, labels: Tensor, asked: str, first: str) -> list[str]:
    """Sentences on answers that cannot be those of a teacher of such data."""
    kind = job.splits.answers
    by = KINDS[kind.kind]
    reached = by.figures(answers)[by.FIGURES[0].name]
    says_little = outline_of(job.recipe.task).in_use is not None
    chance = [] if says_little else no_better(by.FIGURES[0], reached, by.commonest(labels), asked, len(labels))
    mixed = confused(taken_for(answers["answer"], labels), kind.names) if kind.kind == "classes" else None
    return [f"{one}. {first}" for one in chance] + ([] if mixed is None else [mixed])


def _reached(by: ModuleType, answers: Kept) -> str:
    figure = by.FIGURES[0]
    reached = by.figures(answers)[figure.name]
    if figure.name == "accuracy":
        return f"The teacher is right on {100 * reached:.1f} % of"
    return f"The teacher's {figure.title} is {figure.number(reached)} on"


def titles(job: Job) -> list[str]:
    """What a person sees above each teacher's training."""
    if len(job.teachers) == 1:
        return ["teacher"]
    return [f"teacher {k + 1}/{len(job.teachers)}, {one.section.title}" for k, one in enumerate(job.teachers)]


def _one_teacher(job: Job, member: Member, title: str) -> Trained:
    section = member.section
    if section.train is None:
        # laid out as training leaves it: convolutions are quicker so
        member.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        known = identity(member.model, job.task.probe(member.sees))
        return Trained(member.model, member.seed, 0.0, "as it came", known, [], section.title)
    trained = train_stage(
        job,
        member_stage(job, member),
        title=title,
        build=lambda: member.model,
        objective=supervised(job.splits.answers),
        plan=section.train,
        views=section.views or job.recipe.views,
        seed=member.seed,
        sees=member.sees,
    )
    return replace(trained, title=section.title)


def teacher_stages(job: Job) -> list[Stage]:
    """The stages of the teachers that are trained here."""
    return [member_stage(job, member) for member in job.teachers if member.section.train is not None]


def member_stage(job: Job, member: Member) -> Stage:
    """The stage of one teacher that is trained here."""
    section = member.section
    assert section.train is not None
    ingredients = {
        "version": TRAINING_VERSION,
        "model": named(section.model, section.knobs),
        "initial": job.code["teachers"][job.teachers.index(member)],
        "train": section.train.model_dump(mode="json"),
        "views": (section.views or job.recipe.views).model_dump(mode="json"),
        "seed": member.seed,
        "data": job.splits.labelled,
        "normalisation": job.task.input_facts(member.sees),
    }
    return stage(job.out, "teacher", ingredients)


def about_teacher(job: Job) -> str:
    """What is done for the teacher, in words."""
    title = job.recipe.teacher.title
    plans = [one.section.train for one in job.teachers if one.section.train is not None]
    if not plans:
        return f"{title}, as it comes"
    epochs = " and ".join(dict.fromkeys(str(plan.epochs) for plan in plans))
    return f"{title}, {epochs} epochs of {len(job.splits.train):,} examples"
