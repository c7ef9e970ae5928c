"""A store from Parquet: what :mod:`limbeck.targets.parquet` exported, or soft targets that were made elsewhere.

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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..files import raise_as_sentence, write_text
from ..recipe import Views
from . import parquet_read as read
from . import shard
from .cast import cast
from .check import expected_files
from .codecs import Column, codec_from
from .lock import alone
from .manifest import PLAN, SCHEMA_VERSION, SEAL, StoreIdentity, contents, publish, shard_metadata
from .parquet import MANIFEST_KEY, PLAN_KEY, SEAL_KEY, from_readable, readable
from .segment import Segment, places, write_ids
from .store import Store

LOGITS = "logits"

Progress = Callable[[int], object]


def import_parquet(
    source: Path,
    out: Path,
    *,
    views: Mapping[str, Any] | None = None,
    view_seed: int = 0,
    progress: Progress | None = None,
) -> Store:
    """Makes the store ``out`` of a Parquet file, or of a folder of them, and opens it.

    What was exported from a store becomes the same store again, to the byte. Otherwise the columns are ``id`` (whole
    numbers: ids of examples), ``view`` (from 0; left out: all 0) and ``logits`` (lists of equal length, one number a
    class, each row up to a constant); -inf is a class that cannot be. ``views`` (a recipe's section) and ``view_seed`` say
    how the views were made; left out, there may be view 0 alone, which is then the example as it is.

    The same call finishes an import that was cut short. Raises :class:`BadInput` for what cannot be used, naming file, row
    and column.
    """
    source, out = Path(source), Path(out)
    files = read.parquet_files(source)
    about = [_ours(file) for file in files]
    if any(one != about[0] for one in about):
        raise BadInput(f"the files in {source} come from different stores: import them one store at a time.")
    if about[0]:
        return _the_same_again(files, out, about[0], progress)
    return _from_elsewhere(files, out, views, view_seed, progress)


def _from_elsewhere(
    files: Sequence[Path], out: Path, views: Mapping[str, Any] | None, view_seed: int, progress: Progress | None
) -> Store:
    read.require_columns(files, ("id", LOGITS))
    found = read.index(files)
    ids = read.require_every_view(files[0] if len(files) == 1 else files[0].parent, found)
    if found.views > 1 and views is None:
        raise BadInput(
            f"{files[0]} holds {found.views} views and does not say how they were made: name the recipe whose views they "
            "are with --recipe."
        )
    column = Column(LOGITS, np.dtype(np.float32), read.width_of(files, LOGITS))
    if column.width == 1:
        raise BadInput(
            f"{files[0]}, column '{LOGITS}' holds one value a row: one for each of at least two classes is needed."
        )
    digest = read.digest(files)
    identity: StoreIdentity = {
        "classes": column.width or 0,
        "data": "imported",
        "teacher": {"weights": f"imported, SHA-256 {digest}", "probe": []},
        "preprocess": None,
        "precision": "unknown",
        "views": dict(views) if views is not None else Views().model_dump(mode="json"),
        "view_seed": view_seed,
        "made_from": {"kind": "parquet", "sha256": digest},
    }
    with _placed(files, found, [column], out, checked=True) as (logits_RC,):

        def ask(index_B: Tensor, view: int) -> Tensor:
            return torch.from_numpy(np.array(logits_RC[view * len(ids) + index_B.numpy()]))

        return cast(out, identity, torch.from_numpy(ids), found.views, ask, progress=progress)


def _the_same_again(files: Sequence[Path], out: Path, about: dict[bytes, bytes], progress: Progress | None) -> Store:
    plan, manifest = _description(files[0], about)
    layout, classes = _layout_in(files[0], plan), plan["classes"]
    read.require_columns(files, ["id", "view", *(column.name for column in layout)])
    found = read.index(files)
    whole = Segment(np.unique(found.id), range(found.views))
    if manifest["segments"] != [whole.entry]:
        raise BadInput(f"{files[0]}: {_CHANGED}")
    new = not out.exists()
    size = plan["block_size"]
    _begin(out, about[PLAN_KEY].decode(), whole)
    shown = [readable(column, classes) for column in layout]
    with _placed(files, found, shown, out) as placed:
        for place in places([whole], size):
            ids = place.ids(size)
            file, metadata = out / place.name, shard_metadata(plan, whole.digest, place.view, place.block)
            ranks = found.ranks(ids, place.view)
            if ranks is None:
                raise BadInput(f"{files[0]}: {_CHANGED}")
            if not shard.is_whole(file, metadata):
                values = {
                    column.name: from_readable(part[ranks], column, classes)
                    for column, part in zip(layout, placed, strict=True)
                }
                shard.write_with_digest(file, shard.Content(values), metadata)
            if progress:
                progress(len(ranks))
    with alone(out):
        publish(out, manifest, expected_files(manifest))
        if contents(out).encode() != about[SEAL_KEY]:
            (out / SEAL).unlink()
            if new:
                shutil.rmtree(out, ignore_errors=True)
            raise BadInput(f"{files[0]}: {_CHANGED}")
    return Store.open(out)


_CHANGED = (
    "its rows are not those that were exported, although its metadata says so. Export the store again; or, where the change "
    "is meant, write the file without the metadata whose keys begin with 'limbeck.', and it is imported as made elsewhere."
)


def _ours(file: Path) -> dict[bytes, bytes]:
    """What an export noted in a file's metadata; nothing where another tool wrote it."""
    metadata = read.opened(file).schema_arrow.metadata or {}
    ours = {key: metadata[key] for key in (PLAN_KEY, MANIFEST_KEY, SEAL_KEY) if key in metadata}
    return ours if len(ours) == 3 else {}


def _description(file: Path, about: dict[bytes, bytes]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plan and the manifest in a file's metadata."""
    try:
        plan, manifest = json.loads(about[PLAN_KEY]), json.loads(about[MANIFEST_KEY])
        version, codec = plan["schema_version"], plan["codec"]
        numbers = [plan[key] for key in ("classes", "block_size")]
        good = isinstance(codec["name"], str) and isinstance(codec["settings"], dict)
        good = good and isinstance(manifest["segments"], list) and manifest["block_size"] == plan["block_size"]
        good = good and all(isinstance(number, int) and number > 0 for number in numbers)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{file}: the description of its store, in the metadata, cannot be read.") from error
    if version != SCHEMA_VERSION:
        raise BadInput(
            f"{file} was exported from a store of schema_version {version}, and this version of limbeck reads "
            f"{SCHEMA_VERSION}: use the version that wrote it."
        )
    if not good:
        raise BadInput(f"{file}: the description of its store, in the metadata, cannot be read.")
    return plan, manifest


def _layout_in(file: Path, plan: dict[str, Any]) -> tuple[Column, ...]:
    try:
        return codec_from(plan["codec"]["name"], plan["codec"]["settings"]).layout(plan["classes"])
    except ValueError as error:
        raise BadInput(f"{file}: the description of its store, in the metadata, does not fit: {error}.") from error


def _begin(out: Path, plan: str, whole: Segment) -> None:
    """Writes plan and ids into a new folder, or into one where the same import was cut short."""
    there = (out / PLAN).read_text(encoding="utf-8") if (out / PLAN).is_file() else None
    if there != plan and out.exists() and (there is not None or not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} exists already and is not this store: name another folder with --out.")
    with alone(out):
        write_text(out / PLAN, plan)
        write_ids(out, whole)


@contextmanager
def _placed(
    files: Sequence[Path], found: read.Index, layout: Sequence[Column], out: Path, checked: bool = False
) -> Iterator[list[np.ndarray]]:
    """Each column's values (R, width) in the order of view and id, memory-mapped."""
    with ExitStack() as stack:
        yield [_place(stack, files, found, column, out, checked) for column in layout]


def _place(
    stack: ExitStack, files: Sequence[Path], found: read.Index, column: Column, out: Path, checked: bool
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
        if checked:
            _check(path, within, values)
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
