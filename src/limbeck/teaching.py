"""The teacher, and what it is asked once: the first two steps of a run."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from . import progress
from .earlier_targets import donor_of, start_from
from .errors import BadInput
from .evaluation.doubts import at_chance, commonest_share, confused, right_of, taken_for
from .evaluation.wording import counted
from .files import fingerprint, write_json
from .interfaces import DenseLogits
from .job import Job, asked_live, coarse, supervised
from .models.identity import identity
from .models.onnx_file import OnnxModel
from .recipe import ImageRecipe, OnnxTeacher, Recipe
from .stages import Stage, stage
from .targets.answers import distribution, gathered
from .targets.asking import ERROR_SAMPLE, Ask
from .targets.cast import cast
from .targets.check import lacks_a_file
from .targets.codecs import Codec, Rows, codec_from
from .targets.codecs.auto import choose
from .targets.codecs.fit import misfit
from .targets.impossible import cannot_learn_from_minus_infinity, first_impossible
from .targets.live import LiveTeacher
from .targets.lock import alone
from .targets.manifest import PLAN, SEAL, StoreIdentity, read_json
from .targets.manner import SAMPLE, Asked, Manner, manner_of
from .targets.store import Store
from .targets.where import one_store
from .teachers import Member, Together
from .trained import TRAINING_VERSION, Trained, begun, named, train_stage
from .training.history import kept

# Bumped by hand when the meaning of the soft targets, or the layout of their files, changes.
TARGETS_VERSION = 3

# Examples that a teacher which came ready-made is measured on, before anything is learnt from it.
DOUBTED = 512


def the_teacher(job: Job) -> Trained:
    """The teacher: trained here, or as it came; for an ensemble, what all of them say together."""
    members = [_one_teacher(job, member, title) for member, title in zip(job.teachers, titles(job), strict=True)]
    if not isinstance(job.teacher, Together):
        return members[0]
    known = identity(job.teacher, job.task.probe(job.task.teacher_normalisation))
    named_by = fingerprint([member.fingerprint for member in members] + [coarse(known)])
    seconds = sum(member.seconds for member in members)
    # each as the ensemble asks it: about images on a 0-1 scale
    asked = [replace(one, model=inner) for one, inner in zip(members, job.teacher.members, strict=True)]
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

    One that was trained here was measured then; any other is asked about a part of the split, and its accuracy is said.
    """
    validation, plans = job.splits.validation, [one.section.train for one in job.teachers]
    if teacher.history and plans[0] is not None:
        right = kept(teacher.history, plans[0])["validation_accuracy"]
        share = commonest_share(validation.labels.cpu())
        if not at_chance(right, share, len(validation)):
            return []
        return [
            f"{_chance(right, share, 'validation', len(validation))}: train it longer, or look whether its labels are the data's."
        ]
    validation = validation.take(validation.ids.argsort()[:DOUBTED])
    device = job.accelerator.device
    logits_NC = job.task.logits(teacher.model.to(device), validation.to(device), as_teacher=True)
    labels = validation.labels.cpu()
    right = right_of(logits_NC, labels).double().mean().item()
    progress.note(f"The teacher is right on {100 * right:.1f} % of {len(labels)} validation examples.")
    first = "Look first whether its labels are the data's, and stand in their order."
    if isinstance(job.recipe, ImageRecipe):
        first = (
            "Look first at teacher.preprocess (mean and std on a scale of 0 to 1, and size), then whether its classes stand in "
            "the order of the data's."
        )
    return _misgivings(job, logits_NC, labels, "validation", first)


