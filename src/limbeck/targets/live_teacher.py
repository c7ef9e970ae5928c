"""A teacher that is asked at every step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..interfaces import Answers, Batch, DenseLogits, Features, Needs, Target, Task, Values
from ..models.capture import Capture
from ..models.ensemble import with_spread


class LiveTeacher:
    """A model that answers and never changes: eval mode, no gradient; an :class:`interfaces.Teacher`."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        self.model, self.task = model.eval().requires_grad_(False), task
        self._modules = tuple(model.modules())
        self._captures: dict[tuple[str, ...], Capture] = {}

    def __call__(self, batch: Batch, needs: Needs) -> Target:
        """Logits (B, C), or numbers (B, D), with the deviation over an ensemble's members where it is needed, float32, on the model's device; and the features that are needed, as the modules give them.

        Raises ``ValueError`` as :class:`limbeck.models.capture.Capture` does.
        """
        # A wrapper's train() may have reached the teacher since the last step; batch norm would then move.
        if any(module.training for module in self._modules):
            self.model.eval()
        # no_grad, not inference_mode: an inference tensor cannot take part in the student's backward pass
        with torch.no_grad(), self._capture(needs.teacher_features) as features:
            said = self.task.answer(with_spread(self.model, needs.spread), batch)
        answer = as_target(said.float(), self.task.answers)
        return Target((answer, Features(features)) if features else (answer,))

    def _capture(self, paths: tuple[str, ...]) -> Capture:
        if paths not in self._captures:
            self._captures[paths] = Capture(self.model, paths)
        return self._captures[paths]

    def view_of(self, ids_B: Tensor, epoch: int) -> Tensor:
        """Which view each example shows in an epoch: a new one each time; int64 (B,)."""
        return torch.full_like(ids_B, epoch)


def as_target(answer: Tensor, answers: Answers) -> DenseLogits | Values:
    """A teacher's answer as the kind of target that it is: numbers (B, D) of a regression, or logits (B, C).

    Numbers may have their deviations after them, (B, 2 D).
    """
    if answers.kind != "values":
        return DenseLogits(answer)
    return Values(answer) if answer.shape[-1] != 2 * answers.width else Values(*answer.chunk(2, dim=-1))
