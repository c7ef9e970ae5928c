"""One file of a store: an uncompressed Arrow record batch, its digest beside it, read memory-mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from ..errors import BadInput
from ..files import atomic_path, sha256_file, write_text
from .codecs import Column


def shard_name(view: int, block: int) -> str:
    """A shard's path inside its store."""
    return f"view-{view:04d}/block-{block:05d}.arrow"


def digest_path(path: Path) -> Path:
    """The file that holds a shard's SHA-256, in the form that ``sha256sum --check`` reads."""
    return path.with_name(path.name + ".sha256")


def digest_text(path: Path, sha256: str) -> str:
    """What :func:`digest_path` holds."""
    return f"{sha256}  {path.name}\n"


def write(path: Path, columns: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes columns (rows,) or (rows, width) as one record batch, atomically; equal input gives equal bytes.

    Raises :class:`LimbeckError` where the disk is full or the folder cannot be written.
    """
    arrays: list[pa.Array] = []
    for values in columns.values():
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        arrays.append(flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1]))
    schema = pa.schema(
        [pa.field(name, array.type, nullable=False) for name, array in zip(columns, arrays)], dict(metadata)
    )
    # Serialised in memory first: a shard is small, and the file system's own errors then reach atomic_path.
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    with atomic_path(path) as temporary:
        temporary.write_bytes(memoryview(sink.getvalue()))


def write_with_digest(path: Path, columns: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """:func:`write`, then the digest file: a shard without one counts as unwritten."""
    write(path, columns, metadata)
    write_text(digest_path(path), digest_text(path, sha256_file(path)))


def is_whole(path: Path, metadata: Mapping[str, str]) -> bool:
    """Whether the shard is there, is the one it should be, and has the bytes that its digest file names."""
    try:
        if digest_path(path).read_text(encoding="utf-8") != digest_text(path, sha256_file(path)):
            return False
        read(path, (), metadata=metadata)
    except (OSError, UnicodeDecodeError, BadInput):
        return False
    return True


def read(
    path: Path, layout: Sequence[Column], rows: int | None = None, metadata: Mapping[str, str] | None = None
) -> dict[str, np.ndarray]:
    """The columns as NumPy views of the memory-mapped file: (rows, width), or (rows,) where width is None.

    Raises :class:`BadInput` where the file is missing, is not what was written, or is another shard.
    """
    try:
        found, batch = _map(path)
    except (OSError, RuntimeError, ValueError, pa.ArrowException) as error:
        raise _damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    for key, value in (metadata or {}).items():
        if found.get(key) != value:
            raise _damaged(path, f"it says {key} {found.get(key)}, where {value} belongs")
    if rows is not None and batch.num_rows != rows:
        raise _damaged(path, f"it holds {batch.num_rows} rows, where {rows} belong")
    columns: dict[str, np.ndarray] = {}
    for column in layout:
        value_type = pa.from_numpy_dtype(column.dtype)
        expected = value_type if column.width is None else pa.list_(value_type, column.width)
        there = batch.schema.get_field_index(column.name)
        if there < 0 or batch.schema.field(there).type != expected or batch.column(there).null_count:
            raise _damaged(path, f"it holds no column '{column.name}' of type {expected}")
        array = batch.column(there)
        values = array if column.width is None else array.flatten()
        columns[column.name] = values.to_numpy(zero_copy_only=True).reshape(column.shape(batch.num_rows))
    return columns


def _map(path: Path) -> tuple[dict[str, str], pa.RecordBatch]:
    size = path.stat().st_size
    if size == 0:
        raise ValueError("it is empty")
    # torch's mapping keeps no file descriptor, and a large store has more shards than a process may open.
    mapped = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
    reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped.numpy())))
    if reader.num_record_batches != 1:
        raise ValueError(f"it holds {reader.num_record_batches} record batches, where one belongs")
    batch = reader.get_batch(0)
    batch.validate()
    return {k.decode(): v.decode() for k, v in (reader.schema.metadata or {}).items()}, batch


def _damaged(path: Path, what: str) -> BadInput:
    return BadInput(
        f"{path} cannot be read as soft targets: {what}. Delete that file and cast again: only what is "
        "missing is asked again."
    )


def sha256_ids(ids_N: np.ndarray) -> str:
    """The digest of sorted example ids, as 64-bit little-endian integers."""
    return hashlib.sha256(np.ascontiguousarray(ids_N, dtype="<i8").tobytes()).hexdigest()
