"""Teacher and targets alone; more of them; the teacher asked again (`limbeck targets cast, extend, replay`)."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from .. import progress
from ..errors import BadInput, Interrupted, printable
from ..files import atomic_path, write_text
from ..interfaces import Sampled, Values
from ..modalities import modality_of
from ..recipe import read as recipe_file
from ..recipe.read import resolved_yaml
from ..sections.recipe import Recipe
from ..targets.cast import extend as extend_store
from ..targets.find_stores import is_store
from ..targets.replay import replay
from ..targets.store.store import Store
from . import stages
from .job import Job, open_job
from .known import Known, known_of
from .objective import asked_live
from .stages import Busy
from .targets import about_targets, asker, manner_for, manner_in, store_identity, targets_stage, the_targets
from .teacher import about_teacher, beware, teacher_stages, the_teacher
from .training_stage import Trained

LOOK_EVERY = 0.5  # seconds between two looks at whether another process has made the teacher
MOST_LOOKS = 40  # at a folder that another process has for itself
SHOWN = 5


def cast_recipe(
    recipe: Recipe,
    out: Path,
    *,
    trust_code: bool = False,
    device: str = "auto",
    threads: int | None = None,
) -> Store:
    """Makes the teacher and its soft targets in the run folder ``out``; several processes may do so together.

    Raises :class:`limbeck.errors.BadInput` where the recipe keeps no soft targets, and as :func:`limbeck.pipeline.run.run` does.
    """
    known = known_of(recipe, out)
    job = open_job(recipe, out=out, trust_code=trust_code, device=device, threads=threads)
    if job.splits.elsewhere:
        known = Known(recipe, out, None)
    _require_targets(job)
    for note in job.notes:
        progress.note(note)
    try:
        _make_teacher(job)
        with _shared(out):
            write_text(out / "recipe.yaml", resolved_yaml(recipe))
            teacher, made = the_teacher(job), teacher_stages(job)
            for number, here in enumerate(made):
                known.note(here, number, (), about_teacher(job))
            beware(job, teacher)
            store = the_targets(job, teacher)
            known.note(targets_stage(job, teacher), 0, made, about_targets(job))
    except KeyboardInterrupt:
        raise Interrupted("stopped; run the same command to go on from there.") from None
    assert store is not None
    return store


def extend(
    folder: Path,
    views: int | None,
    recipe: Path | None,
    overrides: Sequence[str] = (),
    *,
    trust_code: bool = False,
    device: str = "auto",
    threads: int | None = None,
) -> Store:
    """More views for the soft targets of a run, or more of anything for a store on its own; see the command.

    Raises :class:`limbeck.errors.BadInput` where the folder is neither, where nothing says who the teacher is or it is
    another than the store's, or there would be fewer views than there are.
    """
    how = {"trust_code": trust_code, "device": device, "threads": threads}
    if is_store(folder):
        return _extend_store(folder, views, recipe, overrides, **how)
    read = recipe_of(folder, recipe, overrides)
    if views is not None:
        before = recipe_of(folder).targets.views
        _refuse_fewer(folder, views, before)
        read = read.model_copy(update={"targets": read.targets.model_copy(update={"views": views})})
    return cast_recipe(read, folder, **how)


def _extend_store(
    path: Path,
    views: int | None,
    recipe: Path | None,
    overrides: Sequence[str],
    *,
    trust_code: bool,
    device: str,
    threads: int | None,
) -> Store:
    """Asks a recipe's teacher about what a store on its own lacks, and adds it there."""
    if (path.parent / "ingredients.json").exists():
        raise BadInput(f"{path} belongs to a run, which names it by what is in it: give the run's folder.")
    if recipe is None:
        raise BadInput(f"{path} is a store alone, and nothing says who its teacher is: name the recipe with --recipe.")
    read = recipe_file.read(recipe, overrides)
    asked = type(read.views)() if read.asked_once else read.views
    store = Store.open(path, {"views": asked.model_dump(mode="json"), "view_seed": read.seed})
    views = store.views if views is None else views
    _refuse_fewer(path, views, store.views)
    beside = (recipe.parent / "stages").is_dir()
    out = recipe.parent if beside else Path("runs") / str(read.name)
    job = open_job(read, out=out, trust_code=trust_code, device=device, threads=threads)
    ids_N = job.task.pool.ids.cpu()
    if read.views.mixes and not np.array_equal(ids_N.sort().values.numpy(), store.ids):
        raise BadInput(
            f"{path} cannot be extended by other examples: under mixup and CutMix an example's partner depends on all "
            "of them. Cast it anew."
        )
    teacher = _finished_teacher(job)
    precision = store.plan["precision"]
    known = store_identity(job, teacher, precision)
    # the data may have gained examples; every id names its own content
    expect = {key: value for key, value in known.items() if key != "data"}
    Store.open(path, expect)  # before the teacher is asked anything
    manner = manner_for(job, teacher, precision)
    try:
        with progress.bar(views * len(ids_N), "soft targets") as advance:
            return extend_store(
                path,
                ids_N,
                views,
                asker(job, teacher, manner, store.codec),
                expect=expect,
                batch_size=max(job.task.views_at_once, manner.batch_size),
                progress=advance,
            )
    except KeyboardInterrupt:
        raise Interrupted("stopped; run the same command to go on from there.") from None


