"""A teacher that is asked at every step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..interfaces import Batch, DenseLogits, Needs, Target, Task


class LiveTeacher:
    """A model that answers and never changes: eval mode, no gradient; an :class:`interfaces.Teacher`."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        self.model, self.task = model.eval().requires_grad_(False), task
        self._modules = tuple(model.modules())

    def __call__(self, batch: Batch, needs: Needs) -> Target:
        """Logits (B, C), float32, on the model's device."""
        # A wrapper's train() may have reached the teacher since the last step; batch norm would then move.
        if any(module.training for module in self._modules):
            self.model.eval()
        # no_grad, not inference_mode: an inference tensor cannot take part in the student's backward pass
        with torch.no_grad():
            return Target((DenseLogits(self.task.answer(self.model, batch).float()),))

    def view_of(self, ids_B: Tensor, epoch: int) -> Tensor:
        """Which view each example shows in an epoch: a new one each time; int64 (B,)."""
        return torch.full_like(ids_B, epoch)
