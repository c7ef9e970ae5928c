"""The teacher asked once about every example; what that cost, and over how many students it was spread."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import progress
from ..errors import BadInput
from ..evaluation.wording import counted
from ..files import write_json
from ..interfaces import Batch, Hypotheses, RaggedLogits, Task, Values
from ..interfaces.task import Ask
from ..models.ensemble import Together, with_spread
from ..models.identity import Identity, coarse, same_probe
from ..models.onnx_file import OnnxFile
from ..targets.cast import BLOCK_SIZE, cast
from ..targets.codecs import Codec, HypothesesCodec, Rows, answer_width, codec_from
from ..targets.codecs.cheapest import choose
from ..targets.codecs.fits_objective import misfit, no_deviation
from ..targets.find_stores import one_store
from ..targets.hearing import hypotheses_of
from ..targets.impossible import cannot_learn_from_minus_infinity, first_impossible
from ..targets.inference_settings import SAMPLE, Asked, Manner, manner_of
from ..targets.live_teacher import LiveTeacher
from ..targets.store.check import lacks_a_file
from ..targets.store.lock import alone
from ..targets.store.manifest import PLAN, SEAL, StoreIdentity, contents, read_json
from ..targets.store.store import Store
from ..targets.teacher_pass import ERROR_SAMPLE, flat, rows_of
from .earlier_targets import donor_of, start_from
from .job import Job
from .objective import asked_live
from .stages import Stage, stage
from .training_stage import Trained, begun
from .versions import TARGETS_VERSION

_HEARD = 16  # clips of a shard that a recogniser fills


def targets_section(job: Job, store: Store | None, students: int) -> dict[str, Any] | None:
    """None where nothing is stored. ``students``: how many were trained from the store.

    ``seconds`` is the teacher's whole pass, over all processes that shared it; None where the store came ready-made.
    """
    if store is None:
        return None
    given, manifest = job.recipe.targets.store, store.manifest
    seconds = asked = None
    if given is None:
        facts = Stage("targets", {}, store.path.parent).facts()
        seconds, asked = facts["seconds"], facts.get("asked")
    return {
        "source": "cast" if given is None else "given",
        "store": str(given if given is not None else store.path.relative_to(job.out)),
        "teacher": manifest["teacher"]["weights"],
        "made_from": manifest.get("made_from"),
        "views": store.views,
        "examples": len(store),
        "codec": manifest["codec"]["name"],
        "bytes_per_target": manifest["codec"]["bytes_per_target"],
        "codec_error": manifest["codec"]["error"],
        "bytes": store_bytes(store.path),
        "asked": asked,
        "seconds": seconds,
        "students": students,
        "seconds_per_student": seconds / students if seconds is not None and students else None,
    }


def learnt_from(job: Job, store: Store | None, teacher: Identity) -> bool:
    """Whether the students learnt from this teacher: not where nobody was asked, or a store of another's answers was given."""
    if not job.asks_teacher or store is None or job.recipe.targets.store is None:
        return job.asks_teacher
    said = store.manifest["teacher"]
    return said["weights"] == teacher["weights"] and same_probe(said["probe"], teacher["probe"])


def fingerprint_of(job: Job, store: Store) -> str:
    """The name of the stage that cast the store, or, of one that was given, the digest of its contents."""
    if job.recipe.targets.store is not None:
        return contents(store.path)
    return store.path.parent.name


