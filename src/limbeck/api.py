"""Distillation from Python: the same pipeline for a person's own modules and data sets."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .arms import student_of
from .data.arrays import Given, from_arrays
from .errors import BadInput
from .job import job_from_models
from .models.weights import load_weights
from .objectives.modules import KD, CrossEntropy, Objective
from .pipeline import distil
from .randomness import torch_seed
from .recipe import Data, ImageRecipe, Model, Preprocess, Targets, TeacherSection, Train, Views


@dataclass(frozen=True)
class Distilled:
    """What came out."""

    student: nn.Module  # the student that did best on validation, in evaluation mode
    results: dict[str, Any]  # results.json
    folder: Path

    @property
    def metrics(self) -> dict[str, float]:
        """The student's test figures, means over seeds: accuracy, nll, ece, ..."""
        return {name: figure["mean"] for name, figure in self.results["student"]["metrics"].items()}

    @property
    def report(self) -> Path:
        """The report, one HTML page."""
        return self.folder / "report.html"

    def export(self, format: str = "onnx") -> Path:
        """The exported student, which has passed its parity gate. Raises :class:`BadInput` for an unknown format."""
        if format != "onnx":
            raise BadInput(f"format '{format}' is not known: 'onnx' is what there is.")
        return self.folder / "student.onnx"


def distill(
    *,
    teacher: nn.Module,
    student: nn.Module | Callable[[], nn.Module],
    train: Given,
    validation: Given | None = None,
    test: Given | None = None,
    objective: Objective | None = None,
    views: Views | None = None,
    train_plan: Train | None = None,
    targets: Targets | None = None,
    preprocess: Preprocess | None = None,
    classes: Sequence[str] | None = None,
    seeds: int = 1,
    seed: int = 0,
    out: str | Path = "runs/distilled",
    device: str = "auto",
) -> Distilled:
    """Trains ``student`` to do the work of ``teacher``, beside the same student without a teacher.

    Args:
        teacher: a trained module from images (B, C, H, W) to logits (B, classes); it is never changed.
        student: a module, whose weights every seed starts from, or a function that makes a fresh one: it is called
            under torch's seed, so that a seed always gives the same student. The module itself is never changed.
        train: ``(images, labels)`` or a map-style data set of (image, label). Images are uint8, or floats in [0, 1]:
            normalisation is done here, by the training set's mean and deviation.
        validation: where not given, carved from train.
        test: where not given, carved from train; read once, at the end.
        objective: what the student is asked to match, ``0.9 * KD(temperature=4) + 0.1 * CrossEntropy()`` by default.
        views: how examples are varied (:class:`limbeck.recipe.Views`).
        train_plan: how students are trained (:class:`limbeck.recipe.Train`).
        targets: how the teacher is asked (:class:`limbeck.recipe.Targets`).
        preprocess: what the teacher wants done to its input, where that differs from the data's mean and deviation.
        classes: names of the classes.
        seeds: how many students are trained, for mean and standard deviation.
        out: the run's folder. The same call goes on from where it was stopped.

    Raises:
        BadInput: a model or the data cannot be used; says why.
    """
    splits = from_arrays(train, validation, test, classes=classes)
    objective = objective if objective is not None else 0.9 * KD(temperature=4.0) + 0.1 * CrossEntropy()
    recipe = ImageRecipe(
        name=Path(out).name,
        data=Data(name="python"),
        teacher=TeacherSection(model=type(teacher).__name__, preprocess=preprocess),
        student=Model(model=type(student).__name__ if isinstance(student, nn.Module) else _name(student)),
        views=views or Views(),
        targets=targets or Targets(),
        train=train_plan or Train(),
        seeds=seeds,
        seed=seed,
    )
    given = objective
    job = job_from_models(
        recipe,
        splits,
        out=Path(out),
        teacher=copy.deepcopy(teacher),
        student=lambda number: _fresh(student, number),
        objective=lambda: copy.deepcopy(given),
        device=device,
    )
    results = distil(job)
    best = student_of(job, job.teacher, seed)
    load_weights(best, Path(out) / "student.safetensors", "student")
    return Distilled(best.eval(), results, Path(out))


def _fresh(student: nn.Module | Callable[[], nn.Module], seed: int) -> nn.Module:
    if isinstance(student, nn.Module):
        return copy.deepcopy(student)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_seed(seed, "init"))
        return student()


def _name(factory: Callable[[], nn.Module]) -> str:
    return getattr(factory, "__name__", type(factory).__name__)
