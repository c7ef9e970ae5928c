"""Reading answers from Parquet, row group by row group, whoever wrote it; what is wrong is named by file, row and column.

Rows are counted from 0 within their file. Shapes: R rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import BadInput
from ...files import sha256_file
from ..codecs import Column
from .export import SUFFIX

_VALUES_AT_ONCE = 1 << 24


class Index(NamedTuple):
    """Which rows there are, over all files in their order, and their rank when sorted by view, id and position."""

    rank: np.ndarray  # (R,) int64
    id: np.ndarray  # (R,) int64, by rank
    view: np.ndarray  # (R,) int64, by rank

    @property
    def views(self) -> int:
        """One more than the highest view."""
        return int(self.view[-1]) + 1

    def spans(self, ids: np.ndarray, view: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the rows of each id (ascending) at a view begin, by rank, and how many they are: both (N,) int64."""
        low, high = np.searchsorted(self.view, [view, view + 1])
        there = self.id[low:high]
        first, end = (np.searchsorted(there, ids, side=side) for side in ("left", "right"))
        return low + first, end - first


def parquet_files(source: Path) -> list[Path]:
    """The file, or those of the folder in the order of their names. Raises :class:`BadInput` where there is none."""
    if source.is_dir():
        files = sorted(source.glob(f"*{SUFFIX}"))
        if not files:
            raise BadInput(f"{source} holds no file that ends in {SUFFIX}.")
        return files
    if not source.is_file():
        raise BadInput(f"{source}: there is no such file; give a Parquet file, or a folder of them.")
    return [source]


