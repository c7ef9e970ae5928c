"""What the pipeline asks of a modality, beside its task: data and models by a recipe, export, what a report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .exportable import Exportable, Graph
from .in_use import InUse
from .task import Task
from .tensors import Inside, RaggedLogits


class Modality(Protocol):
    """What a module of a modality offers."""

    def load(self, recipe: Any, progress: Callable[..., Any] | None = None, *, trust_code: bool = False) -> Any:
        """The splits that the recipe names; the test split stays shut. ``trust_code`` where a teacher labels the examples."""
        ...

    def origins(self, recipe: Any, splits: Any) -> dict[str, dict[str, list[Any]]]:
        """Of train, validation and transfer: where each example stands in the data, as columns of equal length."""
        ...

    def teachers_of(self, recipe: Any, splits: Any, *, trust_code: bool) -> Teachers:
        """The teachers, their starting weights loaded."""
        ...

    def given_teacher(self, model: nn.Module, recipe: Any, splits: Any) -> Teachers:
        """A person's own module as the teacher that the recipe's section describes.

        Raises :class:`limbeck.errors.BadInput` where it does not fit the data.
        """
        ...

    def student_of(
        self, recipe: Any, splits: Any, teachers: Teachers, *, trust_code: bool
    ) -> Callable[[int], nn.Module]:
        """What makes a fresh student for a seed. One that starts from its teacher takes the teacher as it is by then."""
        ...

    def check(self, model: nn.Module, splits: Any, name: str) -> None:
        """Raises :class:`limbeck.errors.BadInput` where a student does not fit the data."""
        ...

    def task_of(self, recipe: Any, splits: Any, teachers: Teachers, device: torch.device) -> Task:
        """The task."""
        ...

    def starts_from_teacher(self, recipe: Any) -> bool:
        """Whether a student's first weights are made of the teacher's."""
        ...

    def layers(self, model: nn.Module, asking: str, role: str) -> Inside:
        """Where the layers of a transformer are; ``asking`` wants to know, of the ``role``'s model.

        Raises :class:`limbeck.errors.BadInput` where it has none that are known.
        """
        ...

    def notes_on(self, student: nn.Module, splits: Any) -> list[str]:
        """What a person should know of such a student, in sentences."""
        ...

    def data_facts(self, splits: Any, task: Any) -> dict[str, Any]:
        """What the results say of the data beside the numbers of examples."""
        ...

    def exportables(self, model: nn.Module, task: Any, role: str) -> dict[str, Exportable]:
        """The graphs that a model is deployed as, by where their files lie in the export's folder, without the suffix.

        ``model`` is in evaluation mode, on the CPU; ``role`` is ``student`` or ``teacher``.
        """
        ...

    def beside(self, model: nn.Module, task: Any, role: str, folder: Path) -> tuple[str, ...]:
        """Writes what must lie beside the graphs (tokenizer, configuration) into the export's folder, before they come there.

        The files' names, as from that folder.
        """
        ...

    def sample(self, examples: Any) -> Any:
        """Test examples that are enough to tell whether two graphs answer alike, those that cost the same next to one another."""
        ...

    def answered(
        self, graphs: Mapping[str, Graph], model: nn.Module, task: Any, role: str, examples: Any
    ) -> Tensor | RaggedLogits:
        """What the graphs, by the names of :meth:`exportables`, answer to examples, in their order, float32 on the CPU.

        They are asked exactly as ``predict.py`` asks an exported file, whoever answers: the module itself, ONNX Runtime, a
        file in 8 bits. ``model`` is what the graphs were made of.
        """
        ...

    def measured(self, model: nn.Module, task: Any, splits: Any) -> dict[str, float]:
        """Figures of a model that only running it tells, by name; none where its answers to examples tell all."""
        ...

    def in_use(
        self, models: Mapping[str, Sequence[nn.Module]], task: Any, splits: Any, progress: Callable[..., Any] | None
    ) -> InUse | None:
        """What models are worth where they are used, set beside one another; None where their answers to examples tell it.

        ``models`` by role (``teacher``, ``student``, ``baseline``, ``smoothed`` where there is one), of each seed one, the exported student
        first of its. It is asked where the outline's ``in_use`` says how it judges.
        """
        ...

    def publish(self, export: Path, student_weights: Path, out: Path, results: Mapping[str, Any]) -> None:
        """Copies what a run is for to the top of its folder."""
        ...

    def show(self, examples: Any) -> Callable[[int], Any]:
        """A test example by its position, as a page shows it: a :data:`limbeck.report.shown.Shown`."""
        ...


@dataclass(frozen=True)
class Member:
    """One teacher: the only one, or one of an ensemble."""

    section: Any  # of the recipe
    seed: int
    model: nn.Module
    sees: Any  # what its input goes through; None: what the student's does
    notes: tuple[str, ...] = ()  # what had to be taken for granted, in sentences


@dataclass(frozen=True)
class Teachers:
    """What answers, and the members that it is made of (one where it is a single teacher)."""

    model: nn.Module
    sees: Any
    members: tuple[Member, ...]
    notes: tuple[str, ...] = ()  # what had to be taken for granted, in sentences
