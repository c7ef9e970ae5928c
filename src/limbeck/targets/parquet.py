"""A store as Parquet that any tool reads: one row an answer, the codec's columns in plain types.

Columns: ``id`` (int64), ``view`` (int32), then those of the codec. The store's plan, manifest and the digest of its seal
stand in the file's metadata, so that :func:`limbeck.targets.parquet_import.import_parquet` gives the same store again, byte
for byte, and knows where a file was changed in between. Shapes: R rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ..errors import BadInput
from ..files import atomic_path
from . import shard
from .check import check
from .codecs import Column
from .codecs.ids import bytes_of_an_id, pack, unpack
from .manifest import MANIFEST, PLAN, contents, shard_metadata
from .segment import places
from .store import Store

SUFFIX = ".parquet"
PLAN_KEY, MANIFEST_KEY, SEAL_KEY = b"limbeck.plan", b"limbeck.manifest", b"limbeck.seal"

# Signed, because not every tool that reads Parquet knows unsigned integers.
_WIDENED = {"uint8": np.dtype(np.int32), "uint16": np.dtype(np.int32), "uint32": np.dtype(np.int64)}


def export(source: Path, out: Path, progress: Callable[[int], object] | None = None) -> list[Path]:
    """Writes a store to ``out``: one file where it ends in ``.parquet``, otherwise a folder with one file a view.

    Returns the files. One row group holds one shard's rows, so memory stays small whatever the store's size.
    Raises :class:`BadInput` where the store is damaged, ``out`` exists, or it cannot be written.
    """
    source, out = Path(source), Path(out)
    found = check(source, full=True)
    if found.problems:
        raise BadInput("\n".join(found.problems))
    if found.manifest.get("ragged"):
        raise BadInput(f"{source} holds answers of different lengths, and those cannot be exported yet.")
    if out.exists():
        raise BadInput(f"{out} exists already: name another file or folder, or remove it.")
    store = Store.open(source)
    if len(store.segments) > 1:
        raise BadInput(
            f"{source} has grown, and holds its examples in {len(store.segments)} parts: make one of them with `limbeck targets "
            "merge`; where some examples have more views than others, extend it first."
        )
    schema = _schema(store)
    if out.suffix == SUFFIX:
        _write(out, schema, _groups(store, range(store.views), progress))
        return [out]
    files = [out / f"view-{view:04d}{SUFFIX}" for view in range(store.views)]
    for view, file in enumerate(files):
        _write(file, schema, _groups(store, [view], progress))
    return files


def readable(column: Column, classes: int) -> Column:
    """A stored column as it stands in Parquet: class ids as numbers instead of packed bytes, and no unsigned types."""
    if _packed(column):
        return Column(column.name, np.dtype(np.int32), (column.width or 0) // bytes_of_an_id(classes))
    return Column(column.name, _WIDENED.get(column.dtype.name, column.dtype), column.width)


def to_readable(values: np.ndarray, column: Column, classes: int) -> np.ndarray:
    """Stored values (N, width) as :func:`readable` describes them."""
    if _packed(column):
        values = unpack(torch.from_numpy(np.array(values)), classes).numpy()
    return values.astype(readable(column, classes).dtype, copy=False)


def from_readable(values: np.ndarray, column: Column, classes: int) -> np.ndarray:
    """What :func:`to_readable` was given."""
    if _packed(column):
        return pack(torch.from_numpy(values).to(torch.int64), classes).numpy()
    return values.astype(column.dtype)


def _packed(column: Column) -> bool:
    return column.name == "ids" and column.dtype == np.uint8


def _schema(store: Store) -> pa.Schema:
    fields = [pa.field("id", pa.int64(), nullable=False), pa.field("view", pa.int32(), nullable=False)]
    for column in store.codec.layout(store.classes):
        there = readable(column, store.classes)
        value = pa.from_numpy_dtype(there.dtype)
        kind = value if there.width is None else pa.list_(pa.field("element", value, nullable=False), there.width)
        fields.append(pa.field(there.name, kind, nullable=False))
    metadata = {
        PLAN_KEY: (store.path / PLAN).read_bytes(),
        MANIFEST_KEY: (store.path / MANIFEST).read_bytes(),
        SEAL_KEY: contents(store.path).encode(),
    }
    return pa.schema(fields, metadata)


def _groups(store: Store, views: Sequence[int], progress: Callable[[int], object] | None) -> Iterator[list[np.ndarray]]:
    """The columns of each shard, as in the schema."""
    size, layout = store.manifest["block_size"], store.codec.layout(store.classes)
    for place in places(store.segments, size):
        if place.view not in views:
            continue
        ids = place.ids(size)
        about = shard_metadata(store.plan, place.segment.digest, place.view, place.block)
        columns = shard.read(store.path / place.name, layout, len(ids), about).columns
        values = [to_readable(columns[column.name], column, store.classes) for column in layout]
        yield [ids, np.full(len(ids), place.view, np.int32), *values]
        if progress:
            progress(len(ids))


def _write(path: Path, schema: pa.Schema, groups: Iterator[list[np.ndarray]]) -> None:
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for columns in groups:
            arrays = [_array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=len(columns[0]))


def _array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, type=kind)
