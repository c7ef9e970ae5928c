"""A model's answers to a split, batch by batch, as what is kept of them.

Shapes: N examples, B batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

Parts = Iterable[tuple[Tensor, Any]]
"""(index_B, answer) of each batch: places in the split, in whatever order, and the answer to them, on the CPU."""


def keep(by: ModuleType, parts: Parts, labels: Tensor, teacher: Parts | None = None) -> dict[str, Tensor]:
    """What a kind of answer keeps of a split, in the split's order; ``labels`` (N, ...) are on the CPU.

    ``teacher`` answers the same batches in the same order; it is wanted of kinds that do not keep answers whole.
    """
    places, found = [], []
    for index_B, answer, theirs in _together(parts, teacher):
        places.append(index_B.cpu())
        found.append(by.kept(answer, labels[places[-1]], theirs))
    back_N = torch.argsort(torch.cat(places))
    return {name: torch.cat([one[name] for one in found])[back_N] for name in found[0]}


def _together(parts: Parts, teacher: Parts | None) -> Iterator[tuple[Tensor, Any, Any]]:
    if teacher is None:
        for index_B, answer in parts:
            yield index_B, answer, None
        return
    for (index_B, answer), (other_B, theirs) in zip(parts, teacher, strict=True):
        if not torch.equal(index_B, other_B):
            raise ValueError("student and teacher must answer the same batches in the same order")
        yield index_B, answer, theirs
