"""KL from teachers that are kept whole or in part."""

from __future__ import annotations

from torch import Tensor

from ...interfaces import Batch, DenseLogits, Needs, Output, Sampled, Target, Term, TopK
from .. import functional
from ..schedules import Scheduled
from .base import logits_of
from .logits import OnLogits


class OnProbabilities(OnLogits):
    """KL(teacher || student) at T, from whatever is kept of the teacher.

    Of logits it is the KL itself; of the top k, that over k classes and the rest
    (:func:`limbeck.objectives.functional.sparse_kl`); of a sample, an unbiased estimate of the cross-entropy with the
    teacher, which has the same gradient (:func:`limbeck.objectives.functional.sampled_cross_entropy`).
    """

    squared: bool  # whether T² is a factor

    def __init__(
        self, name: str, values_of: functional.Values, *, temperature: Scheduled = 1.0, weight: Scheduled = 1.0
    ) -> None:
        super().__init__(name, values_of, temperature=temperature, weight=weight)
        self.needs = Needs(target=(DenseLogits, TopK, Sampled))

    def total(self, student: Output, target: Target, batch: Batch, *, weight: float = 1.0) -> Tensor:
        reading = self.reading(student, target, batch)
        if reading is None:
            return super().total(student, target, batch, weight=weight)
        (total,) = functional.totals_of(logits_of(student), [reading])
        return weight * self._scale() * total

    def as_terms(self, total: Tensor, batch: Batch) -> dict[str, Term]:
        return {self.name: Term(self.scheduled(self.weight) * self._scale() * total, self.counts(batch)[self.name])}

    def _scale(self) -> float:
        """Factor of what a reading gives, whose KL has the factor T²."""
        return 1.0 if self.squared else self.scheduled(self.temperature) ** -2

    def reading(self, student: Output, target: Target, batch: Batch) -> functional.Reading | None:
        """What is to be read of the student's logits, of a sparse target; None where all of the teacher's are there.

        Raises ``ValueError`` where the target does not hold at this temperature.
        """
        temperature = self.scheduled(self.temperature)
        kept = next((column for column in target.columns if isinstance(column, self.needs.target)), None)
        if isinstance(kept, TopK):
            rest = functional.rest_at(kept.log_rest, kept.temperatures, temperature)
            return functional.sparse_reading(
                kept.ids, kept.logits, rest, counts=self._counted(batch), temperature=temperature
            )
        if isinstance(kept, Sampled):
            if kept.temperature != temperature:
                raise ValueError(
                    f"{self.name} uses temperature {temperature:g}, and the classes were drawn at {kept.temperature:g}: "
                    "draws hold at no other, so give the objective theirs"
                )
            return functional.sampled_reading(
                logits_of(student),
                kept.ids,
                kept.counts,
                weights=kept.weights,
                counts=self._counted(batch),
                temperature=temperature,
            )
        return None


class KD(OnProbabilities):
    """``T² KL(teacher || student)`` of softened probabilities; see :func:`limbeck.objectives.functional.kd`."""

    squared = True

    def __init__(self, temperature: Scheduled = 4.0, weight: Scheduled = 1.0) -> None:
        super().__init__("kd", functional.kd_positions, temperature=temperature, weight=weight)


class ForwardKL(OnProbabilities):
    """``KL(teacher || student)``; see :func:`limbeck.objectives.functional.forward_kl`."""

    squared = False

    def __init__(self, temperature: Scheduled = 1.0, weight: Scheduled = 1.0) -> None:
        super().__init__("forward_kl", functional.forward_kl_positions, temperature=temperature, weight=weight)
