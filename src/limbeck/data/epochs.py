"""An epoch as batches: every example once, in steps and parts of equal size, at the views that it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..interfaces import Batch

ViewOf = Callable[[Tensor, int], Tensor]  # (ids_B, epoch) -> view_B


class Batches(Protocol):
    """What makes batches of examples: a task."""

    def batch(self, examples: Any, index_B: Tensor, view_B: Tensor, views: Any) -> Batch:
        """The batch of these examples, which stand at ``index_B``, at these views: a pure function."""
        ...

    def order(self, examples: Any, seed: int, epoch: int, batch_size: int) -> Tensor:
        """The order (N,) of an epoch, positions among the examples; step k of S takes those from N k // S on."""
        ...


def every_epoch_anew(ids_B: Tensor, epoch: int) -> Tensor:
    """A fresh view each epoch: view = epoch."""
    return torch.full_like(ids_B, epoch)


@dataclass
class EpochSource:
    """Batches over examples, in an order of (seed, epoch); a :class:`limbeck.interfaces.Source`.

    An epoch is every example once, in steps of equal size (to within one example, so that none is tiny).

    Attributes:
        views: how the examples are varied, as the recipe says it.
        view_of: the views that an epoch shows.
        upcoming: is told, with every batch, the (ids, views) of the same part of the next step.
    """

    task: Batches
    examples: Any
    views: Any
    seed: int
    batch_size: int
    view_of: ViewOf = every_epoch_anew
    upcoming: Callable[[Tensor, Tensor], object] | None = None

    def __post_init__(self) -> None:
        self._epochs: dict[int, tuple[Tensor, Tensor]] = {}  # order and views of all examples, of the last two

    def steps_per_epoch(self) -> int:
        """How many global batches make an epoch."""
        return -(-len(self.examples) // self.batch_size)

    def next(self, step: int, student: nn.Module, part: int = 0, parts: int = 1) -> Batch:
        """One part of a step's global batch."""
        del student  # a data set does not look at who learns from it
        index_B, view_B = self._part(step, part, parts)
        batch = self.task.batch(self.examples, index_B, view_B, self.views)
        if self.upcoming is not None:
            index_B, view_B = self._part(step + 1, part, parts)
            self.upcoming(self.examples.ids[index_B], view_B)
        return batch

    def _part(self, step: int, part: int, parts: int) -> tuple[Tensor, Tensor]:
        """Positions (B,) among the examples, and views (B,)."""
        number, steps = len(self.examples), self.steps_per_epoch()
        epoch, place = divmod(step, steps)
        if epoch not in self._epochs:
            while len(self._epochs) > 1:
                self._epochs.pop(next(iter(self._epochs)))
            order_N = self.task.order(self.examples, self.seed, epoch, self.batch_size)
            self._epochs[epoch] = (order_N, self.view_of(self.examples.ids[order_N], epoch))
        order_N, view_N = self._epochs[epoch]
        low, high = number * place // steps, number * (place + 1) // steps
        low, high = low + (high - low) * part // parts, low + (high - low) * (part + 1) // parts
        return order_N[low:high], view_N[low:high]
