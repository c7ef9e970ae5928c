"""What ``limbeck.distill`` makes of the modules and images that a Python program holds."""

from __future__ import annotations

from typing import Any

from torch import nn

from ...errors import BadInput
from ...vision.inputs import Normalisation
from ...vision.sections import Preprocess
from .arrays import Given, from_arrays
from .examples import Splits
from .recipe import RECIPES as RECIPES
from .recipe import Data, ImageRecipe, TeacherSection
from .usable import Classifier

OWN = ("preprocess",)
"""Arguments of ``limbeck.distill`` that are of images alone."""

# What sentences about a recipe call a thing, and what it is called there.
ARGUMENTS = (
    (r"\bteacher\.preprocess\b", "preprocess"),
    (r" Where the shapes are in their transparency, data\.background says what they are laid on\.", ""),
    (r"\bset data\.size and data\.channels so that all are alike", "give all of one size and number of channels"),
)


def splits_of(
    train: Given, validation: Given | None, test: Given | None, *, recipe: ImageRecipe, transfer: Any, classes: Any
) -> Splits:
    """The splits of images that are at hand."""
    if recipe.task != "image-classification":
        raise BadInput(f"task: {recipe.task} is not done from Python yet; a recipe and limbeck run do it.")
    fraction = recipe.data.validation_fraction
    return from_arrays(train, validation, test, classes=classes, transfer=transfer, validation_fraction=fraction)


def sections_of(
    teacher: str, student: str, *, validation_fraction: float, transfer: bool, preprocess: Preprocess | None = None
) -> dict[str, Any]:
    """The sections of the recipe that describe data and models."""
    del transfer  # the fingerprint of the data says it
    return {
        "data": Data(name="python", validation_fraction=validation_fraction),
        "teacher": TeacherSection(model=teacher, preprocess=preprocess),
        "student": {"model": student},
    }


def usable(model: nn.Module, splits: Splits) -> Classifier:
    """The trained student, which takes images as they are."""
    return Classifier(model, Normalisation(splits.mean, splits.std), splits.classes).eval()