def _refuse_fewer(folder: Path, views: int, before: int) -> None:
    if views < before:
        raise BadInput(f"--views {views}: {folder} has {before} views of each example already, and none is taken away.")


def replay_run(
    folder: Path,
    count: int,
    seed: int | None,
    *,
    trust_code: bool = False,
    device: str = "auto",
    threads: int | None = None,
) -> tuple[str, list[str]]:
    """Asks a run's teacher again about ``count`` answers; what to tell, and sentences where they differ.

    Raises :class:`limbeck.errors.BadInput` where the folder is no run, or teacher and targets are not finished.
    """
    job = open_job(recipe_of(folder), out=folder, trust_code=trust_code, device=device, threads=threads)
    _require_targets(job)
    if job.recipe.targets.store is not None:
        raise BadInput(
            f"{folder} learnt from soft targets that were given, whose teacher is not known: nobody can be asked."
        )
    teacher = _finished_teacher(job)
    here = targets_stage(job, teacher)
    if not here.finished:
        raise BadInput(f"{folder}: its soft targets are not finished. Run its recipe first.")
    store = the_targets(job, teacher)
    assert store is not None
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    found = replay(
        store, asker(job, teacher, manner_in(job, teacher, here), store.codec), job.task.pool.ids, count, seed
    )
    worst = found.difference.argmax()
    measure = "half the sum of the differences between the classes' probabilities"
    if store.codec.kind is Sampled:
        measure = "how far the draws are from being what the teacher says"
    elif store.codec.kind is Values:
        measure = "the largest difference of a number, as a share of that number's size (its root mean square)"
    told = (
        f"{store.path}: the teacher was asked again about {len(found.ids)} of {found.of} answers (seed {seed}). The largest "
        f"difference is {found.difference[worst]:.2g} (example {found.ids[worst]}, view {found.view[worst]}), and "
        f"{found.allowed:.2g} is allowed: {measure}."
    )
    if not len(found.differing):
        return told, []
    listed = [
        f"  example {found.ids[at]}, view {found.view[at]}: {found.difference[at]:.2g}"
        for at in found.differing[:SHOWN]
    ]
    more = len(found.differing) - SHOWN
    return told, [
        f"{len(found.differing)} of {len(found.ids)} answers are not what the teacher says now; the teacher, the data or the "
        "views have changed since, or this machine computes otherwise:",
        *listed,
        *([f"  and {more} more"] if more > 0 else []),
    ]


