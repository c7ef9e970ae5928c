"""Cross-entropy where an example may have several labels, each class a yes or no of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from ...interfaces import IGNORED, Batch, Needs, Output, Target, Term
from .. import functional
from ..catalogue.entry import YES_OR_NO
from ..schedules import Scheduled
from .base import Objective, labels_of, logits_of, number
from .logits import told_weights, weights_of


class BinaryCrossEntropy(Objective):
    """Cross-entropy with a 0 or 1 for each class; see :func:`limbeck.objectives.functional.binary_cross_entropy`."""

    class_weights_C: Tensor | None

    needs = Needs(labels=True)
    reads = YES_OR_NO

    def __init__(
        self, weight: Scheduled = 1.0, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(number(weight))
        self.name, self.label_smoothing = "binary_cross_entropy", float(label_smoothing)
        self.register_buffer("class_weights_C", weights_of(class_weights), persistent=False)

    def forward(self, student: Output, target: Target, batch: Batch) -> dict[str, Term]:
        labels, logits = labels_of(batch, self.name), logits_of(student)
        how = {"label_smoothing": self.label_smoothing, "class_weights": self.class_weights_C}
        values_of = partial(functional.binary_cross_entropy_positions, **how)
        functional.check_labels(labels, logits)
        counts = _counted(batch, labels)
        total = functional.total_of(values_of, logits, labels, counts=counts, share=self.scheduled(self.weight))
        return {self.name: Term(total, counts.sum())}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        return {self.name: _counted(batch, labels_of(batch, self.name)).sum()}

    def extra_repr(self) -> str:
        return f"weight={self.weight}, label_smoothing={self.label_smoothing}{told_weights(self.class_weights_C)}"


def _counted(batch: Batch, labels: Tensor) -> Tensor:
    there = (labels != IGNORED).any(dim=-1)
    return there if batch.mask is None else there & batch.mask
