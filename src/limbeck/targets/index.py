"""Where the answer to (example, view) stands among all answers of a store.

Answers are numbered example by example, in the order of the ids, each with its views in order. B batch, N examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .segment import Segment, all_ids


class Index:
    """The numbers of a store's answers."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.ids = all_ids(segments)  # (N,) ascending
        self.count_N = np.zeros(len(self.ids), np.int64)  # views of each example
        for segment in segments:
            at = np.searchsorted(self.ids, segment.ids)
            self.count_N[at] = np.maximum(self.count_N[at], segment.views.stop)
        self.views = int(self.count_N.max())  # the most that an example has
        self.answers = int(self.count_N.sum())
        # An id beyond the last is sought at N; what stands there is another id than that one.
        tables = {"ids": self.ids, "padded": np.append(self.ids, self.ids[-1])}
        self._uniform = bool((self.count_N == self.views).all())  # which spares two look-ups at every step
        if not self._uniform:
            tables |= {"count": np.append(self.count_N, 0), "first": np.append(0, np.cumsum(self.count_N))}
        self._host = {name: torch.from_numpy(table) for name, table in tables.items()}
        self._there = self._host

    def to(self, device: torch.device) -> None:
        """Makes ready for the look-ups on that device."""
        self._there = {name: table.to(device) for name, table in self._host.items()}

    def numbers(self, ids_B: Tensor, view_B: Tensor) -> Tensor | None:
        """The answers' numbers (B,), int64, all on the CPU; None where one of them is not there.

        With as few operations as can be, since every training step of the smallest models waits for it.
        """
        at_B = torch.searchsorted(self._host["ids"], ids_B.contiguous())
        if not torch.equal(self._host["padded"].index_select(0, at_B), ids_B):
            return None
        if self._uniform:
            there = torch.equal(view_B.clamp(0, self.views - 1), view_B)
            return torch.add(view_B, at_B, alpha=self.views) if there else None
        there = bool(((view_B >= 0) & (view_B < self._host["count"][at_B])).all())
        return view_B + self._host["first"][at_B] if there else None

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
