"""A job: a recipe together with the things it names, checked and ready for the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from .data.examples import Splits
from .errors import BadInput
from .models.build import build, check_fits
from .models.identity import Identity, identity
from .objectives.modules import KD, CrossEntropy, Objective, Sum
from .recipe import Objective as ObjectiveSection
from .recipe import Recipe
from .tasks.image import ImageClassification, Normalisation


@dataclass(frozen=True)
class Job:
    """All that the stages need.

    Attributes:
        teacher: built, its starting weights loaded.
        student: a fresh student for a seed.
        objective: a fresh objective (it may hold parameters of its own).
        code: what identifies models that are not known by name alone; part of the fingerprints.
    """

    recipe: Recipe
    name: str
    out: Path
    splits: Splits
    task: ImageClassification
    accelerator: Accelerator
    teacher: nn.Module
    student: Callable[[int], nn.Module]
    objective: Callable[[], Objective]
    code: dict[str, Any]
    force: tuple[str, ...] = ()

    @property
    def seeds(self) -> list[int]:
        """The seeds of the students, first to last."""
        return [self.recipe.seed + i for i in range(self.recipe.seeds)]

    @property
    def temperature(self) -> float | None:
        """The temperature of the KD term, where there is one."""
        objective = self.objective()
        parts = objective.parts if isinstance(objective, Sum) else [objective]
        return next((part.temperature for part in parts if isinstance(part, KD)), None)


def job_from_recipe(
    recipe: Recipe, splits: Splits, *, out: Path, trust_code: bool, device: str, force: tuple[str, ...]
) -> Job:
    """Builds the models a recipe names and checks that they fit the data. Writes nothing."""
    channels, size = _shape(splits)
    shape = {"classes": len(splits.classes), "channels": channels, "size": size}
    teacher = build(
        recipe.teacher,
        classes=len(splits.classes),
        channels=channels,
        size=recipe.teacher.preprocess.size if recipe.teacher.preprocess and recipe.teacher.preprocess.size else size,
        trust_code=trust_code,
        seed=recipe.seed,
    )

    def student(seed: int) -> nn.Module:
        return build(recipe.student, **shape, trust_code=trust_code, seed=seed)

    return job_from_models(
        recipe,
        splits,
        out=out,
        teacher=teacher,
        student=student,
        objective=lambda: objective_of(recipe.objective),
        device=device,
        force=force,
    )


def job_from_models(
    recipe: Recipe,
    splits: Splits,
    *,
    out: Path,
    teacher: nn.Module,
    student: Callable[[int], nn.Module],
    objective: Callable[[], Objective],
    device: str,
    force: tuple[str, ...] = (),
) -> Job:
    """A job from models at hand. Raises :class:`limbeck.errors.BadInput` where one does not fit the data."""
    channels, size = _shape(splits)
    classes = len(splits.classes)
    preprocess = recipe.teacher.preprocess
    teacher_size = preprocess.size if preprocess is not None and preprocess.size is not None else size
    first = student(recipe.seed)
    check_fits(teacher, classes=classes, channels=channels, size=teacher_size, name="teacher")
    check_fits(first, classes=classes, channels=channels, size=size, name="student")
    accelerator = Accelerator(cpu=device == "cpu")
    normalisation = Normalisation(splits.mean, splits.std)
    teacher_normalisation = None
    if preprocess is not None:
        teacher_normalisation = Normalisation(
            preprocess.mean or splits.mean, preprocess.std or splits.std, preprocess.size
        )
    task = ImageClassification(
        splits,
        normalisation=normalisation,
        teacher_normalisation=teacher_normalisation,
        view_seed=recipe.seed,
        device=accelerator.device,
    )
    return Job(
        recipe=recipe,
        name=recipe.name or "run",
        out=out,
        splits=splits,
        task=task,
        accelerator=accelerator,
        teacher=teacher,
        student=student,
        objective=objective,
        code={
            "teacher": coarse(identity(teacher, channels, teacher_size)),
            "student": coarse(identity(first, channels, size)),
            "objective": repr(objective()),
        },
        force=force,
    )


def objective_of(section: ObjectiveSection) -> Objective:
    """The objective a recipe's section describes."""
    parts: list[tuple[float, Objective]] = []
    if section.kd is not None:
        parts.append((section.kd.weight, KD(section.kd.temperature)))
    if section.cross_entropy is not None:
        smoothing = section.cross_entropy.label_smoothing
        parts.append((section.cross_entropy.weight, CrossEntropy(label_smoothing=smoothing)))
    return Sum(parts)


def coarse(model: Identity) -> dict[str, Any]:
    """A model's identity, its probe rounded so far that rounding on another machine does not show."""
    largest = max((abs(value) for value in model["probe"]), default=0.0) or 1.0
    return {"weights": model["weights"], "probe": [round(20 * value / largest) for value in model["probe"]]}


def use_threads(count: int | None) -> None:
    """Uses so many threads for arithmetic; None leaves torch's own choice."""
    if count is not None:
        torch.set_num_threads(count)


def _shape(splits: Splits) -> tuple[int, int]:
    _, channels, height, width = splits.train.images.shape
    if height != width:
        raise BadInput(
            f"images are {width}x{height}: models here take square ones, so set data.size (such as {min(height, width)})."
        )
    return channels, height
