"""A store from Parquet: what :mod:`limbeck.targets.parquet.export` exported, or soft targets that were made elsewhere.

Rows may stand in any order and need not fit into memory: they are put in their places in a file without a name, which
vanishes with the process, and the store is written from there. Shapes: N examples, V views, R = V * N rows, C classes.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import BadInput
from ...files import fingerprint, raise_as_sentence
from ..cast import cast
from ..codecs import Column, Numbers, codec_from
from ..codecs.ids import IDS
from ..store import shard
from ..store.manifest import PLAN, SCHEMA_VERSION, SEAL, TARGETS_VERSION, StoreIdentity, read_seal
from ..store.mapped_files import runs
from ..store.segment import Segment, totals
from ..store.store import Store
from ..store.writer import begin, fill, finish, manifest_of
from . import rows as read
from .export import EMPTY_KEY, MANIFEST_KEY, PLAN_KEY, SEAL_KEY, exported, from_exported, key_columns

LOGITS, PROBABILITIES, VALUES, SPREAD = "logits", "probabilities", "values", "spread"
OFF_BY = 1e-3  # how far a row of probabilities may be from 1 in all

Progress = Callable[[int], object]


def import_parquet(
    source: Path,
    out: Path,
    *,
    views: Mapping[str, Any] | None = None,
    unvaried: Mapping[str, Any] | None = None,
    view_seed: int = 0,
    alike: int | None = None,
    progress: Progress | None = None,
) -> Store:
    """Makes the store ``out`` of a Parquet file, or of a folder of them, and opens it.

    What was exported from a store becomes the same store again, to the byte, sequences included. Otherwise the columns are ``id`` (whole
    numbers: ids of examples), ``view`` (from 0; left out: all 0) and ``logits`` (lists of equal length, one number a
    class, each row up to a constant; -inf is a class that cannot be), or ``probabilities`` in their place; of a
    regression ``values``, a number or a list of them, in the labels' units, and ``spread``, likewise, where the deviation of each is
    known. ``views`` (a recipe's section) and ``view_seed`` say
    how the views were made; left out, there may be view 0 alone, which is then the example as it is: ``unvaried`` is the section that says so. ``alike``: the one answer of each example is that of so
    many views.

    The same call finishes an import that was cut short. Raises :class:`BadInput` for what cannot be used, naming file, row
    and column.
    """
    source, out = Path(source), Path(out)
    files = read.parquet_files(source)
    about = [_ours(file) for file in files]
    if any(one != about[0] for one in about):
        raise BadInput(f"the files in {source} come from different stores: import them one store at a time.")
    if about[0]:
        if alike is not None:
            raise BadInput(
                f"{files[0]} was exported from a store, whose views are as they are: import it without --all-views."
            )
        return _the_same_again(files, out, about[0], progress)
    return _from_elsewhere(files, out, views, unvaried, view_seed, alike, progress)


def _from_elsewhere(
    files: Sequence[Path],
    out: Path,
    views: Mapping[str, Any] | None,
    unvaried: Mapping[str, Any] | None,
    view_seed: int,
    alike: int | None,
    progress: Progress | None,
) -> Store:
    name = answers_in(files)
    read.require_columns(files, ("id", name))
    for file in files:
        if "position" in read.opened(file).schema_arrow.names:
            raise BadInput(
                f"{file} has a column 'position': answers for each position of a sequence can be imported only as limbeck "
                "exported them, the file's metadata included. Cast them instead."
            )
    found = read.index(files)
    ids = read.require_every_view(files[0] if len(files) == 1 else files[0].parent, found)
    if found.views > 1 and views is None:
        raise BadInput(
            f"{files[0]} holds {found.views} views and does not say how they were made: name the recipe whose views they "
            "are with --recipe."
        )
    if alike is not None and found.views > 1:
        raise BadInput(
            f"{files[0]} holds {found.views} views, so --all-views, which is for one answer an example, is not for it."
        )
    column = Column(name, np.dtype(np.float32), read.width_of(files, name, single=name == VALUES))
    if column.width == 1 and name != VALUES:
        raise BadInput(
            f"{files[0]}, column '{name}' holds one value a row: one for each of at least two classes is "
            f"needed. Numbers of a regression stand in a column '{VALUES}'."
        )
    columns = [column]
    if name == VALUES and SPREAD in read.opened(files[0]).schema_arrow.names:
        read.require_columns(files, ("id", name, SPREAD))
        columns.append(column._replace(name=SPREAD))
    digest = read.digest(files)
    identity: StoreIdentity = {
        "classes": column.width or 1,
        "data": "imported",
        "teacher": {"weights": f"imported, SHA-256 {digest}", "probe": []},
        "preprocess": None,
        "precision": "unknown",
        "views": dict((unvaried if views is None else views) or {}),
        "view_seed": view_seed,
        "made_from": {"kind": "parquet", "sha256": digest},
    }
    codec = Numbers(spread=len(columns) > 1) if name == VALUES else None
    with _placed(files, found, columns, out) as placed:

        def ask(index_B: Tensor, view: int) -> Tensor:
            first = 0 if alike is not None else view * len(ids)
            rows = first + index_B.numpy()
            parts = [np.array(part[rows]).reshape(len(rows), -1) for part in placed]
            answers_BC = torch.from_numpy(np.concatenate(parts, axis=1))
            return answers_BC.log() if name == PROBABILITIES else answers_BC

        return cast(out, identity, torch.from_numpy(ids), alike or found.views, ask, codec=codec, progress=progress)


def answers_in(files: Sequence[Path]) -> str:
    """The column of the answers: logits, probabilities, or the numbers of a regression. Raises :class:`BadInput` where there are two."""
    there = read.opened(files[0]).schema_arrow.names
    if VALUES in there and not {LOGITS, PROBABILITIES} & {*there}:
        return VALUES
    if LOGITS in there and PROBABILITIES in there:
        raise BadInput(
            f"{files[0]} has the columns '{LOGITS}' and '{PROBABILITIES}', which say the same: leave one of them out."
        )
    return PROBABILITIES if PROBABILITIES in there else LOGITS


def _the_same_again(files: Sequence[Path], out: Path, about: dict[bytes, bytes], progress: Progress | None) -> Store:
    plan, manifest, empty = _described(files[0], about)
    classes, ragged = plan["classes"], plan["ragged"]
    layout = codec_from(plan["codec"]["name"], plan["codec"]["settings"]).layout(classes)
    keys = key_columns(ragged, len(manifest["segments"]))
    read.require_columns(files, [column.name for column in (*keys, *layout)])
    found = read.index(files, ragged)
    segments = _segments(files, found, manifest["segments"], empty)
    again = manifest_of(plan, segments, manifest["codec"], manifest["libraries"])
    if not _complete(found, segments, ragged) or again != manifest:
        raise BadInput(f"{files[0]}: {_CHANGED}")
    seal = about[SEAL_KEY].decode()
    _require_room(out, about[PLAN_KEY].decode(), seal)
    new = not out.exists()
    # ids as numbers; the others take less room as they are stored
    kept = [exported(column, classes) if column.name == IDS else column for column in layout]
    with _placed(files, found, kept, out, classes=classes) as placed:

        def make(ids: np.ndarray, view: int) -> shard.Content:
            start, length = found.spans(ids, view)
            rows = runs(start, length)
            columns = {c.name: from_exported(c, part[rows], classes) for c, part in zip(layout, placed, strict=True)}
            return shard.Content(columns, np.append(0, np.cumsum(length)) if ragged else None)

        begin(out, plan, totals(segments))
        fill(out, plan, segments, make, progress)
    finish(out, manifest)
    if fingerprint(read_seal(out).files) != seal:
        (out / SEAL).unlink()
        if new:
            shutil.rmtree(out, ignore_errors=True)
        raise BadInput(f"{files[0]}: {_CHANGED}" + ("" if new else f" What there is in {out} is of no use: delete it."))
    return Store.open(out)


_CHANGED = (
    "its rows are not those that were exported, although its metadata says so. Export the store again; or, where the change "
    "is meant, write the file without the metadata whose keys begin with 'limbeck.', and it is imported as made elsewhere."
)


_READS = {"schema_version": SCHEMA_VERSION, "targets_version": TARGETS_VERSION}


def _ours(file: Path) -> dict[bytes, bytes]:
    """What an export noted in a file's metadata; nothing where another tool wrote it."""
    metadata = read.opened(file).schema_arrow.metadata or {}
    ours = {key: metadata[key] for key in (PLAN_KEY, MANIFEST_KEY, SEAL_KEY, EMPTY_KEY) if key in metadata}
    return ours if {PLAN_KEY, MANIFEST_KEY, SEAL_KEY} <= ours.keys() else {}


def _described(file: Path, about: dict[bytes, bytes]) -> tuple[dict[str, Any], dict[str, Any], list[tuple[int, int]]]:
    """Plan, manifest, and (segment, id) of what has no row."""
    try:
        plan, manifest = json.loads(about[PLAN_KEY]), json.loads(about[MANIFEST_KEY])
        versions = {key: plan[key] for key in _READS}
        if versions == _READS:
            empty = [(int(number), int(id_)) for number, id_ in json.loads(about.get(EMPTY_KEY, b"[]"))]
            counts = [plan["classes"], plan["block_size"], len(manifest["segments"])]
            counts += [entry["examples"] for entry in manifest["segments"]]
            stops = [stop for entry in manifest["segments"] for stop in entry["views"]]
            good = all(isinstance(n, int) and n > 0 for n in counts) and all(isinstance(n, int) for n in stops)
            good &= isinstance(plan["ragged"], bool) and isinstance(plan["codec"]["name"], str)
            good &= all(isinstance(one, dict) for one in (plan["codec"]["settings"], manifest["codec"]))
            good &= isinstance(manifest["libraries"], dict)
            if good:
                return plan, manifest, empty
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{file}: the description of its store, in the metadata, cannot be read.") from error
    for key, version in versions.items():
        if version != _READS[key]:
            raise BadInput(
                f"{file} was exported from a store of {key} {version}, and this version of limbeck reads "
                f"{_READS[key]}: use the version that wrote it."
            )
    raise BadInput(f"{file}: the description of its store, in the metadata, cannot be read.")


def _segments(
    files: Sequence[Path], found: read.Index, entries: Sequence[Mapping[str, Any]], empty: Sequence[tuple[int, int]]
) -> list[Segment]:
    """The segments of the store that was exported, as far as the rows tell."""
    segment_R = np.zeros_like(found.id)
    if len(entries) > 1:
        segment_R[found.rank] = read.numbers(files, "segment")
    segments = []
    for number, entry in enumerate(entries):
        without = np.array([id_ for of, id_ in empty if of == number], np.int64)
        ids = np.union1d(found.id[segment_R == number], without)
        segments.append(Segment(ids, range(*entry["views"])))
    return segments


def _complete(found: read.Index, segments: Sequence[Segment], ragged: bool) -> bool:
    """Whether the rows are those of the segments and no others; how many a sequence has is not known here."""
    rows = 0
    for segment in segments:
        for view in segment.views:
            _, length = found.spans(segment.ids, view)
            if not ragged and (length != 1).any():
                return False
            rows += int(length.sum())
    return rows == len(found.rank)


def _require_room(out: Path, plan: str, seal: str) -> None:
    """Raises :class:`BadInput` unless the folder is new, or the same import was cut short there or has finished."""
    if (out / SEAL).exists():
        same = fingerprint(read_seal(out).files) == seal
    elif (out / PLAN).is_file():
        same = (out / PLAN).read_text(encoding="utf-8") == plan
    else:
        same = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if not same:
        raise BadInput(f"{out} exists already and is not this store: name another folder with --out.")


@contextmanager
def _placed(
    files: Sequence[Path], found: read.Index, layout: Sequence[Column], out: Path, classes: int | None = None
) -> Iterator[list[np.ndarray]]:
    """Each column's values (R, width) in the order of view and id, memory-mapped.

    ``classes``: how many there are in what was exported; None: the values are logits that were made elsewhere.
    """
    with ExitStack() as stack:
        yield [_place(stack, files, found, column, out, classes) for column in layout]


def _place(
    stack: ExitStack, files: Sequence[Path], found: read.Index, column: Column, out: Path, classes: int | None
) -> np.ndarray:
    shape = column.shape(len(found.rank))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        file = stack.enter_context(tempfile.TemporaryFile(dir=out.parent))  # noqa: SIM115 - closed by the stack
        # room is claimed beforehand: a full disk met while writing to a mapping would kill the process
        os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)) * column.dtype.itemsize)
    except OSError as error:
        raise_as_sentence(error, out)
        raise
    placed = np.memmap(file, column.dtype, "r+", shape=shape)
    for first, path, within, values in read.rows(files, column):
        if classes is None:
            _CHECKS[column.name](path, within, values)
        elif column.name == IDS and ((values < 0) | (values >= classes)).any():
            raise BadInput(f"{path}: {_CHANGED}")  # others could have the same bits
        placed[found.rank[first : first + len(values)]] = values
    return placed