def store_bytes(path: Path) -> int:
    """What a store takes on disk."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


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
    pool, count = job.task.pool, asked_views(job, teacher.model)[1]
    known, ask = store_identity(job, teacher, manner.precision), asker(job, teacher, manner, job.codecs.codecs[0])
    donor = donor_of(here, known, pool.ids)
    if donor is not None and not (path / SEAL).exists():
        ask, origin = start_from(donor, path, count, ask, pool.ids)
        known = StoreIdentity(**{**known, **origin})
        before = max(before, donor.seconds)
    codec = _codec(job, path, ask)
    with progress.bar(count * len(pool), "soft targets") as advance:
        store = cast(
            path,
            known,
            pool.ids,
            count,
            ask,
            codec=codec,
            ragged=is_ragged(job, codec),
            block_size=_block_size(job, teacher.model, path),
            batch_size=max(job.task.views_at_once, manner.batch_size),
            measured={} if manner.error is None else {"precision_error": dict(manner.error)},
            progress=advance,
        )
    seconds = time.monotonic() - began
    with alone(here.folder):
        if here.finished:  # by another process, which did its part
            before = here.facts()["seconds"]
        facts = {"seconds": before + seconds, "targets": count * len(pool), "asked": manner.facts()}
        here.finish(facts, ["store/seal.json"])
    return store.to(job.accelerator.device)


def asker(job: Job, teacher: Trained, manner: Manner, codec: Codec) -> Ask:
    """What asks the teacher about positions in the pool of examples, at one view: what the codec keeps, (B, C), float32.

    Raises :class:`limbeck.errors.BadInput` where the codec keeps the deviation of several teachers' numbers, and there is one.
    """
    pool, task, views = job.task.pool, job.task, asked_views(job, teacher.model)[0]
    of_members = codec.kind is Values and answer_width(codec, 1) > 1
    if of_members and not isinstance(teacher.model, Together):
        raise BadInput("the store keeps the deviation over an ensemble's members, and this teacher is a single one.")
    asked = LiveTeacher(teacher.model.to(job.accelerator.device), task).model
    model = Asked(with_spread(asked, of_members), manner)

    def ask_in_order(index_B: torch.Tensor, view: int) -> torch.Tensor | RaggedLogits:
        batch = task.batch(pool, index_B, torch.full_like(index_B, view), views)
        if isinstance(codec, HypothesesCodec):
            return codec.flat(heard(model, task, batch, codec), pool.ids[index_B])
        return task.answer(model, batch)

    def ask(index_B: torch.Tensor, view: int) -> torch.Tensor | RaggedLogits:
        index_B = index_B.to(pool.ids.device)
        order_B = task.of_like_cost(pool, index_B)
        if order_B is None:
            return ask_in_order(index_B, view)
        answers = [ask_in_order(part, view) for part in index_B[order_B].split(manner.batch_size)]
        back_B = torch.argsort(order_B)
        whole = [answer for answer in answers if isinstance(answer, torch.Tensor)]
        return (
            torch.cat(whole)[back_B]
            if whole
            else _reordered([one for one in answers if isinstance(one, RaggedLogits)], back_B)
        )

    return ask


def heard(model: nn.Module, task: Task, batch: Batch, codec: HypothesesCodec) -> Hypotheses:
    """What a teacher heard: what it says by itself, of a recogniser that gives transcripts, or what a search finds in its posteriors."""
    given = task.heard(model, batch)
    if given is not None:
        return given
    said = task.answer(model, batch)
    if not isinstance(said, RaggedLogits):
        raise BadInput(
            "targets.codec: transcripts are heard in recordings, and the teacher answers otherwise: take the codec dense."
        )
    return hypotheses_of(said, codec.best, codec.beam)


def _reordered(parts: list[RaggedLogits], back_B: torch.Tensor) -> RaggedLogits:
    rows = [row for part in parts for row in part.logits.split(part.lengths.tolist())]
    order = back_B.tolist()
    lengths_B = torch.cat([part.lengths.cpu() for part in parts])[back_B.cpu()]
    return RaggedLogits(torch.cat([rows[at] for at in order]), lengths_B)


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
    fixed = any(isinstance(module, OnnxFile) for module in model.modules())
    if fixed and wanted not in ("float32", "auto"):
        raise BadInput(f"targets.precision: {wanted}, and an ONNX file has its precision inside; leave it out.")
    return manner_of(
        model,
        sample,
        precision="float32" if fixed else wanted,
        compile=job.recipe.targets.compile,
        kind=job.splits.answers.kind,
    )


def about_targets(job: Job) -> str:
    """What is asked of the teacher, or was given in its place, in words."""
    if job.recipe.targets.store is not None:
        views = given_store(job).views
        return f"{counted(views, 'view')} of {len(job.task.pool):,} examples, as given"
    return f"{counted(asked_views(job, job.teacher)[1], 'view')} of {len(job.task.pool):,} examples"


def asked_views(job: Job, model: nn.Module) -> tuple[Any, int]:
    """How examples are varied where a teacher is asked about them, and how many views of each it answers."""
    if job.task.answers_for_all_views(model):
        return type(job.recipe.views)(), 1
    return job.recipe.views, job.recipe.targets.views


def given_store(job: Job) -> Store:
    """The store that the recipe names, held to what can be known of it: classes, views and examples.

    Raises :class:`limbeck.errors.BadInput` where one of them does not fit, saying what differs.
    """
    recipe, pool = job.recipe, job.task.pool
    assert recipe.targets.store is not None
    path = one_store(Path(recipe.targets.store))
    expect: dict[str, Any] = {"classes": job.splits.answers.width}
    plan = read_json(path / PLAN)
    # what holds for all views holds for these too, of whichever it was said
    if plan.get("ragged") or not job.task.answers_for_all_views(job.teacher):
        expect["views"] = recipe.views.model_dump(mode="json")
        if recipe.views != type(recipe.views)():
            expect["view_seed"] = recipe.seed
    if (made_of := job.splits.ids_of) and plan.get("data") != job.splits.fingerprint:
        raise BadInput(
            f"targets.store: {path} was cast over other data: ids here are made of {made_of}, so that an id may stand for another example "
            "there. Leave out targets.store, or name the store of a run with the same data section."
        )
    codec = codec_from(plan["codec"]["name"], plan["codec"]["settings"])
    # before the store is opened, which would speak of another number of classes
    why = misfit(codec, job.objective(), average=recipe.targets.average)
    if why is not None:
        raise BadInput(f"targets.store: {path}: {why}")
    store = Store.open(path, expect=expect)
    if why := no_deviation(store.codec, job.objective(), store.views if recipe.targets.average else 1):
        raise BadInput(f"targets.store: {path}: {why}")
    unable = cannot_learn_from_minus_infinity(job.objective())
    if unable is not None and (found := first_impossible(store)) is not None:
        raise BadInput(
            f"targets.store: {path}: example id {found[0]} has -inf for class {found[1]} (a class that cannot be), and {unable} "
            "cannot learn from that: take an objective on probabilities such as kd, or give large negative numbers instead."
        )
    store.require(pool.ids)
    if recipe.views.mixes and len(store) != len(pool):
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
    ids_N, answer = ids_N[:ERROR_SAMPLE], ask(index_N[:ERROR_SAMPLE], 0)
    logits_PC, lengths_N = flat(answer, len(ids_N), job.splits.answers.width, job.splits.answers.ragged)
    rows = rows_of(ids_N, 0, lengths_N)
    logits_NC, rows = logits_PC[:ERROR_SAMPLE].cpu(), Rows(rows.ids_N[:ERROR_SAMPLE], 0, rows.position_N[:ERROR_SAMPLE])
    if bool((logits_NC.isnan() | (logits_NC == torch.inf)).any()):
        return wanted.codecs[-1]  # casting says what is wrong with such answers
    return choose(wanted.codecs, wanted.mean_kl, logits_NC, rows)[0]


def _block_size(job: Job, model: nn.Module, path: Path) -> int:
    """Examples in a shard, which is what a pass that is cut short has to do again: few for a recogniser, which takes seconds over one."""
    if not job.task.answers_for_all_views(model):
        return BLOCK_SIZE
    return read_json(path / PLAN)["block_size"] if (path / PLAN).exists() else _HEARD


def is_ragged(job: Job, codec: Codec) -> bool:
    """Whether a store of the job's keeps an answer for each position; transcripts are one answer."""
    return job.splits.answers.ragged and codec.kind is not Hypotheses