def doubts_of_given(job: Job, store: Store) -> list[str]:
    """What is wrong with soft targets that were given, by the labels of some training examples; as :func:`doubts`."""
    train = job.splits.train.take(job.splits.train.ids.argsort()[:DOUBTED])
    labels, answer = train.labels.cpu(), gathered(store, train.ids.cpu(), 0)
    if labels.ndim == 1:
        logits_NC = distribution(answer, store.classes)[:, :-1].log().cpu()
    elif isinstance(answer, DenseLogits):
        logits_NC = answer.logits.float().cpu()
    else:  # of several labels, other kinds of answer keep only a part
        return []
    first = "Look first whether these soft targets are of the data's classes, in their order."
    return [f"targets.store: {one}" for one in _misgivings(job, logits_NC, labels, "training examples", first)]


def _misgivings(job: Job, logits_NC: torch.Tensor, labels: torch.Tensor, asked: str, first: str) -> list[str]:
    """Sentences on answers that cannot be those of a teacher of the data's classes."""
    right, share = right_of(logits_NC, labels).double().mean().item(), commonest_share(labels)
    said = [f"{_chance(right, share, asked, len(labels))}. {first}"] if at_chance(right, share, len(labels)) else []
    mixed = confused(taken_for(logits_NC, labels), job.splits.classes) if labels.ndim == 1 else None
    return said + ([] if mixed is None else [mixed])


def _chance(right: float, share: float, asked: str, count: int) -> str:
    figures = f"({100 * right:.1f} % vs {100 * share:.1f})"
    if right > share:
        return (
            f"the teacher is not shown to be better than always naming the commonest answer {figures} on {count} "
            f"{asked.removesuffix(' examples')} examples, so what students learn from it may mean little"
        )
    return (
        f"the teacher is no better on {asked} than always naming the commonest answer {figures}, so what students learn "
        "from it means little"
    )


def titles(job: Job) -> list[str]:
    """What a person sees above each teacher's training."""
    if len(job.teachers) == 1:
        return ["teacher"]
    return [f"teacher {k + 1}/{len(job.teachers)}, {one.section.title}" for k, one in enumerate(job.teachers)]


