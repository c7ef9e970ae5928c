"""One file of a store: an uncompressed Arrow record batch, its digest beside it, read memory-mapped.

One row an example. A *ragged* shard holds sequences: its columns are large lists with the same offsets in each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from ...errors import BadInput
from ...files import atomic_path, sha256_file, write_text
from ..codecs import Column


class Content(NamedTuple):
    """What a shard holds: columns (P,) or (P, width), P the number of examples, or of all their positions."""

    columns: dict[str, np.ndarray]
    offsets: np.ndarray | None = None  # (examples + 1,) int64 where ragged: example i is offsets[i]:offsets[i + 1]


MapFile = Callable[[Path], np.ndarray]
"""A file's bytes, uint8, memory-mapped. Raises ``OSError``, ``RuntimeError`` or ``ValueError`` where that cannot be."""


def digest_path(path: Path) -> Path:
    """The file that holds a shard's SHA-256, in the form that ``sha256sum --check`` reads."""
    return path.with_name(path.name + ".sha256")


def digest_text(path: Path, sha256: str) -> str:
    """What :func:`digest_path` holds."""
    return f"{sha256}  {path.name}\n"


def write(path: Path, content: Content, metadata: Mapping[str, str], *, sync_name: bool = True) -> str:
    """Writes one record batch, atomically; equal input gives equal bytes. Returns their SHA-256.

    Raises :class:`LimbeckError` where the disk is full or the folder cannot be written.
    """
    # Serialised in memory first: a shard is small, and the file system's own errors then reach atomic_path.
    written = _serialised(content, metadata)
    with atomic_path(path, sync_name=sync_name) as temporary:
        temporary.write_bytes(written)
    return hashlib.sha256(written).hexdigest()


def write_with_digest(path: Path, content: Content, metadata: Mapping[str, str]) -> None:
    """The same, then the digest file: a shard without one counts as unwritten."""
    # both names are synced with the digest's, which lies in the same folder: of a digest alone a shard is not whole
    sha256 = write(path, content, metadata, sync_name=False)
    write_text(digest_path(path), digest_text(path, sha256))


def holds(path: Path, content: Content, metadata: Mapping[str, str]) -> bool:
    """Whether the file has the very bytes that :func:`write` would give it."""
    # not the memoryview itself, whose signed bytes equal no bytes above 127
    return path.read_bytes() == bytes(_serialised(content, metadata))


def is_whole(path: Path, metadata: Mapping[str, str]) -> bool:
    """Whether the shard is there, is the one it should be, and has the bytes that its digest file names."""
    try:
        if digest_path(path).read_text(encoding="utf-8") != digest_text(path, sha256_file(path)):
            return False
        read(path, (), metadata=metadata)
    except (OSError, UnicodeDecodeError, BadInput):
        return False
    return True


def map_file(path: Path) -> np.ndarray:
    """A :data:`MapFile` that lasts as long as what points into it."""
    size = path.stat().st_size
    if size == 0:
        raise ValueError("it is empty")
    # torch's mapping keeps no file descriptor, and a large store has more shards than a process may open.
    return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).numpy()


def read(
    path: Path,
    layout: Sequence[Column],
    rows: int | None = None,
    metadata: Mapping[str, str] | None = None,
    ragged: bool = False,
    map_file: MapFile = map_file,
) -> Content:
    """NumPy views into the memory-mapped file, read-only, without a copy.

    Raises :class:`BadInput` naming the file where it is missing, damaged, or not of this layout, these rows,
    this metadata.
    """
    try:
        found, batch = _parsed(map_file(path))
        for key, value in (metadata or {}).items():
            if found.get(key) != value:
                raise damaged(path, f"it says {key} {found.get(key)}, where {value} belongs")
        if rows is not None and batch.num_rows != rows:
            raise damaged(path, f"it holds {batch.num_rows} rows, where {rows} belong")
        columns, offsets = {}, None
        for column in layout:
            values, starts = _values(path, batch, column, ragged)
            if offsets is not None and starts is not None and not np.array_equal(offsets, starts):
                raise damaged(path, f"its column '{column.name}' has sequences of other lengths than the one before")
            columns[column.name], offsets = values, starts
    except (OSError, RuntimeError, OverflowError, ValueError, pa.ArrowException) as error:
        raise damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    return Content(columns, offsets)


def _serialised(content: Content, metadata: Mapping[str, str]) -> memoryview:
    arrays = [_array(values, content.offsets) for values in content.columns.values()]
    fields = [pa.field(name, array.type, nullable=False) for name, array in zip(content.columns, arrays)]
    schema = pa.schema(fields, dict(metadata))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    # Arrow's buffers are of signed bytes, which never equal unsigned ones above 127.
    return memoryview(sink.getvalue()).cast("B")


def _array(values: np.ndarray, offsets: np.ndarray | None) -> pa.Array:
    array: Any = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.ndim > 1:
        array = pa.FixedSizeListArray.from_arrays(array, values.shape[1])
    if offsets is not None:
        array = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), array)
    return array


def _values(path: Path, batch: pa.RecordBatch, column: Column, ragged: bool) -> tuple[np.ndarray, np.ndarray | None]:
    expected = pa.from_numpy_dtype(column.dtype)
    expected = expected if column.width is None else pa.list_(expected, column.width)
    expected = pa.large_list(expected) if ragged else expected
    there = batch.schema.get_field_index(column.name)
    if there < 0 or batch.schema.field(there).type != expected or batch.column(there).null_count:
        raise damaged(path, f"it holds no column '{column.name}' of type {expected}")
    array, offsets = batch.column(there), None
    if ragged:
        offsets = array.offsets.to_numpy(zero_copy_only=True)
        array = array.values
        if offsets[0] != 0 or offsets[-1] != len(array) or (offsets[1:] < offsets[:-1]).any():
            raise damaged(path, f"the offsets of its column '{column.name}' do not fit")
    values = array if column.width is None else array.flatten()
    rows = len(values) // (column.width or 1)
    return values.to_numpy(zero_copy_only=True).reshape(column.shape(rows)), offsets


def _parsed(data: np.ndarray) -> tuple[dict[str, str], pa.RecordBatch]:
    reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(data)))
    if reader.num_record_batches != 1:
        raise ValueError(f"it holds {reader.num_record_batches} record batches, where one belongs")
    batch = reader.get_batch(0)
    batch.validate()
    return {k.decode(): v.decode() for k, v in (reader.schema.metadata or {}).items()}, batch


def damaged(path: Path, what: str) -> BadInput:
    """What to raise of a file that is not what it should be."""
    return BadInput(
        f"{path} cannot be read as soft targets: {what}. Delete that file and cast again: only what is "
        "missing is asked again."
    )
