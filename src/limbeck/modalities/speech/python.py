"""What ``limbeck.distill`` makes of the modules and sounds that a Python program holds."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from torch import nn

from ...errors import BadInput, short
from ...models.state_file import read_sets
from ...models.weights import load_weights
from ...objectives.modules import KD, CrossEntropy, Objective
from ...sections.recipe import Recipe
from ...sections.teacher import Model
from .arrays import Given, from_arrays
from .built import made
from .examples import Splits
from .predict import Metadata
from .recipe import AudioRecipe
from .usable import Classifier

RECIPES: dict[str, type[Recipe]] = {"audio-classification": AudioRecipe}
OWN = {"audio-classification": ("rate", "seconds")}
"""Arguments of ``limbeck.distill`` that are of a task alone."""

_REUSED = {"body", "projector", "classifier"}
"""Names that the weights of what SimKD deploys begin with (``limbeck.pipeline.simkd.ReusedClassifier``)."""

# What sentences about a recipe call a thing, and what it is called there.
ARGUMENTS = ((r"\bdata\.rate\b", "rate"), (r"\bdata\.seconds\b", "seconds"))


def splits_of(
    train: Given,
    validation: Given | None,
    test: Given | None,
    *,
    recipe: AudioRecipe,
    transfer: Any,
    classes: Any,
    rate: int | None = None,
    seconds: float | None = None,
) -> Splits:
    """The splits of sounds that are at hand."""
    del seconds  # the recipe has it, and a usual one where it was not given
    if rate is None:
        raise BadInput("rate is not given: of sounds say how many samples a second they have, such as rate=16000.")
    return from_arrays(
        train,
        validation,
        test,
        rate=rate,
        seconds=recipe.data.seconds,
        classes=classes,
        transfer=transfer,
        validation_fraction=recipe.data.validation_fraction,
    )


def usual_objective(task: str) -> Objective:
    """What a student is asked to match where nothing is said."""
    return 0.9 * KD(temperature=4.0) + 0.1 * CrossEntropy()


def fresh(student: nn.Module, splits: Splits) -> nn.Module:
    """A student that a function has just made, as it is."""
    return student


def sections_of(
    teacher: str,
    student: str,
    *,
    validation_fraction: float,
    transfer: bool,
    rate: int | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """The sections of the recipe that describe data and models."""
    del transfer  # the fingerprint of the data says it
    window = {name: value for name, value in (("rate", rate), ("seconds", seconds)) if value is not None}
    return {
        "data": {"name": "python", "validation_fraction": validation_fraction, **window},
        "teacher": {"model": teacher},
        "student": {"model": student},
    }


def usable(model: nn.Module, splits: Splits) -> Classifier:
    """The trained student, which takes sounds as they are."""
    assert splits.samples is not None
    return Classifier(model, splits.classes, splits.rate, splits.samples).eval()


def load(folder: Path, metadata: Metadata, *, model: nn.Module | None, trust_code: bool) -> Classifier:
    """The student that a folder holds, of whose exported model these are the ``metadata``."""
    weights = folder / "model.safetensors"
    assert metadata.samples is not None  # which a file that names classes says
    if model is None:
        facts = {"classes": len(metadata.classes), "rate": metadata.rate, "samples": metadata.samples}
        model = made(_section(folder), **facts, trust_code=trust_code, seed=0)
    else:
        model = copy.deepcopy(model)
    load_weights(model, weights, "student")
    return Classifier(model, metadata.classes, metadata.rate, metadata.samples).eval()


def _section(folder: Path) -> Model:
    """How the student's recipe described it; its weights are beside it."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        section = Model.model_validate({**config["model"], "weights": None})
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{folder / 'config.json'} does not say what the student is ({short(error)}).") from error
    parts = {name.partition(".")[0] for state in read_sets(folder / "model.safetensors").values() for name in state}
    if parts >= _REUSED:
        raise BadInput(
            f"{folder} holds what simkd deployed, which is more than the network of its recipe: a body, a projector and the "
            f"teacher's classifier. No module of them is built here: its ONNX file is whole, so ask that, with limbeck predict "
            f"{folder} SOUND, or from a program with predict(...) of the predict.py beside it."
        )
    if config.get("own"):
        raise BadInput(
            f"{folder} holds weights of a person's own class, {section.model}: give a module of it, "
            f"limbeck.load(..., model={section.model}())."
        )
    return section
