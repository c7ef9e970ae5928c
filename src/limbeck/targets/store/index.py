"""Where the answer to (example, view) stands among all answers of a store.

Answers are numbered example by example, in the order of the ids, each with its views in order. B batch, N examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .segment import Segment, all_ids
from .sorted_ids import Lookup


class Index:
    """The numbers of a store's answers."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = segments
        self.ids = all_ids(segments)  # (N,) ascending
        self.count_N = np.zeros(len(self.ids), np.int64)  # views of each example
        self._in_segment_N: list[np.ndarray | None] = []  # of each segment; None: it has every example
        for segment in segments:
            at = np.searchsorted(self.ids, segment.ids)
            self.count_N[at] = np.maximum(self.count_N[at], segment.views.stop)
            in_segment_N = None
            if len(segment.ids) < len(self.ids):
                in_segment_N = np.full(len(self.ids), -1)
                in_segment_N[at] = np.arange(len(at))
            self._in_segment_N.append(in_segment_N)
        self.views = int(self.count_N.max())  # the most that an example has
        self.answers = int(self.count_N.sum())
        self._lookup = Lookup(self.ids)
        # An id beyond the last is sought at N; what stands there is another id than that one.
        tables = {"ids": self.ids, "padded": np.append(self.ids, self.ids[-1])}
        self._uniform = bool((self.count_N == self.views).all())  # which spares two look-ups at every step
        self._first_N = np.append(0, np.cumsum(self.count_N))
        if not self._uniform:
            tables |= {"count": np.append(self.count_N, 0), "first": self._first_N}
        self._host = {name: torch.from_numpy(table) for name, table in tables.items()}
        self._there = self._host

    def to(self, device: torch.device) -> None:
        """Makes ready for the look-ups on that device."""
        self._there = {name: table.to(device) for name, table in self._host.items()}

    def places(self, ids_B: np.ndarray, view_B: np.ndarray) -> np.ndarray | None:
        """Where each stands among :attr:`ids` (B,), both int64; None where an (id, view) is not there.

        With as few operations as can be, since every training step of the smallest models waits for it.
        """
        place_B = self._lookup.places(ids_B)
        if place_B is None:
            return None
        if self._uniform:
            # as unsigned numbers, negative ones are the largest
            return place_B if np.maximum.reduce(view_B.view(np.uint64), initial=0) < self.views else None
        return place_B if ((view_B >= 0) & (view_B < self.count_N.take(place_B))).all() else None

    def in_segment(self, segment: int, place_B: np.ndarray) -> np.ndarray:
        """Where the examples at these places stand among those of a segment (B,); -1 where they are not of it."""
        table_N = self._in_segment_N[segment]
        return place_B if table_N is None else table_N.take(place_B)

    def numbers(self, ids_B: np.ndarray, view_B: np.ndarray) -> np.ndarray | None:
        """The answers' numbers (B,), int64; as :meth:`places`."""
        place_B = self.places(ids_B, view_B)
        if place_B is None:
            return None
        first_B = place_B * self.views if self._uniform else self._first_N.take(place_B)
        first_B += view_B
        return first_B

    def numbers_on(self, ids_B: Tensor, view_B: Tensor) -> tuple[Tensor, Tensor]:
        """The answers' numbers (B,), some number where one is not there, and whether it is (B,); never waits."""
        at_B, found_B = self.positions_on(ids_B)
        first, count = at_B * self.views, self.views
        if not self._uniform:
            first, count = self._there["first"][at_B], self._there["count"][at_B]
        number_B = (first + view_B).clamp_(0, self.answers - 1)
        return number_B, found_B & (view_B >= 0) & (view_B < count)

    def positions_on(self, ids_B: Tensor) -> tuple[Tensor, Tensor]:
        """Where each id stands among :attr:`ids` (B,), at most N, and whether it is there (B,)."""
        at_B = torch.searchsorted(self._there["ids"], ids_B.contiguous())
        return at_B, self._there["padded"][at_B] == ids_B

    def view_counts(self, ids_B: Tensor) -> Tensor | int:
        """How many views each example has (B,), or the one number for all."""
        return self.views if self._uniform else self._there["count"][self.positions_on(ids_B)[0]]