def answers_each(job: Job, codec: Codec) -> float:
    """How many answers are kept of an example, as of the first few: as many as it has positions."""
    if not is_ragged(job, codec):
        return 1.0
    index_B = torch.arange(min(SAMPLE // 8, len(job.task.pool)), device=job.task.pool.ids.device)
    task = job.task.learnt_by(job.teacher)
    mask = task.batch(task.pool, index_B, torch.zeros_like(index_B), job.recipe.views).mask
    return 1.0 if mask is None else float(mask.sum()) / len(index_B)


def why_live(job: Job) -> str | None:
    """One line for a person who did not ask for a live teacher and gets one."""
    if job.recipe.targets.live or not job.needs.teacher_features:
        return None
    return f"{asked_live(job.objective())}, and no soft targets are kept."


def store_identity(job: Job, teacher: Trained, precision: str) -> StoreIdentity:
    """What a store of soft targets must agree with to be used in this job."""
    return {
        "classes": job.splits.answers.width,
        "data": job.splits.fingerprint,
        "teacher": teacher.identity,
        "preprocess": job.task.input_facts(job.task.teacher_sees),
        "precision": precision,
        "views": asked_views(job, teacher.model)[0].model_dump(mode="json"),
        "view_seed": job.recipe.seed,
    }


def targets_stage(job: Job, teacher: Trained) -> Stage:
    """The stage of the soft targets; its precision is the one asked for, which may be ``auto``."""
    wanted = job.recipe.targets
    ingredients = {
        "version": TARGETS_VERSION,
        **store_identity(job, teacher, wanted.precision),
        "teacher": coarse(teacher.identity),
        "count": asked_views(job, teacher.model)[1],
        "codec": job.codecs.ingredient,
    }
    return stage(job.out, "targets", ingredients)
