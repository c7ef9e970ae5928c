"""Distillation from Python: the same pipeline for a person's own modules and data sets."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import BadInput
from .modalities.image.arrays import Given, from_arrays
from .modalities.image.recipe import Data, ImageRecipe, TeacherSection
from .models.weights import load_weights
from .objectives.modules import KD, CrossEntropy, Objective
from .pipeline.job import job_from_models
from .pipeline.run import distil
from .pipeline.students import student_of
from .randomness import torch_seed
from .sections.targets import Targets
from .sections.teacher import Model
from .sections.train import Train
from .vision.inputs import Normalisation
from .vision.sections import Preprocess, Views

# What sentences about a recipe call a thing, and what it is called here.
_ARGUMENTS = (
    (r"\bdata\.validation_fraction\b", "validation_fraction"),
    (r"\bdata\.transfer\b", "transfer"),
    (r"\bteacher\.preprocess\b", "preprocess"),
    (r"\btrain\.(?=[a-z_]+\b)", "train_plan."),
    (r"--device cpu\b", "device='cpu'"),
    (r" Where the shapes are in their transparency, data\.background says what they are laid on\.", ""),
    (r"\bset data\.size and data\.channels so that all are alike", "give all of one size and number of channels"),
)


class Student(nn.Module):
    """The trained student with what it wants done to its input: images as they are in, logits out.

    ``model`` is the bare module, ``preprocess`` the normalisation that it was trained behind.
    """

    def __init__(self, model: nn.Module, preprocess: Normalisation) -> None:
        super().__init__()
        self.model, self.preprocess = model, preprocess

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W), whole numbers 0 to 255 or floats in [0, 1].

        Raises :class:`BadInput` for floats that reach beyond, which have been normalised already.
        """
        if not images_BCHW.is_floating_point():
            images_BCHW = images_BCHW.float() / 255
        elif not torch.compiler.is_compiling() and images_BCHW.numel():
            low, high = (float(end) for end in images_BCHW.detach().aminmax())
            if low < 0 or high > 1:
                raise BadInput(
                    f"the images run from {low:g} to {high:g}: floats must lie in 0 to 1. The student normalises its input "
                    "itself; its bare module, which takes normalised images, is student.model."
                )
        return self.model(self.preprocess(images_BCHW))


@dataclass(frozen=True)
class Distilled:
    """What came out."""

    student: Student  # the one that did best on validation, in evaluation mode: takes images as they are
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
    transfer: Any = None,
    validation_fraction: float = 0.1,
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
        transfer: unlabelled images for the soft targets, or a data set whose labels are ignored.
        validation_fraction: the share of ``train`` that each split carved from it gets.
        objective: what the student is asked to match, ``0.9 * KD(temperature=4) + 0.1 * CrossEntropy()`` by default.
        views: how examples are varied (:class:`limbeck.sections.recipe.Views`).
        train_plan: how students are trained (:class:`limbeck.sections.train.Train`).
        targets: how the teacher is asked (:class:`limbeck.sections.targets.Targets`).
        preprocess: what the teacher wants done to its input, where that differs from the data's mean and deviation.
        classes: names of the classes.
        seeds: how many students are trained, for mean and standard deviation.
        out: the run's folder. The same call goes on from where it was stopped.

    Raises:
        BadInput: a model or the data cannot be used; says why.
    """
    given = objective if objective is not None else 0.9 * KD(temperature=4.0) + 0.1 * CrossEntropy()
    if not isinstance(given, Objective):
        what = f"the class {given.__name__}" if isinstance(given, type) else f"of type {type(given).__name__}"
        raise BadInput(
            f"objective is {what}: give an objective such as limbeck.KD(temperature=4), or a weighted sum of some."
        )
    with _in_python():
        splits = from_arrays(
            train,
            validation,
            test,
            classes=classes,
            transfer=transfer,
            validation_fraction=validation_fraction,
        )
        recipe = ImageRecipe(
            name=Path(out).name,
            data=Data(name="python", validation_fraction=validation_fraction),
            teacher=TeacherSection(model=type(teacher).__name__, preprocess=preprocess),
            student=Model(model=type(student).__name__ if isinstance(student, nn.Module) else _name(student)),
            views=views or Views(),
            targets=targets or Targets(),
            train=train_plan or Train(),
            seeds=seeds,
            seed=seed,
        )
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
    task: Any = job.task  # one of images
    return Distilled(Student(best, task.normalisation).eval(), results, Path(out))


@contextmanager
def _in_python() -> Iterator[None]:
    """Sentences about a recipe's fields name this function's arguments instead."""
    try:
        yield
    except BadInput as error:
        sentence = str(error)
        for field, argument in _ARGUMENTS:
            sentence = re.sub(field, argument, sentence)
        raise type(error)(sentence) from error


def _fresh(student: nn.Module | Callable[[], nn.Module], seed: int) -> nn.Module:
    if isinstance(student, nn.Module):
        return copy.deepcopy(student)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_seed(seed, "init"))
        return student()


def _name(factory: Callable[[], nn.Module]) -> str:
    return getattr(factory, "__name__", type(factory).__name__)