def _check(file: Path, first: int, logits_RC: np.ndarray) -> None:
    bad_RC = np.isnan(logits_RC) | (logits_RC == np.inf)
    if bad_RC.any():
        row, place = np.argwhere(bad_RC)[0].tolist()
        raise BadInput(
            f"{file}, row {first + row}, column '{LOGITS}' holds {logits_RC[row, place]} at place {place}: logits must be "
            "numbers, or -inf for a class that cannot be."
        )
    empty_R = ~np.isfinite(logits_RC).any(axis=1)
    if empty_R.any():
        raise BadInput(f"{file}, row {first + int(empty_R.argmax())}, column '{LOGITS}' holds no finite number.")


def _check_probabilities(file: Path, first: int, shares_RC: np.ndarray) -> None:
    bad_RC = ~((shares_RC >= 0) & (shares_RC <= 1 + OFF_BY))  # NaN is refused too
    if bad_RC.any():
        row, place = np.argwhere(bad_RC)[0].tolist()
        raise BadInput(
            f"{file}, row {first + row}, column '{PROBABILITIES}' holds {shares_RC[row, place]:g} at place {place}: probabilities "
            f"lie in 0 to 1. Numbers of any size are logits: call the column '{LOGITS}'."
        )
    sum_R = shares_RC.sum(axis=1, dtype=np.float64)
    off_R = np.abs(sum_R - 1) > OFF_BY
    if off_R.any():
        row = int(off_R.argmax())
        raise BadInput(
            f"{file}, row {first + row}, column '{PROBABILITIES}': they sum to {sum_R[row]:g}, and those of one example must sum "
            "to 1."
        )


def _check_numbers(file: Path, first: int, values: np.ndarray, column: str = VALUES) -> None:
    values_RD = values.reshape(len(values), -1)
    bad_RD = ~np.isfinite(values_RD) | ((values_RD < 0) if column == SPREAD else False)
    if bad_RD.any():
        row, place = np.argwhere(bad_RD)[0].tolist()
        what = "a deviation is a number of at least 0" if column == SPREAD else "a regression's numbers must be finite"
        raise BadInput(
            f"{file}, row {first + row}, column '{column}' holds {values_RD[row, place]:g} at place {place}: {what}, in float32."
        )


_CHECKS = {
    LOGITS: _check,
    PROBABILITIES: _check_probabilities,
    VALUES: _check_numbers,
    SPREAD: partial(_check_numbers, column=SPREAD),
}
