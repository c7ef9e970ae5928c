"""A store as Parquet that any tool reads: one row an answer, the codec's columns in plain types.

Columns: ``id`` (int64), ``view`` (int32), then those of the codec. The store's plan, manifest and the digest of its seal
stand in the file's metadata, so that :func:`limbeck.targets.parquet_import.import_parquet` gives the same store again, byte
for byte, and knows where a file was changed in between. Shapes: R rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BadInput
from ..files import atomic_path, fingerprint
from . import shard
from .check import check
from .codecs import Column
from .manifest import MANIFEST, PLAN, read_seal, shard_metadata
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
    problems, manifest = check(source, full=True)
    if problems:
        raise BadInput("\n".join(problems))
    if manifest.get("ragged"):
        raise BadInput(f"{source} holds answers of different lengths, and those cannot be exported yet.")
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


def readable(column: Column) -> np.dtype:
    """The type of a stored column's values in Parquet."""
    return _WIDENED.get(column.dtype.name, column.dtype)


def _schema(store: Store) -> pa.Schema:
    fields = [pa.field("id", pa.int64(), nullable=False), pa.field("view", pa.int32(), nullable=False)]
    for column in store.codec.layout(store.classes):
        value = pa.from_numpy_dtype(readable(column))
        kind = value if column.width is None else pa.list_(pa.field("element", value, nullable=False), column.width)
        fields.append(pa.field(column.name, kind, nullable=False))
    metadata = {
        PLAN_KEY: (store.path / PLAN).read_bytes(),
        MANIFEST_KEY: (store.path / MANIFEST).read_bytes(),
        SEAL_KEY: fingerprint(read_seal(store.path)).encode(),
    }
    return pa.schema(fields, metadata)


def _groups(store: Store, views: Iterable[int], progress: Callable[[int], object] | None) -> Iterator[list[np.ndarray]]:
    """The columns of each shard, as in the schema."""
    size, layout = store.manifest["block_size"], store.codec.layout(store.classes)
    for view in views:
        for block, start in enumerate(range(0, len(store), size)):
            ids = store.ids[start : start + size]
            path = store.path / shard.shard_name(view, block)
            columns = shard.read(path, layout, len(ids), shard_metadata(store.manifest["ids"], view, block))
            values = [columns[column.name].astype(readable(column), copy=False) for column in layout]
            yield [ids, np.full(len(ids), view, np.int32), *values]
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
