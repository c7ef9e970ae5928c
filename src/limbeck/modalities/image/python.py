"""What ``limbeck.distill`` makes of the modules and images that a Python program holds."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from torch import nn

from ...errors import BadInput, short
from ...models.state_file import read_sets
from ...models.weights import load_weights
from ...sections.teacher import Model
from ...vision.build import build
from ...vision.inputs import Normalisation
from ...vision.pixels import Preparation, size_of
from ...vision.sections import Preprocess
from ...vision.units import DEVIATION, in_units
from .arrays import Given, from_arrays
from .examples import Splits
from .predict import Metadata
from .recipe import Data, ImageRecipe, TeacherSection
from .usable import Classifier

RECIPES = {"image-classification": ImageRecipe}
OWN = ("preprocess",)
"""Arguments of ``limbeck.distill`` that are of images alone."""

_REUSED = {"body", "projector", "classifier"}
"""Names that the weights of what SimKD deploys begin with (``limbeck.pipeline.simkd.ReusedClassifier``)."""

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
    channels, height, width = splits.train.images.shape[1:]
    seen = Normalisation(splits.mean, splits.std)
    return Classifier(model, seen, splits.classes, (channels, height, width), splits.how).eval()


def load(folder: Path, metadata: Metadata, *, model: nn.Module | None, trust_code: bool) -> Classifier:
    """The student that a folder holds, of whose exported model these are the ``metadata``."""
    names = metadata.classes or tuple(name for name, _ in metadata.numbers)
    channels, size = metadata.channels, size_of(metadata.height, metadata.width)
    if model is None:
        model = build(
            _section(folder),
            classes=len(names),
            channels=channels,
            size=size,
            trust_code=trust_code,
            seed=0,
        )
    else:
        model = copy.deepcopy(model)
    weights = folder / "model.safetensors"
    if metadata.numbers and any(DEVIATION in state for state in read_sets(weights).values()):
        in_units(model, [0.0] * len(names), [1.0] * len(names))  # what they are is kept with the weights
    load_weights(model, weights, "student")
    seen, how = (
        Normalisation(metadata.mean, metadata.std),
        Preparation(rows=metadata.rows, columns=metadata.columns),
    )
    return Classifier(model, seen, names, (channels, metadata.height, metadata.width), how).eval()


def _section(folder: Path) -> Model:
    """How the student's recipe described it; its weights are beside it, and nothing is downloaded."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        section = Model.model_validate({**config["model"], "weights": None})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{folder / 'config.json'} does not say what the student is ({short(error)}).") from error
    if {
        name.partition(".")[0] for state in read_sets(folder / "model.safetensors").values() for name in state
    } >= _REUSED:
        raise BadInput(
            f"{folder} holds what simkd deployed, which is more than the network of its recipe: a body, a projector and the "
            f"teacher's classifier. No module of them is built here: its ONNX file is whole, so ask that, with limbeck predict "
            f"{folder} PICTURE, or from a program with predict(...) of the predict.py beside it."
        )
    if config.get("own"):
        raise BadInput(
            f"{folder} holds weights of a person's own class, {section.model}: give a module of it, "
            f"limbeck.load(..., model={section.model}())."
        )
    if "pretrained" in section.knobs:
        section = Model.model_validate({**section.model_dump(), "pretrained": False})
    return section
