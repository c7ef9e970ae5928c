"""Reading any answers of a store from its memory-mapped shards.

Shapes: B answers asked for, P rows (as many, or all their positions where ragged).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import shard
from .codecs import Column
from .index import Index
from .manifest import shard_metadata
from .segment import Place, Segment, places

OPEN_AT_MOST = 16_384  # mapped shards; Linux grants a process 65,530 mappings


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


class Mapped:
    """The shards of a store."""

    def __init__(
        self, root: Path, plan: Mapping[str, Any], segments: Sequence[Segment], layout: Sequence[Column]
    ) -> None:
        self._root, self._plan, self._segments, self._layout = root, plan, segments, layout
        self._size: int = plan["block_size"]
        self._open: dict[str, shard.Content] = {}

    def read(self, ids_B: np.ndarray, view_B: np.ndarray, pinned: bool = False) -> Answers:
        """The answers to these (example, view), all of which are there. ``pinned``: in memory that a GPU reads."""
        pieces = list(self._pieces(ids_B, view_B))
        return collect(pieces, len(ids_B), self._layout, self._plan["ragged"], pinned)

    def read_all(self, index: Index) -> Answers:
        """All answers, in the order of the index."""
        pieces = []
        for place in places(self._segments, self._size):
            ids = place.ids(self._size)
            number = index.numbers(torch.from_numpy(ids), torch.full((len(ids),), place.view))
            assert number is not None
            pieces.append(Piece(self._shard(place), np.arange(len(ids)), number.numpy()))
        return collect(pieces, index.answers, self._layout, self._plan["ragged"])

    def lengths(self, ids_B: np.ndarray, view_B: np.ndarray) -> np.ndarray:
        """How many rows each answer has (B,); of a ragged store."""
        return _lengths(self._pieces(ids_B, view_B), len(ids_B))

    def _pieces(self, ids_B: np.ndarray, view_B: np.ndarray) -> Iterable[Piece]:
        for segment in self._segments:
            at_B = np.searchsorted(segment.ids, ids_B).clip(max=len(segment.ids) - 1)
            here_B = view_B >= segment.views.start
            here_B &= view_B < segment.views.stop
            here_B &= segment.ids[at_B] == ids_B
            asked_H = np.flatnonzero(here_B)
            block_H, row_H = np.divmod(at_B[asked_H], self._size)
            order_H = np.lexsort((block_H, view_B[asked_H]))
            key_H2 = np.stack([view_B[asked_H], block_H], 1)[order_H]
            edges = np.flatnonzero((key_H2[1:] != key_H2[:-1]).any(1)) + 1
            for group in np.split(order_H, edges) if len(order_H) else []:
                asked_G = asked_H[group]
                place = Place(segment, int(view_B[asked_G[0]]), int(block_H[group[0]]))
                yield Piece(self._shard(place), row_H[group], asked_G)

    def _shard(self, place: Place) -> shard.Content:
        """One shard, mapped when first asked for."""
        content = self._open.get(place.name)
        if content is None:
            if len(self._open) >= OPEN_AT_MOST:
                self._open.clear()
            about = shard_metadata(self._plan, place.segment.digest, place.view, place.block)
            rows = len(place.ids(self._size))
            content = shard.read(self._root / place.name, self._layout, rows, about, self._plan["ragged"])
            self._open[place.name] = content
        return content


def collect(
    pieces: Sequence[Piece], answers: int, layout: Sequence[Column], ragged: bool, pinned: bool = False
) -> Answers:
    """So many answers from the rows of some shards. ``pinned``: in memory that a GPU reads without a copy."""
    rows, start_B, length_B = answers, None, None
    if ragged:
        length_B = _lengths(pieces, answers)
        start_B = np.cumsum(length_B) - length_B
        rows = int(length_B.sum())
    columns = {}
    for column in layout:
        kind = torch.from_numpy(np.empty(0, column.dtype)).dtype
        columns[column.name] = torch.empty(column.shape(rows), dtype=kind, pin_memory=pinned)
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
