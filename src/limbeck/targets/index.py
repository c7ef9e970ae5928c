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
    """The numbers of a store's answers, for arrays of the host and for tensors of a device."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.ids = all_ids(segments)  # (N,) ascending
        count_N = np.zeros(len(self.ids), np.int64)
        for segment in segments:
            at = np.searchsorted(self.ids, segment.ids)
            count_N[at] = np.maximum(count_N[at], segment.views.stop)
        self.views = int(count_N.max())  # the most that an example has
        self.answers = int(count_N.sum())
        # None where all examples have equally many, which spares two look-ups at every step
        self._count_N = None if (count_N == self.views).all() else np.append(count_N, 0)
        self._first_N = None if self._count_N is None else np.append(0, np.cumsum(count_N))
        # An id beyond the last is sought at N; what stands there is another id than that one.
        self._padded_N = np.append(self.ids, self.ids[-1])
        self._there: dict[str, Tensor] = {}

    def to(self, device: torch.device) -> None:
        """Makes ready for :meth:`numbers_on` that device."""
        arrays = {"ids": self.ids, "padded": self._padded_N, "count": self._count_N, "first": self._first_N}
        self._there = {name: torch.from_numpy(a).to(device) for name, a in arrays.items() if a is not None}

    def positions(self, ids_B: np.ndarray) -> np.ndarray:
        """Where each id stands among :attr:`ids` (B,), or would stand if it were there."""
        return np.searchsorted(self.ids, ids_B)

    def numbers(self, ids_B: np.ndarray, view_B: np.ndarray) -> np.ndarray | None:
        """The answers' numbers (B,), int64; None where one of them is not there."""
        at_B = self.positions(ids_B)
        found_B = self._padded_N[at_B] == ids_B
        count = self.views if self._count_N is None else self._count_N[at_B].view(np.uint64)
        # a negative view is a large one here
        if not (found_B & (view_B.view(np.uint64) < count)).all():
            return None
        return view_B + (at_B * self.views if self._first_N is None else self._first_N[at_B])

    def numbers_on(self, ids_B: Tensor, view_B: Tensor) -> tuple[Tensor, Tensor]:
        """The answers' numbers (B,), some number where one is not there, and whether it is (B,); no waiting."""
        at_B, found_B = self.positions_on(ids_B)
        first, count = at_B * self.views, self.views
        if self._count_N is not None:
            first, count = self._there["first"][at_B], self._there["count"][at_B]
        number_B = (first + view_B).clamp_(0, self.answers - 1)
        return number_B, found_B & (view_B >= 0) & (view_B < count)

    def positions_on(self, ids_B: Tensor) -> tuple[Tensor, Tensor]:
        """Where each id stands (B,), at most N, and whether it is there (B,), on the device of :meth:`to`."""
        at_B = torch.searchsorted(self._there["ids"], ids_B.contiguous())
        return at_B, self._there["padded"][at_B] == ids_B

    def view_counts(self, ids_B: Tensor) -> Tensor | int:
        """How many views each example has (B,), or the one number for all, on the device of :meth:`to`."""
        return self.views if self._count_N is None else self._there["count"][self.positions_on(ids_B)[0]]

    def view_counts_of_all(self) -> np.ndarray:
        """How many views each example has, in the order of :attr:`ids` (N,)."""
        return np.full(len(self.ids), self.views) if self._count_N is None else self._count_N[:-1]
