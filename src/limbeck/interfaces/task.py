"""What the loop and the pipeline know of a modality's task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from .tensors import Batch, Needs, Output, RaggedLogits, Target

Ask = Callable[[Tensor, int], Tensor | RaggedLogits]


@dataclass(frozen=True)
class Answers:
    """What an example's answer is: labels, a student's and a teacher's alike.

    Attributes:
        kind: a name in :data:`limbeck.evaluation.kinds.KINDS`: classes, label_sets, sequences, frames or values.
        width: C classes, V tokens or D numbers; of what width codecs and stores are.
        names: of the C, V or D, in their order; empty where they have none.
        ragged: whether an example has an answer for each of its positions.
    """

    kind: str
    width: int
    names: tuple[str, ...] = ()
    ragged: bool = False


@runtime_checkable
class Teacher(Protocol):
    """A live model, stored targets, an ensemble, a remote API: all look alike."""

    def __call__(self, batch: Batch, needs: Needs) -> Target: ...


class Source(Protocol):
    """Where batches come from: a data set is one, a roll-out of the student another."""

    def steps_per_epoch(self) -> int:
        """How many global batches make an epoch."""
        ...

    def next(self, step: int, student: nn.Module, part: int = 0, parts: int = 1) -> Batch:
        """One part (of a micro-batch or a process) of a step's global batch: a pure function of its arguments.

        Steps are counted from 0 over the whole run; the parts of a step, put together, are its global batch.
        """
        ...


class Task(Protocol):
    """A modality. The loop, the pipeline and the report know it only through this."""

    name: str
    answers: Answers

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """The student's answer to ``batch.inputs``."""
        ...

    def validation(self, model: nn.Module) -> dict[str, float]:
        """Figures over the validation split, the first two of the kind of answer among them."""
        ...

    def answer(self, model: nn.Module, batch: Batch) -> Tensor:
        """A teacher's answer, logits (B, C) or numbers (B, D), to ``batch.teacher_inputs`` (or ``inputs``)."""
        ...

    def answers_to(
        self, model: nn.Module, examples: Any, *, as_teacher: bool = False
    ) -> Iterator[tuple[Tensor, Tensor | RaggedLogits]]:
        """(index_B, answer) batch by batch: the examples as they are, float32, on the CPU, in evaluation mode.

        ``index_B`` are places in ``examples``, each once, in an order that depends on the examples alone. ``as_teacher``: the
        model gets the teacher's input.
        """
        ...