def _one_teacher(job: Job, member: Member, title: str) -> Trained:
    section = member.section
    if isinstance(section, OnnxTeacher) or section.train is None:
        # laid out as training leaves it: convolutions are quicker so
        member.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        known = identity(member.model, job.task.probe(member.sees))
        return Trained(member.model, member.seed, 0.0, "as it came", known, [], section.title)
    trained = train_stage(
        job,
        member_stage(job, member),
        title=title,
        build=lambda: member.model,
        objective=supervised(job.splits),
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
    assert not isinstance(section, OnnxTeacher)
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


def the_targets(job: Job, teacher: Trained) -> Store | None:
    """The soft targets of every view of every example; None where the teacher is asked live.

    Several processes may call this at once: they share the work.
    """
    wanted = job.recipe.targets
    if job.live or not job.asks_teacher:
        return None
    if wanted.store is not None:
        return given_store(job).to(job.accelerator.device)
    here = begun(job, targets_stage(job, teacher))
    path = here.folder / "store"
    before = 0.0
    with alone(here.folder):
        if here.finished:
            facts = here.facts()
            before = facts["seconds"]
            taken = facts.get("asked", {}).get("precision", "float32")
            known = store_identity(job, teacher, taken if wanted.precision == "auto" else wanted.precision)
            if not lacks_a_file(path):
                return Store.open(path, expect=known).to(job.accelerator.device)
            here.reopen()  # a damaged shard was deleted, as the sentence about it advises: only that one is asked again
        here.prepare()
        began = time.monotonic()
        manner = manner_in(job, teacher, here)
    pool = job.task.pool
    known, ask = store_identity(job, teacher, manner.precision), asker(job, teacher, manner)
    donor = donor_of(here, known, pool.ids)
    if donor is not None and not (path / SEAL).exists():
        ask, origin = start_from(donor, path, wanted.views, ask, pool.ids)
        known = StoreIdentity(**{**known, **origin})
        before = max(before, donor.seconds)
    with progress.bar(wanted.views * len(pool), "soft targets") as advance:
        store = cast(
            path,
            known,
            pool.ids,
            wanted.views,
            ask,
            codec=_codec(job, path, ask),
            batch_size=max(job.task.views_at_once, manner.batch_size),
            measured={} if manner.error is None else {"precision_error": dict(manner.error)},
            progress=advance,
        )
    seconds = time.monotonic() - began
    with alone(here.folder):
        if here.finished:  # by another process, which did its part
            before = here.facts()["seconds"]
        facts = {"seconds": before + seconds, "targets": wanted.views * len(pool), "asked": manner.facts()}
        here.finish(facts, ["store/seal.json"])
    return store.to(job.accelerator.device)


def asker(job: Job, teacher: Trained, manner: Manner) -> Ask:
    """What asks the teacher about positions in the pool of examples, at one view: logits (B, C), float32."""
    pool, task, views = job.task.pool, job.task, job.recipe.views
    model = Asked(LiveTeacher(teacher.model.to(job.accelerator.device), task).model, manner)

    def ask_in_order(index_B: torch.Tensor, view: int) -> torch.Tensor:
        batch = task.batch(pool, index_B, torch.full_like(index_B, view), views)
        return task.answer(model, batch)

    def ask(index_B: torch.Tensor, view: int) -> torch.Tensor:
        index_B = index_B.to(pool.ids.device)
        order_B = task.of_like_cost(pool, index_B)
        if order_B is None:
            return ask_in_order(index_B, view)
        answers = [ask_in_order(part, view) for part in index_B[order_B].split(manner.batch_size)]
        return torch.cat(answers)[torch.argsort(order_B)]

    return ask


def manner_in(job: Job, teacher: Trained, here: Stage) -> Manner:
    """How the teacher is asked: as a stage of soft targets was begun, or decided and noted there for whoever goes on."""
    path = here.folder / "asked.json"
    if path.exists():
        with contextlib.suppress(ValueError, TypeError):  # damaged: decided anew, as it was the first time
            return Manner(**json.loads(path.read_text(encoding="utf-8")))
    manner = manner_for(job, teacher, job.recipe.targets.precision)
    write_json(path, manner.facts())
    return manner


def manner_for(job: Job, teacher: Trained, wanted: str) -> Manner:
    """How the teacher is asked in the precision ``wanted``, which may be ``auto``.

    Raises :class:`limbeck.errors.BadInput` where it cannot be asked in that precision.
    """
    task, pool = job.task, job.task.pool
    index_B = pool.ids.argsort()[:SAMPLE]
    batch = task.batch(pool, index_B, torch.zeros_like(index_B), job.recipe.views)
    sample = batch.inputs if batch.teacher_inputs is None else batch.teacher_inputs
    model = teacher.model.to(job.accelerator.device)
    # an ONNX file has its precision inside, and so has an ensemble with one in it
    fixed = any(isinstance(module, OnnxModel) for module in model.modules())
    if fixed and wanted not in ("float32", "auto"):
        raise BadInput(f"targets.precision: {wanted}, and an ONNX file has its precision inside; leave it out.")
    return manner_of(model, sample, precision="float32" if fixed else wanted, compile=job.recipe.targets.compile)


def about_teacher(job: Job) -> str:
    """What is done for the teacher, in words."""
    title = job.recipe.teacher.title
    plans = [one.section.train for one in job.teachers if one.section.train is not None]
    if not plans:
        return f"{title}, as it comes"
    epochs = " and ".join(dict.fromkeys(str(plan.epochs) for plan in plans))
    return f"{title}, {epochs} epochs of {len(job.splits.train):,} examples"


def about_targets(job: Job) -> str:
    """What is asked of the teacher, or was given in its place, in words."""
    if job.recipe.targets.store is not None:
        views = given_store(job).views
        return f"{counted(views, 'view')} of {len(job.task.pool):,} examples, as given"
    return f"{counted(job.recipe.targets.views, 'view')} of {len(job.task.pool):,} examples"


def given_store(job: Job) -> Store:
    """The store that the recipe names, held to what can be known of it: classes, views and examples.

    Raises :class:`limbeck.errors.BadInput` where one of them does not fit, saying what differs.
    """
    recipe, pool = job.recipe, job.task.pool
    assert recipe.targets.store is not None
    path = one_store(Path(recipe.targets.store))
    expect: dict[str, Any] = {"classes": len(job.splits.classes), "views": recipe.views.model_dump(mode="json")}
    if recipe.views != type(recipe.views)():
        expect["view_seed"] = recipe.seed
    store = Store.open(path, expect=expect)
    if why := misfit(store.codec, job.objective(), average=recipe.targets.average):
        raise BadInput(f"targets.store: {path}: {why}")
    unable = cannot_learn_from_minus_infinity(job.objective())
    if unable is not None and (found := first_impossible(store)) is not None:
        raise BadInput(
            f"targets.store: {path}: example id {found[0]} has -inf for class {found[1]} (a class that cannot be), and {unable} "
            "cannot learn from that: take an objective on probabilities such as kd, or give large negative numbers instead."
        )
    store.require(pool.ids)
    if mixes(recipe) and len(store) != len(pool):
        raise BadInput(
            f"targets.store: the store {path} was cast over {len(store)} examples and the data has {len(pool)}: under mixup "
            "and CutMix an example's partner depends on all of them, so the two must be the same."
        )
    return store


def mixes(recipe: Recipe) -> bool:
    """Whether an example's views have a partner in them, which depends on all examples."""
    return any(getattr(recipe.views, name, 0) for name in ("mixup", "cutmix"))


def _codec(job: Job, path: Path, ask: Ask) -> Codec:
    """The codec that is asked for; where the teacher's answers are to decide, the one they once decided for."""
    wanted = job.codecs
    if wanted.mean_kl is None:
        return wanted.codecs[0]
    if (path / PLAN).exists():
        there = read_json(path / PLAN)["codec"]
        return codec_from(there["name"], there["settings"])
    ids_N, index_N = job.task.pool.ids.cpu().sort()
    logits_NC = ask(index_N[:ERROR_SAMPLE], 0)
    assert isinstance(logits_NC, torch.Tensor)
    logits_NC = logits_NC.cpu()
    if bool((logits_NC.isnan() | (logits_NC == torch.inf)).any()):
        return wanted.codecs[-1]  # casting says what is wrong with such answers
    rows = Rows(ids_N[:ERROR_SAMPLE], 0, torch.zeros(len(logits_NC), dtype=torch.int64))
    return choose(wanted.codecs, wanted.mean_kl, logits_NC, rows)[0]


def why_live(job: Job) -> str | None:
    """One line for a person who did not ask for a live teacher and gets one."""
    if job.recipe.targets.live or not job.needs.teacher_features:
        return None
    return f"{asked_live(job.objective())}, and no soft targets are kept."


def store_identity(job: Job, teacher: Trained, precision: str) -> StoreIdentity:
    """What a store of soft targets must agree with to be used in this job."""
    return {
        "classes": len(job.splits.classes),
        "data": job.splits.fingerprint,
        "teacher": teacher.identity,
        "preprocess": job.task.input_facts(job.task.teacher_normalisation),
        "precision": precision,
        "views": job.recipe.views.model_dump(mode="json"),
        "view_seed": job.recipe.seed,
    }


def targets_stage(job: Job, teacher: Trained) -> Stage:
    """The stage of the soft targets; its precision is the one asked for, which may be ``auto``."""
    wanted = job.recipe.targets
    ingredients = {
        "version": TARGETS_VERSION,
        **store_identity(job, teacher, wanted.precision),
        "teacher": coarse(teacher.identity),
        "count": wanted.views,
        "codec": job.codecs.ingredient,
    }
    return stage(job.out, "targets", ingredients)
