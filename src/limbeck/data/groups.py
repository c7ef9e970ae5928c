"""Groups of examples that belong together: the frames of a track, the images of a patient, the texts of an author.

What a model learnt from one of a group it may know of the next, so that no group may be split between train, validation
and test. Shapes: N examples, B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..data.ids import text_ids


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of each example: ``codes`` (N,) int64 number the ``names``."""

    codes: Tensor
    names: tuple[str, ...]

    @staticmethod
    def of(values: Sequence[str]) -> Groups:
        """Those of N examples, whose groups are called so."""
        names, codes = np.unique(np.array(values, dtype=object), return_inverse=True)
        return Groups(torch.from_numpy(codes.astype(np.int64)), tuple(names.tolist()))

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, index: Tensor) -> Groups:
        """Those of the examples at positions ``index`` (B,) int64, or where it holds (N,) bool."""
        return Groups(self.codes[index], self.names)

    def to(self, device: torch.device | str) -> Groups:
        """The same, with the numbers on a device."""
        return Groups(self.codes.to(device), self.names)

    @property
    def hashes(self) -> Tensor:
        """A hash (N,) int64, at least 0, of the name of each example's group."""
        return text_ids(self.names, "groups")[self.codes]

    @property
    def present(self) -> dict[str, int]:
        """How many examples each group that has some holds, by name."""
        counts = torch.bincount(self.codes, minlength=len(self.names)).tolist()
        return {name: count for name, count in zip(self.names, counts, strict=True) if count}

    def shared_with(self, other: Groups) -> list[str]:
        """Names of the groups that have examples here and there, sorted."""
        return sorted(self.present.keys() & other.present.keys())


def taken(groups: Groups | None, index: Tensor) -> Groups | None:
    """``groups.take(index)``; None where there are none."""
    return None if groups is None else groups.take(index)
