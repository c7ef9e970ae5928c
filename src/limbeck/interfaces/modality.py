"""What the pipeline asks of a modality, beside its task: data and models by a recipe, export, what a report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from .task import Task
from .tensors import Inside


@dataclass(frozen=True)
class Deploying:
    """A model to be exported.

    Attributes:
        role: ``student`` or ``teacher``.
        name: what the file calls itself.
        model: in evaluation mode, on the CPU.
        examples: test examples to hold the exported model to.
        folder: where to write.
        limits: what it must prove.
        int8: whether a student's file in 8 bits is wanted as well, where the modality has such.
    """

    role: str
    name: str
    model: nn.Module
    task: Any
    examples: Any
    folder: Path
    limits: Any
    int8: bool = True


@dataclass(frozen=True)
class Deployed:
    """An exported model: ``facts`` are for the results, ``files`` were written (names in the folder)."""

    path: Path
    facts: dict[str, Any]
    files: tuple[str, ...]
    variants: Mapping[str, Path]  # such as int8, measured beside it
    longest: int | None = None  # tokens of its longest input; None where inputs have one size


class Modality(Protocol):
    """What a module of a modality offers."""

    LENGTHS: tuple[int, ...]  # tokens of an input at which speed is measured, the usual first; none for one size

    def load(self, recipe: Any, progress: Callable[..., Any] | None = None) -> Any:
        """The splits that the recipe names; the test split stays shut."""
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

    def data_facts(self, splits: Any) -> dict[str, Any]:
        """What the results say of the data beside the numbers of examples."""
        ...

    def deploy(self, wanted: Deploying) -> Deployed:
        """Writes the model as ONNX, with what belongs to it, and holds it to PyTorch's answers.

        Raises :class:`limbeck.errors.LimbeckError` where it does not answer alike.
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
