"""TAID: a target that moves from the student to the teacher, and remembers how the loss fell."""

from __future__ import annotations

from functools import partial

import torch
import torch.distributed
from torch import Tensor

from ...interfaces import Batch, Output, Target
from .. import functional
from ..schedules import Progress, Scheduled
from ..taid_schedule import TAIDSchedule
from .logits import OnLogits


class TAID(OnLogits):
    """A target that moves from the student to the teacher; see :func:`limbeck.objectives.functional.taid`.

    The target moves between steps, by the mean over all that was seen in the step before, so micro-batches and processes
    do not change it. A loop must say where the run stands (:meth:`at`) before every step; where it does not, the target
    stays where it began.

    Args:
        t0: share of the teacher at the start.
        t1: share of the teacher at the end.
        alpha: how fast the share grows beyond the progress of the run while the loss falls.
        momentum: of the loss's relative change.
        temperature: T.
        weight: factor of the term.
    """

    seen_2: Tensor

    def __init__(
        self,
        t0: float = 0.4,
        t1: float = 1.0,
        alpha: float = 5e-4,
        momentum: float = 0.99,
        temperature: Scheduled = 1.0,
        weight: Scheduled = 1.0,
    ) -> None:
        super().__init__("taid", partial(functional.taid_positions, t=t1), temperature=temperature, weight=weight)
        self.schedule = TAIDSchedule(t0, t1, alpha, momentum)
        self.register_buffer("seen_2", torch.zeros(2))  # total and count since the step began; saved with it

    def at(self, progress: Progress) -> None:
        if self.progress is None or progress.step != self.progress.step:
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.all_reduce(self.seen_2)
            # nothing seen gives 0/0, which the schedule takes for no news
            self.schedule.update(self.seen_2[0] / self.seen_2[1], min(progress.step / progress.total_steps, 1.0))
            self.seen_2.zero_()
        super().at(progress)

    def total(self, student: Output, target: Target, batch: Batch, *, weight: float = 1.0) -> Tensor:
        total = super().total(student, target, batch)
        if self.training:
            self.seen_2 += torch.stack([total.detach().to(self.seen_2), self.counts(batch)[self.name].to(self.seen_2)])
        return total if weight == 1 else weight * total

    def values_now(self) -> functional.Values:
        # a copy: the schedule moves in place, and a second backward pass works the values out again
        return partial(super().values_now(), t=self.schedule.t.clone())
