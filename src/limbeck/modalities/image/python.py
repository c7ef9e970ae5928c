"""What ``limbeck.distill`` makes of the modules and images that a Python program holds."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ...data.numbers import statistics_of
from ...deploy.published import section_of
from ...errors import BadInput
from ...models.state_file import read_sets
from ...models.weights import load_weights
from ...objectives.modules import KD, MSE, CrossEntropy, MSEValues, Objective
from ...sections.recipe import Recipe
from ...sections.teacher import Model
from ...vision.build import build
from ...vision.inputs import Normalisation
from ...vision.pixels import Preparation, size_of
from ...vision.sections import Preprocess
from ...vision.units import DEVIATION, in_units
from ...vision.widths import with_widths
from .array_labels import NumberLabels
from .arrays import Given, from_arrays
from .contradictions import of_numbers
from .examples import Splits
from .predict import Metadata
from .recipe import ImageRecipe, RegressionRecipe
from .usable import Classifier

RECIPES: dict[str, type[Recipe]] = {"image-classification": ImageRecipe, "image-regression": RegressionRecipe}
OWN = {"image-classification": ("preprocess",), "image-regression": ("preprocess", "numbers", "unit")}
"""Arguments of ``limbeck.distill`` that are of a task alone."""

"""Names that the weights of what SimKD deploys begin with (``limbeck.pipeline.simkd.ReusedClassifier``)."""

# What sentences about a recipe call a thing, and what it is called there.
ARGUMENTS = (
    (r"\bteacher\.preprocess\b", "preprocess"),
    (r" Where the shapes are in their transparency, data\.background says what they are laid on\.", ""),
    (r": name another column with data\.label\.?", "."),
    (r"\bset data\.size and data\.channels so that all are alike", "give all of one size and number of channels"),
)


def splits_of(
    train: Given,
    validation: Given | None,
    test: Given | None,
    *,
    recipe: ImageRecipe | RegressionRecipe,
    transfer: Any,
    classes: Any,
    numbers: Sequence[str] | str | None = None,
    unit: Sequence[str] | str | None = None,
) -> Splits:
    """The splits of images that are at hand."""
    kind = None
    if isinstance(recipe, RegressionRecipe):
        if classes is not None:
            raise BadInput(f"classes is not for task: {recipe.task}; name the numbers (numbers), or leave it out.")
        if problems := list(of_numbers(recipe)):
            raise BadInput(*(f"{problem}." for problem in problems))
        kind = NumberLabels(numbers, unit)
    fraction = recipe.data.validation_fraction
    return from_arrays(
        train, validation, test, classes=classes, transfer=transfer, validation_fraction=fraction, numbers=kind
    )


def usual_objective(task: str) -> Objective:
    """What a student is asked to match where nothing is said."""
    if task == "image-regression":
        return 0.5 * MSEValues() + 0.5 * MSE()
    return 0.9 * KD(temperature=4.0) + 0.1 * CrossEntropy()


def fresh(student: nn.Module, splits: Splits) -> nn.Module:
    """A student that a function has just made: one of numbers answers in their units from the first step on."""
    if not splits.numbers:
        return student
    assert splits.train.labels is not None
    return in_units(student, *statistics_of(splits.train.labels))


def sections_of(
    teacher: str,
    student: str,
    *,
    validation_fraction: float,
    transfer: bool,
    preprocess: Preprocess | None = None,
    numbers: Sequence[str] | str | None = None,
    unit: Sequence[str] | str | None = None,
) -> dict[str, Any]:
    """The sections of the recipe that describe data and models."""
    del transfer, numbers  # the fingerprint of the data says them
    in_unit = {} if unit is None else {"unit": unit if isinstance(unit, str) else tuple(unit)}
    return {
        "data": {"name": "python", "validation_fraction": validation_fraction, **in_unit},
        "teacher": {"model": teacher, "preprocess": preprocess},
        "student": {"model": student},
    }


def usable(model: nn.Module, splits: Splits) -> Classifier:
    """The trained student, which takes images as they are."""
    channels, height, width = splits.train.images.shape[1:]
    seen = Normalisation(splits.mean, splits.std)
    return Classifier(model, seen, splits.classes or splits.numbers, (channels, height, width), splits.how).eval()


def load(folder: Path, metadata: Metadata, *, model: nn.Module | None, trust_code: bool) -> Classifier:
    """The student that a folder holds, of whose exported model these are the ``metadata``."""
    names = metadata.classes or tuple(name for name, _ in metadata.numbers)
    channels, size = metadata.channels, size_of(metadata.height, metadata.width)
    weights = folder / "model.safetensors"
    if model is None:
        section, widths = _section(folder)
        model = build(section, classes=len(names), channels=channels, size=size, trust_code=trust_code, seed=0)
        if widths is not None:
            (state,) = read_sets(weights).values()
            with_widths(model, widths, state, str(folder / "config.json"))
    else:
        model = copy.deepcopy(model)
    if metadata.numbers and any(DEVIATION in state for state in read_sets(weights).values()):
        in_units(model, [0.0] * len(names), [1.0] * len(names))  # what they are is kept with the weights
    load_weights(model, weights, "student")
    seen, how = (
        Normalisation(metadata.mean, metadata.std),
        Preparation(rows=metadata.rows, columns=metadata.columns),
    )
    return Classifier(model, seen, names, (channels, metadata.height, metadata.width), how).eval()


def _section(folder: Path) -> tuple[Model, Mapping[str, Any] | None]:
    """What :func:`limbeck.deploy.published.section_of` says, and nothing is downloaded."""
    section, widths = section_of(folder, "PICTURE")
    if "pretrained" in section.knobs:
        section = Model.model_validate({**section.model_dump(), "pretrained": False})
    return section, widths
