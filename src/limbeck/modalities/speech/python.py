"""What ``limbeck.distill`` makes of the modules and sounds that a Python program holds."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from torch import nn

from ...deploy.published import section_of
from ...errors import BadInput
from ...models.weights import load_weights
from ...objectives.modules import CTC, KD, CrossEntropy, CTCFrameKD, Objective
from .arrays import Given, from_arrays
from .arrays_ctc import from_transcribed
from .built import made
from .examples import Splits
from .predict import Metadata
from .recipe import RECIPES, AudioRecipe  # noqa: F401 - which such a module offers
from .recipe_ctc import SpeechRecipe
from .usable import Classifier, TranscribingModel

OWN = {"audio-classification": ("rate", "seconds"), "automatic-speech-recognition": ("rate", "seconds", "alphabet")}
"""Arguments of ``limbeck.distill`` that are of a task alone."""

"""Names that the weights of what SimKD deploys begin with (``limbeck.pipeline.simkd.ReusedClassifier``)."""

# What sentences about a recipe call a thing, and what it is called there.
ARGUMENTS = (
    (r"\bdata\.rate\b", "rate"),
    (r"\bdata\.seconds\b", "seconds"),
    (r"\bdata\.alphabet\b", "alphabet"),
    (r"\bdata\.text: every training transcript is empty: name another column", "every training transcript is empty"),
)


def splits_of(
    train: Given,
    validation: Given | None,
    test: Given | None,
    *,
    recipe: AudioRecipe | SpeechRecipe,
    transfer: Any,
    classes: Any,
    rate: int | None = None,
    seconds: float | None = None,
    alphabet: str | None = None,
) -> Splits:
    """The splits of sounds that are at hand."""
    del seconds, alphabet  # the recipe has them, and what is usual where they were not given
    if rate is None:
        raise BadInput("rate is not given: of sounds say how many samples a second they have, such as rate=16000.")
    if isinstance(recipe, SpeechRecipe):
        if classes is not None:
            raise BadInput(
                f"classes is not for task: {recipe.task}, whose answers are spelt: alphabet has the letters."
            )
        return from_transcribed(train, validation, test, rate=rate, data=recipe.data, transfer=transfer)
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
    if task == "automatic-speech-recognition":
        return CTCFrameKD() + CTC()
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
    alphabet: str | None = None,
) -> dict[str, Any]:
    """The sections of the recipe that describe data and models."""
    del transfer  # the fingerprint of the data says it
    own = {"rate": rate, "seconds": seconds, "alphabet": alphabet, "case": None if alphabet is None else "keep"}
    said = {name: value for name, value in own.items() if value is not None}
    return {
        "data": {"name": "python", "validation_fraction": validation_fraction, **said},
        "teacher": {"model": teacher},
        "student": {"model": student},
    }


def usable(model: nn.Module, splits: Splits) -> Classifier | TranscribingModel:
    """The trained student, which takes sounds as they are."""
    return _usable(model, splits.answers.names, splits.rate, splits.samples)


def load(
    folder: Path, metadata: Metadata, *, model: nn.Module | None, trust_code: bool
) -> Classifier | TranscribingModel:
    """The student that a folder holds, of whose exported model these are the ``metadata``."""
    weights = folder / "model.safetensors"
    if model is None:
        facts = {"classes": len(metadata.classes), "rate": metadata.rate, "samples": metadata.samples}
        model = made(section_of(folder, "SOUND")[0], **facts, trust_code=trust_code, seed=0)
    else:
        model = copy.deepcopy(model)
    load_weights(model, weights, "student")
    return _usable(model, metadata.classes, metadata.rate, metadata.samples)


def _usable(model: nn.Module, names: tuple[str, ...], rate: int, samples: int | None) -> Classifier | TranscribingModel:
    made = TranscribingModel(model, names, rate) if samples is None else Classifier(model, names, rate, samples)
    return made.eval()