def digest(files: Sequence[Path]) -> str:
    """SHA-256 of the file; of several, that of their digests."""
    digests = [sha256_file(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def opened(file: Path) -> pq.ParquetFile:
    """The file, its metadata read. Raises :class:`BadInput` where it is no Parquet."""
    try:
        return pq.ParquetFile(file)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}.") from error


def require_columns(files: Sequence[Path], names: Sequence[str]) -> None:
    """Raises :class:`BadInput` where a file lacks a column."""
    for file in files:
        there = opened(file).schema_arrow.names
        lacking = [name for name in names if name not in there]
        if lacking:
            raise BadInput(
                f"{file} has no column '{lacking[0]}', but {', '.join(there)}: soft targets are read from the columns "
                f"{', '.join(names)}."
            )


def index(files: Sequence[Path], ragged: bool = False) -> Index:
    """Reads ids and views alone, and positions where ``ragged``. Raises :class:`BadInput` where one is there twice."""
    id_R, view_R = numbers(files, "id"), numbers(files, "view", missing=0)
    position_R = numbers(files, "position") if ragged else np.zeros_like(id_R)
    if not len(id_R):
        raise BadInput(f"{files[0]} holds no rows.")
    if view_R.min() < 0:
        bad = int(view_R.argmin())
        raise BadInput(f"{_row(files, bad)}, column 'view': {view_R[bad]} was given; views are counted from 0.")
    keys = (position_R, id_R, view_R)
    order = np.lexsort(keys)
    found = Index(np.empty_like(order), id_R[order], view_R[order])
    found.rank[order] = np.arange(len(order))
    same = np.logical_and.reduce([np.diff(key[order]) == 0 for key in keys])
    if same.any():
        first, second = sorted(order[[same.argmax(), same.argmax() + 1]].tolist())
        position = f", position {position_R[second]}" if ragged else ""
        raise BadInput(
            f"{_row(files, second)}: example id {id_R[second]}, view {view_R[second]}{position}, stands in "
            f"{_row(files, first)} already; each must be there once."
        )
    return found


def require_every_view(source: Path, found: Index) -> np.ndarray:
    """The ids (N,), ascending. Raises :class:`BadInput` naming an (id, view) that has no row."""
    known = np.unique(found.id)
    # sorted and without repetition, the k-th row should be that of view k // N and the id at k % N
    rank = np.arange(len(found.rank))
    off = (found.view != rank // len(known)) | (found.id != known[rank % len(known)])
    if off.any() or len(rank) != found.views * len(known):
        missing = int(off.argmax()) if off.any() else len(rank)
        raise BadInput(
            f"{source} has no row for example id {known[missing % len(known)]}, view {missing // len(known)}: every example "
            f"needs an answer at each view from 0 to {found.views - 1}, the highest there is."
        )
    return known


def numbers(files: Sequence[Path], name: str, missing: int | None = None) -> np.ndarray:
    """A column of whole numbers over all files: (R,) int64; ``missing`` stands for the column of a file without it."""
    parts = []
    for file in files:
        parquet = opened(file)
        if missing is not None and name not in parquet.schema_arrow.names:
            parts.append(np.full(parquet.metadata.num_rows, missing))
        else:
            parts.append(_integers(parquet, file, name))
    return np.concatenate(parts)


def width_of(files: Sequence[Path], name: str, *, single: bool = False) -> int | None:
    """How many values the first row of a list column holds; None where it is no list, which ``single`` allows."""
    for file in files:
        for batch in opened(file).iter_batches(batch_size=1, columns=[name]):
            kind = batch.schema.field(name).type
            if not _is_list(kind):
                if single:
                    return None
                raise BadInput(f"{file}, column '{name}' is of type {kind}: it must be a list of numbers, one a class.")
            first = batch.column(0)[0].as_py()
            if not first:
                raise BadInput(f"{file}, row 0, column '{name}' is empty: it must hold one number for each class.")
            return len(first)
    raise BadInput(f"{files[0]} holds no rows.")


def rows(files: Sequence[Path], column: Column) -> Iterator[tuple[int, Path, int, np.ndarray]]:
    """A column in pieces: the number of the first row over all files, the file, the number there, and the values.

    Values are (rows, width), or (rows,) where the column's width is None, in the column's type.
    Raises :class:`BadInput` for nulls, lists of another length, and what does not fit the type.
    """
    at_once = int(np.clip(_VALUES_AT_ONCE // (column.width or 1), 1, 1 << 16))
    before = 0
    for file in files:
        within = 0
        try:
            for batch in opened(file).iter_batches(batch_size=at_once, columns=[column.name]):
                yield before + within, file, within, _values(batch.column(0), column, file, within)
                within += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise BadInput(f"{file} cannot be read: {str(error).splitlines()[0]}.") from error
        before += within


def _values(array: pa.Array, column: Column, file: Path, first: int) -> np.ndarray:
    name, width = column.name, column.width
    if array.null_count:
        row = first + int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise BadInput(f"{file}, row {row}, column '{name}' is null: every answer must be there.")
    flat = array
    if width is not None:
        if not _is_list(array.type):
            raise BadInput(f"{file}, column '{name}' is of type {array.type}: it must be a list of {width} numbers.")
        lengths = array.value_lengths().to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(lengths != width)
        if len(wrong):
            raise BadInput(
                f"{file}, row {first + int(wrong[0])}, column '{name}' holds {int(lengths[wrong[0]])} values, where the "
                f"first row holds {width}: all must have one for each class."
            )
        flat = array.flatten()
    if not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type)):
        raise BadInput(f"{file}, column '{name}' holds values of type {flat.type}: they must be numbers.")
    if flat.null_count:
        at = int(np.flatnonzero(flat.is_null().to_numpy(zero_copy_only=False))[0])
        row = first + at // (width or 1)
        raise BadInput(
            f"{file}, row {row}, column '{name}' holds a null at place {at % (width or 1)}: numbers alone will do."
        )
    given = flat.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore", invalid="ignore"):
        values = given.astype(column.dtype)
    if column.dtype.kind in "iu" and not np.array_equal(values, given):
        raise BadInput(f"{file}, column '{name}' holds values that do not fit {column.dtype}.")
    return values.reshape(column.shape(len(array)))


def _integers(parquet: pq.ParquetFile, file: Path, name: str) -> np.ndarray:
    kind = parquet.schema_arrow.field(name).type
    if not pa.types.is_integer(kind):
        raise BadInput(f"{file}, column '{name}' is of type {kind}: it must hold whole numbers (int64).")
    parts = [np.empty(0, np.int64)]
    row = 0
    try:
        for batch in parquet.iter_batches(batch_size=1 << 16, columns=[name]):
            column = batch.column(0)
            if column.null_count:
                row += int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
                raise BadInput(f"{file}, row {row}, column '{name}' is null: every row needs one.")
            parts.append(column.cast(pa.int64()).to_numpy())
            row += len(column)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{file}, column '{name}' cannot be read as int64: {str(error).splitlines()[0]}.") from error
    return np.concatenate(parts)


def _row(files: Sequence[Path], row: int) -> str:
    for file in files:
        there = opened(file).metadata.num_rows
        if row < there:
            return f"{file}, row {row}"
        row -= there
    raise IndexError(row)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
