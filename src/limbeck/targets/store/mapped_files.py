"""Reading any answers of a store from its memory-mapped shards.

All shards are mapped side by side (:mod:`.span`), so that one array has a row at every place where a row may begin, and a
batch is one look-up in it, however many shards it comes from. Shapes: B answers asked for, P rows (as many, or all their
positions where ragged), K shards, N examples.
"""

from __future__ import annotations

import bisect
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import BadInput
from ..codecs import Column
from . import shard
from .address_span import Span, begin_to_read, whole_pages
from .index import Index
from .manifest import shard_metadata
from .segment import Place, places

OPEN_AT_MOST = 16_384  # mapped shards; Linux grants a process 65,530 mappings

# One for all stores. A process is forked only while nobody is mapping, or its child would wait for ever.
_MAPPING = threading.Lock()
os.register_at_fork(before=_MAPPING.acquire, after_in_parent=_MAPPING.release, after_in_child=_MAPPING.release)


class Answers(NamedTuple):
    """Encoded answers: columns (P, width) or (P,); where ragged, answer i has length_B[i] rows from start_B[i]."""

    columns: dict[str, Tensor]
    start_B: Tensor | None = None
    length_B: Tensor | None = None


def content_of(answers: Answers) -> shard.Content:
    """Answers one after another, as a shard holds them."""
    columns = {name: column.numpy() for name, column in answers.columns.items()}
    if answers.length_B is None:
        return shard.Content(columns)
    return shard.Content(columns, np.append(0, np.cumsum(answers.length_B.numpy())))


class Piece(NamedTuple):
    """Which answers of a shard answer which of those asked for."""

    content: shard.Content
    row_G: np.ndarray
    asked_G: np.ndarray


class _Opened:
    """Shards that are mapped.

    ``first_K`` says where a shard's columns begin, counted in values of the column, and less what the shards before it in
    its segment and view hold of an even store: an example is sought by its place in the segment.
    """

    def __init__(self, shards: int, layout: Sequence[Column], nbytes: int) -> None:
        widest = max(column.dtype.itemsize * (column.width or 1) for column in layout)
        self.span = Span(whole_pages(nbytes) + shards * whole_pages(1) + widest)
        self.there_K = np.zeros(shards, bool)
        self.left = shards  # not yet there
        self.first_K = {column.name: np.zeros(shards, np.int64) for column in layout}
        self.offsets_K = np.zeros(shards, np.int64)  # likewise, where the offsets of a ragged shard begin
        self.offsets = self.span.bytes.view(np.int64)
        self.rows = {column.name: _rows_anywhere(self.span.bytes, column) for column in layout}


def _rows_anywhere(data: np.ndarray, column: Column) -> Tensor:
    """A row of the column from every value on: rows overlap. (values, width), or (values,)."""
    values = torch.from_numpy(data.view(column.dtype))
    if column.width is None:
        return values
    return values.as_strided((len(values) - column.width + 1, column.width), (1, 1))


