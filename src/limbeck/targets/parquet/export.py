"""A store as Parquet that any tool reads: one row an answer, the codec's columns in plain types.

Columns: ``id`` (int64), ``view`` (int32), then those of the codec. A store of sequences has a row a position, and says which
in ``position`` (int32); one that was extended says in ``segment`` (int32) which part of it a row belongs to. The store's
plan, manifest and the digest of its seal stand in the file's metadata, so that
:func:`limbeck.targets.parquet.load.import_parquet` gives the same store again, byte for byte, and knows where a file was
changed in between. Shapes: R rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ...errors import BadInput
from ...files import atomic_path, fingerprint
from ..codecs import Column
from ..codecs.ids import IDS, ids_in, pack, unpack
from ..store import shard
from ..store.check import check
from ..store.manifest import MANIFEST, PLAN, read_seal, shard_metadata
from ..store.segment import Place, places
from ..store.store import Store

SUFFIX = ".parquet"
PLAN_KEY, MANIFEST_KEY, SEAL_KEY = b"limbeck.plan", b"limbeck.manifest", b"limbeck.seal"
EMPTY_KEY = b"limbeck.empty"  # sequences without any position, and so without a row: a list of (segment, id)

# Signed, because not every tool that reads Parquet knows unsigned integers.
_WIDENED = {"uint8": np.dtype(np.int32), "uint16": np.dtype(np.int32), "uint32": np.dtype(np.int64)}


def export(source: Path, out: Path, progress: Callable[[int], object] | None = None) -> list[Path]:
    """Writes a store to ``out``: one file where it ends in ``.parquet``, otherwise a folder with one file a view.

    Returns the files. One row group holds one shard's rows, so memory stays small whatever the store's size.
    ``progress`` is called with the number of targets done. Raises :class:`BadInput` where the store is damaged, ``out``
    exists, or it cannot be written.
    """
    source, out = Path(source), Path(out)
    problems = check(source, full=True).problems
    if problems:
        raise BadInput(*problems)
    if out.exists():
        raise BadInput(f"{out} exists already: name another file or folder, or remove it.")
    store = Store.open(source)
    schema = _schema(store)
    if out.suffix == SUFFIX:
        _write(out, schema, _groups(store, range(store.views), progress))
        return [out]
    files = [out / f"view-{view:04d}{SUFFIX}" for view in range(store.views)]
    for view, file in enumerate(files):
        _write(file, schema, _groups(store, [view], progress))
    return files


def key_columns(ragged: bool, segments: int) -> list[Column]:
    """The columns that say what a row answers, of a store of so many segments."""
    kinds = {"id": np.int64, "view": np.int32} | ({"position": np.int32} if ragged else {})
    kinds |= {"segment": np.int32} if segments > 1 else {}
    return [Column(name, np.dtype(kind), None) for name, kind in kinds.items()]


def exported(column: Column, classes: int) -> Column:
    """What stands in Parquet for a column of a codec: numbers of a type that every reader knows, class ids unpacked."""
    width = column.width
    if column.name == IDS and width is not None:
        width = ids_in(width, classes)
    return Column(column.name, _WIDENED.get(column.dtype.name, column.dtype), width)


def to_exported(column: Column, values: np.ndarray, classes: int) -> np.ndarray:
    """Values of a codec's column as :func:`exported` has them."""
    if column.name == IDS:
        values = unpack(torch.from_numpy(values.copy()), classes).numpy()
    return values.astype(exported(column, classes).dtype, copy=False)


def from_exported(column: Column, values: np.ndarray, classes: int) -> np.ndarray:
    """What :func:`to_exported` was given. Values that it cannot have given become others."""
    if column.name == IDS:
        values = pack(torch.from_numpy(values), classes).numpy()
    return values.astype(column.dtype, copy=False)


def _schema(store: Store) -> pa.Schema:
    fields = []
    columns = [exported(column, store.classes) for column in store.codec.layout(store.classes)]
    for column in [*key_columns(store.ragged, len(store.segments)), *columns]:
        value = pa.from_numpy_dtype(column.dtype)
        kind = value if column.width is None else pa.list_(pa.field("element", value, nullable=False), column.width)
        fields.append(pa.field(column.name, kind, nullable=False))
    metadata = {
        PLAN_KEY: (store.path / PLAN).read_bytes(),
        MANIFEST_KEY: (store.path / MANIFEST).read_bytes(),
        SEAL_KEY: fingerprint(read_seal(store.path).files).encode(),
    }
    empty = _empty(store) if store.ragged else []
    return pa.schema(fields, metadata | ({EMPTY_KEY: json.dumps(empty).encode()} if empty else {}))


def _groups(store: Store, views: Iterable[int], progress: Callable[[int], object] | None) -> Iterator[list[np.ndarray]]:
    """The columns of each shard, as in the schema."""
    layout = store.codec.layout(store.classes)
    keys = key_columns(store.ragged, len(store.segments))
    for view in views:
        for number, place in _numbered(store):
            if place.view != view:
                continue
            ids, content = place.ids(store.plan["block_size"]), _content(store, place, layout)
            length = np.ones(len(ids), np.int64) if content.offsets is None else np.diff(content.offsets)
            rows = int(length.sum())
            start = np.repeat(np.cumsum(length) - length, length)
            of = {"view": np.full(rows, view), "segment": np.full(rows, number)}
            of |= {"id": np.repeat(ids, length), "position": np.arange(rows) - start}
            values = [to_exported(column, content.columns[column.name], store.classes) for column in layout]
            yield [*(of[key.name].astype(key.dtype) for key in keys), *values]
            if progress:
                progress(len(ids))


def _empty(store: Store) -> list[tuple[int, int]]:
    """The (segment, id) of sequences that have no position at any of their segment's views."""
    found = []
    layout = store.codec.layout(store.classes)[:1]
    longest = [np.zeros(len(segment.ids), np.int64) for segment in store.segments]
    for number, place in _numbered(store):
        first = place.block * store.plan["block_size"]
        offsets = _content(store, place, layout).offsets
        assert offsets is not None
        longest[number][first : first + len(offsets) - 1] += np.diff(offsets)
    for number, (segment, length) in enumerate(zip(store.segments, longest, strict=True)):
        found += [(number, id_) for id_ in segment.ids[length == 0].tolist()]
    return found


def _numbered(store: Store) -> Iterator[tuple[int, Place]]:
    """Every shard with the number of its segment."""
    for number, segment in enumerate(store.segments):
        for place in places([segment], store.plan["block_size"]):
            yield number, place


def _content(store: Store, place: Place, layout: Iterable[Column]) -> shard.Content:
    about = shard_metadata(store.plan, place.segment.digest, place.view, place.block)
    rows = len(place.ids(store.plan["block_size"]))
    return shard.read(store.path / place.name, tuple(layout), rows, about, store.ragged)


def _write(path: Path, schema: pa.Schema, groups: Iterator[list[np.ndarray]]) -> None:
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for columns in groups:
            arrays = [_array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            if len(columns[0]):
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=len(columns[0]))


def _array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, type=kind)