def example_ids(recipe: Recipe) -> pa.Table:
    """The examples that a teacher is asked about or that choose a student: ``id``, ``split``, and where each stands.

    ``label`` is the class's name (of several labels their names, of a regression its numbers), null in a transfer set. The rest is the modality's: an image's ``row`` and ``path``, a
    text itself. The test split stays shut.
    """
    modality = modality_of(recipe)
    splits = modality.load(recipe, progress.bar)
    for note in splits.notes:
        progress.note(note)
    parts = []
    for name, where in modality.origins(recipe, splits).items():
        examples = getattr(splits, name)
        columns = {"id": examples.ids.tolist(), "split": [name] * len(examples)}
        if examples.labels is None:
            columns["label"] = pa.nulls(len(examples), pa.string())
        elif splits.numbers:
            columns["label"] = [" ".join(f"{number:.9g}" for number in row) for row in examples.labels.tolist()]
        elif examples.labels.ndim == 1:
            columns["label"] = [splits.classes[label] for label in examples.labels.tolist()]
        else:  # several a text, as the names in one field
            rows = examples.labels.tolist()
            columns["label"] = [" ".join(c for c, is_so in zip(splits.classes, row) if is_so) for row in rows]
        parts.append(pa.table({**columns, **where}))
    return pa.concat_tables(parts, promote_options="permissive")


def first_rows(table: pa.Table, count: int = 10) -> list[str]:
    """Lines of CSV, and how many there are besides."""
    written = pa.BufferOutputStream()
    csv.write_csv(table.slice(0, count), written)
    lines = [printable(line) for line in written.getvalue().to_pybytes().decode().split("\n") if line]
    left = table.num_rows - count
    return [*lines, f"and {left:,} more: --out FILE writes all of them."] if left > 0 else lines


def write_table(table: pa.Table, out: Path) -> None:
    """As Parquet where the name ends so, as CSV otherwise. Raises :class:`BadInput` where there is a file already."""
    if out.exists():
        raise BadInput(f"{out} exists already: name another file.")
    with atomic_path(out) as temporary:
        if out.suffix == ".parquet":
            pq.write_table(table, temporary)
        else:
            csv.write_csv(table, temporary)


def recipe_of(folder: Path, recipe: Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a run's folder, or the one that is named instead. Raises `BadInput` where the folder is no run."""
    if is_store(folder):
        raise BadInput(
            f"{folder} is a store alone, and only a run's recipe says who its teacher is: give the run's folder."
        )
    if not (folder / "stages").is_dir():
        raise BadInput(
            f"{folder} is not the folder of a run: give one that `limbeck run` or `limbeck targets cast` made."
        )
    return recipe_file.read(recipe or folder / "recipe.yaml", overrides)


def _require_targets(job: Job) -> None:
    if job.recipe.targets.live:
        raise BadInput("targets.live: the teacher is asked at every step, and nothing is kept; leave it out to cast.")
    if job.needs.teacher_features:
        raise BadInput(f"{asked_live(job.objective())}, and no soft targets are kept.")
    if not job.asks_teacher:
        raise BadInput(
            "objective: it asks nothing of the teacher, so there is nothing to cast; give it a term such as kd."
        )


@contextmanager
def _shared(out: Path) -> Iterator[None]:
    """Claims the folder together with others; one that has it alone for a moment, to look at the teacher, is waited for."""
    with ExitStack() as claim:
        for look in itertools.count(1):
            try:
                claim.enter_context(stages.claimed(out, shared=True))
                break
            except Busy:
                if look == MOST_LOOKS:
                    raise
                time.sleep(LOOK_EVERY)
        yield


def _make_teacher(job: Job) -> None:
    """Trains the teacher where that is to be done, or waits for the process that is at it."""
    told = False
    while not _has_teacher(job):
        try:
            with stages.claimed(job.out):
                the_teacher(job)
        except Busy:
            if not told:
                progress.note(f"another process is at work on the teacher in {job.out}: waiting for it.")
            told = True
            time.sleep(LOOK_EVERY)


def _has_teacher(job: Job) -> bool:
    return all(here.finished for here in teacher_stages(job))


def _finished_teacher(job: Job) -> Trained:
    if not _has_teacher(job):
        raise BadInput(f"{job.out}: its teacher is not finished. Run its recipe first.")
    return the_teacher(job)
