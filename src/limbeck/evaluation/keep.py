"""What is kept of a model's answers to a split, put together batch by batch.

Shapes: N examples, B batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..interfaces import IGNORED

Kept = Mapping[str, Tensor]
"""What is kept of a model's answers to a split: tensors (N, ...), the same example in the same row of each."""

Parts = Iterable[tuple[Tensor, Any]]
"""(index_B, answer) of each batch: places in the split, in whatever order, and the answer to them, on the CPU."""


def keep(
    by: ModuleType, parts: Parts, labels: Tensor, teacher: Parts | None = None, names: Sequence[str] = ()
) -> dict[str, Tensor]:
    """What a kind of answer keeps of a split, in the split's order; ``labels`` (N, ...) are on the CPU.

    ``teacher`` answers the same batches in the same order; it is wanted of kinds that do not keep answers whole. ``names`` are
    those of the answers (:class:`limbeck.interfaces.Answers`).
    """
    places, found = [], []
    for index_B, answer, theirs in _together(parts, teacher):
        places.append(index_B.cpu())
        found.append(by.kept(answer, labels[places[-1]], theirs, names))
    back_N = torch.argsort(torch.cat(places))
    return {name: _of_one_width([one[name] for one in found])[back_N] for name in found[0]}


def _of_one_width(parts: Sequence[Tensor]) -> Tensor:
    """The parts one after another; symbols of which one batch holds more than another, with -100 beyond them."""
    if parts[0].ndim == 2 and not parts[0].is_floating_point() and len({part.shape[1] for part in parts}) > 1:
        widest = max(part.shape[1] for part in parts)
        parts = [F.pad(part, (0, widest - part.shape[1]), value=IGNORED) for part in parts]
    return torch.cat(list(parts))


def _together(parts: Parts, teacher: Parts | None) -> Iterator[tuple[Tensor, Any, Any]]:
    if teacher is None:
        for index_B, answer in parts:
            yield index_B, answer, None
        return
    for (index_B, answer), (other_B, theirs) in zip(parts, teacher, strict=True):
        if not torch.equal(index_B, other_B):
            raise ValueError("student and teacher must answer the same batches in the same order")
        yield index_B, answer, theirs


def whole(
    answer: Tensor, labels: Tensor, teacher: Tensor | None = None, names: Sequence[str] = ()
) -> dict[str, Tensor]:
    """What is kept where answers are kept as they are: ``answer``, ``labels`` and, where there is one, the ``teacher``'s."""
    found = {"answer": answer, "labels": labels}
    return found if teacher is None else {**found, "teacher": teacher}


def largest_difference(a: Tensor, b: Tensor) -> float:
    """max |a - b|; infinity where one of them is no number, which max() would lose."""
    worst = float((a - b).abs().max())
    return math.inf if math.isnan(worst) else worst
