"""What the loop and the pipeline know of a modality's task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from .tensors import Batch, Hypotheses, Needs, Output, RaggedLogits, Target

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
    """A modality's task: its examples as batches, and what models say of them. Loop, pipeline and report know no more of it.

    ``examples`` are the modality's own, of which others know their number, ``ids`` and ``labels``; ``sees`` is what a
    model's input goes through, as the modality says it, and None where that is what the student's does. What has a body here
    is so for most, and a task that derives from this one need not say it.
    """

    name: str
    """The recipe's ``task``."""
    answers: Answers
    """What an example's answer is."""
    train: Any
    """The labelled training examples, on the device of the run."""
    held_out: Any
    """Those of the validation split, likewise."""
    pool: Any
    """All that a student with a teacher learns from: ``train``, and the transfer set behind it."""
    teacher_sees: Any = None
    """What the teacher's input goes through."""

    @property
    def views_at_once(self) -> int:
        """How many examples' views are made at a time where a teacher is asked; it may be asked about fewer."""
        return 512

    def seen_through(self, sees: Any) -> Task:
        """The same task for a teacher that is trained, in the student's place."""
        return self

    def learnt_by(self, model: nn.Module) -> Task:
        """The same task for a model that is trained, of whose positions the batches' masks are."""
        return self

    def probe(self, sees: Any) -> Any:
        """Fixed inputs by whose answers models are told from one another."""
        ...

    def input_facts(self, sees: Any) -> dict[str, Any]:
        """What the input of such a model goes through, as plain values, for fingerprints."""
        ...

    def of_like_cost(self, examples: Any, index_B: Tensor) -> Tensor | None:
        """An order (B,) of the examples at ``index_B`` in which neighbours cost a model the same; None: they all do."""
        return None

    def batch(self, examples: Any, index_B: Tensor, view_B: Tensor, views: Any) -> Batch:
        """The batch of the examples at ``index_B``, at these views of the recipe's kind: a pure function."""
        ...

    def source(
        self,
        examples: Any,
        *,
        views: Any,
        seed: int,
        batch_size: int,
        view_of: Callable[[Tensor, int], Tensor] = ...,
        upcoming: Callable[[Tensor, Tensor], object] | None = None,
    ) -> Source:
        """Batches over examples, in an order of (seed, epoch): a :class:`limbeck.data.epochs.EpochSource`, or a roll-out.

        ``view_of(ids_B, epoch)`` are the views that an epoch shows; ``upcoming`` is told, with every batch, the (ids, views)
        of the same part of the next step.
        """
        ...

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """The student's answer to ``batch.inputs``."""
        return Output(logits=model(batch.inputs))

    def answer(self, model: nn.Module, batch: Batch) -> Tensor | RaggedLogits:
        """A teacher's answer, logits (B, C), or of each position, or numbers (B, D), to ``batch.teacher_inputs`` (or ``inputs``)."""
        return model(batch.inputs if batch.teacher_inputs is None else batch.teacher_inputs)

    def answers_for_all_views(self, model: nn.Module) -> bool:
        """Whether what a teacher says of an example as it is holds for all of its views, so that it is asked about that alone."""
        return False

    def heard(self, model: nn.Module, batch: Batch) -> Hypotheses | None:
        """The transcripts that a teacher of recordings gives by itself; None where they are to be found in its answer."""
        return None

    def answers_to(
        self, model: nn.Module, examples: Any, *, as_teacher: bool = False
    ) -> Iterator[tuple[Tensor, Tensor | RaggedLogits]]:
        """(index_B, answer) batch by batch: the examples as they are, float32, on the CPU, in evaluation mode.

        ``index_B`` are places in ``examples``, each once, in an order that depends on the examples alone. ``as_teacher``: the
        model gets the teacher's input.
        """
        ...
