"""A checkpoint of transformers as a teacher of sounds: a folder, ``package:NAME/FOLDER``, or a name on the Hugging Face hub."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...errors import BadInput
from ...models.seeding import seeded
from ...nlp.extra import transformers
from ...nlp.folder import quiet, sentences_of, source_of
from ...nlp.locate import locate
from .examples import Splits
from .recipe_ctc import SpeechTeacher
from .whisper import RATE, WhisperCTC

_ROLE = "teacher"


def pretrained(section: SpeechTeacher, splits: Splits, *, seed: int) -> nn.Module:
    """The model in float32 on the CPU. A head that it lacks starts from ``seed`` alone.

    Raises:
        BadInput: there is no such model, it is of a kind that is not taken, or it does not fit the data.
    """
    name = section.model
    place = locate(name, role=_ROLE)
    with quiet(), sentences_of(name, _ROLE, "a model of speech"), source_of(place):
        config: Any = transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)
        if config.model_type != "whisper":
            raise BadInput(
                f"{_ROLE}: {name} is of the kind '{config.model_type}', and what hears symbols at frames is Whisper's encoder: name a "
                "checkpoint of Whisper."
            )
        _check_rate(splits.rate, RATE, name)
        if section.train is None and section.weights is None:
            raise BadInput(
                f"{_ROLE}: {name} has no head for the data's symbols, so its answers would mean nothing: give teacher.train "
                "(teacher={model: ..., train: {}}), or name it as the recogniser that it is (teacher={recogniser: ...})."
            )
        body = _loaded(transformers.WhisperModel, place, name, "encoder.").encoder
    with seeded(seed):
        return WhisperCTC(body, splits.answers.width)


def _loaded(kind: Any, place: str, name: str, needed: str) -> Any:
    """The checkpoint as a model of a class. Raises :class:`BadInput` where it lacks weights whose names begin with ``needed``."""
    model, facts = kind.from_pretrained(
        place, use_safetensors=True, trust_remote_code=False, output_loading_info=True, dtype=torch.float32
    )
    if lost := sorted(key for key in facts["missing_keys"] if key.startswith(needed)):
        raise BadInput(
            f"{_ROLE}: the weights of {name} are not those of a {kind.__name__}: '{lost[0]}' is missing, {len(lost)} in all. Is "
            "config.json of another model?"
        )
    return model.eval()


def _check_rate(rate: int, wanted: int, name: str) -> None:
    if rate != wanted:
        raise BadInput(
            f"{_ROLE}: {name} hears sound at {wanted:,} samples a second, and the clips are at {rate:,}: set data.rate: {wanted}, to "
            "which they are then brought."
        )