class Mapped:
    """The shards of a store, each mapped when it is first asked for, by whichever thread; ``nbytes`` of them all."""

    def __init__(
        self, root: Path, plan: Mapping[str, Any], index: Index, layout: Sequence[Column], nbytes: int
    ) -> None:
        self._root, self._plan, self._index, self._layout, self._nbytes = root, plan, index, layout, nbytes
        self._size: int = plan["block_size"]
        self._segments = index.segments
        self._blocks = [-(-len(segment.ids) // self._size) for segment in self._segments]
        shards = [blocks * len(segment.views) for blocks, segment in zip(self._blocks, self._segments)]
        self._end = np.cumsum(shards).tolist()  # of each segment's shards, which are numbered view by view
        self._opened: _Opened | None = None

    def __reduce__(self) -> tuple[Any, ...]:  # a copy, or another process, maps for itself
        return Mapped, (self._root, self._plan, self._index, self._layout, self._nbytes)

    def read(self, place_B: np.ndarray, view_B: np.ndarray, pinned: bool = False) -> Answers:
        """The answers to these (place among the index's ids, view), all of which are there.

        ``pinned``: in memory that a GPU reads without a copy.
        """
        if len(place_B) > OPEN_AT_MOST:  # which may be in as many shards
            edges = range(OPEN_AT_MOST, len(place_B), OPEN_AT_MOST)
            return _joined(list(map(self.read, np.split(place_B, edges), np.split(view_B, edges))), pinned)
        shard_B, at_B = self._find(place_B, view_B)
        opened = self._with(shard_B)
        start_B, length_B = None, None
        shard_P, row_P = shard_B, at_B
        if self._plan["ragged"]:
            first_B, length_B = self._lengths(opened, shard_B, at_B)
            shard_P, row_P = np.repeat(shard_B, length_B), runs(first_B, length_B)
            start_B = np.cumsum(length_B) - length_B
        columns = {}
        for column in self._layout:
            value_P = row_P * (column.width or 1)
            value_P += opened.first_K[column.name].take(shard_P)
            rows = opened.rows[column.name]
            out = torch.empty(column.shape(len(value_P)), dtype=rows.dtype, pin_memory=True) if pinned else None
            columns[column.name] = torch.index_select(rows, 0, torch.from_numpy(value_P), out=out)
        if start_B is None or length_B is None:
            return Answers(columns)
        return Answers(columns, torch.from_numpy(start_B), torch.from_numpy(length_B))

    def lengths(self, place_B: np.ndarray, view_B: np.ndarray) -> np.ndarray:
        """How many rows each answer has (B,); of a ragged store. Asked as :meth:`read` is."""
        if len(place_B) > OPEN_AT_MOST:
            edges = range(OPEN_AT_MOST, len(place_B), OPEN_AT_MOST)
            return np.concatenate(list(map(self.lengths, np.split(place_B, edges), np.split(view_B, edges))))
        shard_B, at_B = self._find(place_B, view_B)
        return self._lengths(self._with(shard_B), shard_B, at_B)[1]

    def read_all(self) -> Answers:
        """All answers, in the order of the index."""
        pieces = []
        for place in places(self._segments, self._size):
            ids = place.ids(self._size)
            number = self._index.numbers(ids, np.full(len(ids), place.view))
            assert number is not None
            content = self._checked(place, shard.map_file)
            pieces.append(Piece(content, np.arange(len(ids)), number))
        return collect(pieces, self._index.answers, self._layout, self._plan["ragged"])

    def _find(self, place_B: np.ndarray, view_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The shard of each answer, and its example's place in the shard's segment (B,)."""
        if len(self._segments) == 1:
            shard_B = place_B // self._size
            shard_B += view_B * self._blocks[0]
            return shard_B, place_B
        shard_B, at_B = np.empty_like(place_B), np.empty_like(place_B)
        for number, (segment, blocks, end) in enumerate(zip(self._segments, self._blocks, self._end)):
            at_here_B = self._index.in_segment(number, place_B)
            here_B = (at_here_B >= 0) & (view_B >= segment.views.start) & (view_B < segment.views.stop)
            np.copyto(at_B, at_here_B, where=here_B)
            first = end - blocks * segment.views.stop
            np.copyto(shard_B, at_here_B // self._size + view_B * blocks + first, where=here_B)
        return shard_B, at_B

    @staticmethod
    def _lengths(opened: _Opened, shard_B: np.ndarray, at_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The first row of each answer in its shard, and how many it has."""
        value_B = opened.offsets_K.take(shard_B)
        value_B += at_B
        first_B = opened.offsets[value_B]
        return first_B, opened.offsets[value_B + 1] - first_B

    def _with(self, shard_B: np.ndarray) -> _Opened:
        """What is opened, with these shards, at most ``OPEN_AT_MOST``; to be kept while it is read."""
        opened = self._opened
        if opened is not None and (not opened.left or opened.there_K.take(shard_B).all()):
            return opened
        with _MAPPING:
            opened, wanted = self._opened, np.unique(shard_B)
            if opened is None or len(opened.there_K) - opened.left + len(wanted) > OPEN_AT_MOST:
                # the one before is given back when nobody reads in it any more
                try:
                    opened = self._opened = _Opened(self._end[-1], self._layout, self._nbytes)
                except OSError as error:
                    raise BadInput(
                        f"{self._root} holds {self._nbytes:,} bytes of soft targets, and the system lets this process map no "
                        f"more: {error.strerror}. Raise its limit of address space (ulimit -v)."
                    ) from error
            new = [self._place(number) for number in wanted[~opened.there_K[wanted]].tolist()]
            for _, place in new:  # the disk serves many requests sooner than one after another
                begin_to_read(self._root / place.name)
            for number, place in new:
                self._open(opened, number, place)
        return opened

    def _place(self, number: int) -> tuple[int, Place]:
        """A shard's number and the shard."""
        segment = bisect.bisect(self._end, number)
        blocks, views = self._blocks[segment], self._segments[segment].views
        view, block = divmod(number - self._end[segment] + blocks * views.stop, blocks)
        return number, Place(self._segments[segment], view, block)

    def _open(self, opened: _Opened, number: int, place: Place) -> None:
        span = opened.span
        before, skipped = span.used, place.block * self._size
        try:
            content = self._checked(place, span.map)
            if content.offsets is not None:
                opened.offsets_K[number] = self._value(place, content.offsets, span) - skipped
                skipped = 0
            for column in self._layout:
                first = self._value(place, content.columns[column.name], span)
                opened.first_K[column.name][number] = first - skipped * (column.width or 1)
        except BadInput:
            span.used = before  # the file may be asked for again once it is repaired
            raise
        opened.there_K[number] = True  # last: other threads do not wait when they see it
        opened.left -= 1

    def _checked(self, place: Place, map_file: shard.MapFile) -> shard.Content:
        """One shard. Raises :class:`BadInput` where it is not what it should be."""
        about = shard_metadata(self._plan, place.segment.digest, place.view, place.block)
        rows = len(place.ids(self._size))
        return shard.read(self._root / place.name, self._layout, rows, about, self._plan["ragged"], map_file)

    def _value(self, place: Place, values: np.ndarray, span: Span) -> int:
        """Which of the span's values of this type is the first one here. Raises :class:`BadInput` where none is."""
        value, beside = divmod(span.offset(values), values.itemsize)
        if values.size and (beside or not 0 <= value <= span.nbytes // values.itemsize - values.size):
            raise shard.damaged(self._root / place.name, "its values do not lie in it as they would lie in memory")
        return value if values.size else 0


def _joined(parts: Sequence[Answers], pinned: bool) -> Answers:
    columns = {name: torch.cat([part.columns[name] for part in parts]) for name in parts[0].columns}
    columns = {name: column.pin_memory() for name, column in columns.items()} if pinned else columns
    lengths = [part.length_B for part in parts if part.length_B is not None]
    if not lengths:
        return Answers(columns)
    length_B = torch.cat(lengths)
    return Answers(columns, length_B.cumsum(0) - length_B, length_B)


def collect(pieces: Sequence[Piece], answers: int, layout: Sequence[Column], ragged: bool) -> Answers:
    """So many answers from the rows of some shards."""
    rows, start_B, length_B = answers, None, None
    if ragged:
        length_B = _lengths(pieces, answers)
        start_B = np.cumsum(length_B) - length_B
        rows = int(length_B.sum())
    columns = {}
    for column in layout:
        kind = torch.from_numpy(np.empty(0, column.dtype)).dtype
        columns[column.name] = torch.empty(column.shape(rows), dtype=kind)
    for content, row_G, asked_G in pieces:
        if start_B is not None and length_B is not None:
            assert content.offsets is not None
            length_G = length_B[asked_G]
            row_G, asked_G = runs(content.offsets[row_G], length_G), runs(start_B[asked_G], length_G)
        for name, out in columns.items():
            out.numpy()[asked_G] = content.columns[name][row_G]
    if start_B is None or length_B is None:
        return Answers(columns)
    return Answers(columns, torch.from_numpy(start_B), torch.from_numpy(length_B))


def _lengths(pieces: Iterable[Piece], answers: int) -> np.ndarray:
    length_B = np.empty(answers, np.int64)
    for content, row_G, asked_G in pieces:
        assert content.offsets is not None
        length_B[asked_G] = content.offsets[row_G + 1] - content.offsets[row_G]
    return length_B


def runs(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """start[0], start[0] + 1, ... for length[0] numbers, then the same from start[1], ..."""
    end = np.cumsum(length)
    return np.arange(end[-1] if len(end) else 0) + np.repeat(start - end + length, length)
