"""A teacher that is asked at every step."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..interfaces import Answers, Batch, DenseLogits, Features, Hypotheses, Needs, RaggedLogits, Target, Task, Values
from ..models.capture import Capture
from ..models.ensemble import with_spread
from . import hearing
from .store.padding import each_tensor


class LiveTeacher:
    """A model that answers and never changes: eval mode, no gradient; an :class:`interfaces.Teacher`."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        # its weights ask for gradients as before: PyTorch multiplies frozen ones by another kernel, without gradients too, and a
        # teacher that was asked would from then on answer otherwise, in the last bit, than one whose answers were found on disk
        self.model, self.task = model.eval(), task
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
        columns: list[Any] = [Features(features)] if features else []
        if isinstance(said, RaggedLogits) and Hypotheses in needs.target:
            given, device = self.task.heard(self.model, batch), said.logits.device
            heard = hearing.hypotheses_of(said, hearing.BEST, hearing.BEAM) if given is None else given
            columns.insert(0, each_tensor(heard, lambda tensor: tensor.to(device)))
        if not isinstance(said, RaggedLogits):
            said = said.float()
        elif needs.target != (Hypotheses,):
            said = padded(said, None if batch.mask is None else batch.mask.shape[1])
        if isinstance(said, Tensor):
            columns.insert(0, as_target(said, self.task.answers))
        return Target(tuple(columns))

    def _capture(self, paths: tuple[str, ...]) -> Capture:
        if paths not in self._captures:
            self._captures[paths] = Capture(self.model, paths)
        return self._captures[paths]

    def view_of(self, ids_B: Tensor, epoch: int) -> Tensor:
        """Which view each example shows in an epoch: a new one each time; int64 (B,)."""
        return torch.full_like(ids_B, epoch)


def padded(answer: RaggedLogits, length: int | None) -> Tensor:
    """Answers at positions, (B, L, V) float32, 0 beyond an example's own; L is ``length``, or the longest's.

    Raises :class:`ValueError` where one is longer.
    """
    rows = answer.logits.float().split(answer.lengths.tolist())
    logits_BLV = pad_sequence(list(rows), batch_first=True)
    if length is None or logits_BLV.shape[1] == length:
        return logits_BLV
    if logits_BLV.shape[1] > length:
        raise ValueError(
            f"the teacher answers at up to {logits_BLV.shape[1]} frames, and the student at {length}: give both the same stride, or "
            "take ctc_sequence_kd, which needs no alignment"
        )
    return F.pad(logits_BLV, (0, 0, 0, length - logits_BLV.shape[1]))


def as_target(answer: Tensor, answers: Answers) -> DenseLogits | Values:
    """A teacher's answer as the kind of target that it is: numbers (B, D) of a regression, or logits (B, C).

    Numbers may have their deviations after them, (B, 2 D).
    """
    if answers.kind != "values":
        return DenseLogits(answer)
    return Values(answer) if answer.shape[-1] != 2 * answers.width else Values(*answer.chunk(2, dim=-1))
