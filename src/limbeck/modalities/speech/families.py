"""Our networks of sounds by name: which there are, and what knobs each has. No torch, so that a recipe is refused at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import BadInput, did_you_mean, shortened
from ...vision.networks import Allowed, check_knobs

SPEECH_RESNET = "speech_resnet"
DS_CNN = "ds_cnn"
DS_CNN_CAUSAL = "ds_cnn_causal"
DS_CTC = "ds_ctc"
CONFORMER_CTC = "conformer_ctc"

CLASSIFIERS = (SPEECH_RESNET, DS_CNN, DS_CNN_CAUSAL)
"""A class for each clip."""
ENCODERS = (DS_CTC, CONFORMER_CTC)
"""Logits of symbols for each frame."""

_MELS = range(10, 129)
_KERNELS = (3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 25, 29, 33)
_HOPS = (8, 10, 12, 16, 20)
_FRONT: dict[str, Allowed] = {"mels": _MELS, "hop_ms": _HOPS}
KNOBS: dict[str, dict[str, Allowed]] = {
    SPEECH_RESNET: {"width": range(4, 257), "depth": range(1, 9), **_FRONT},
    DS_CNN: {"width": range(4, 513), "depth": range(1, 13), "kernel": (3, 5, 7), **_FRONT},
    DS_CNN_CAUSAL: {"width": range(4, 513), "depth": range(1, 13), "kernel": (3, 5, 7), **_FRONT},
    DS_CTC: {
        "width": range(8, 1025),
        "depth": range(1, 25),
        "kernel": _KERNELS,
        "expand": range(1, 5),
        "stride": range(1, 5),
        "causal": (False, True),
        **_FRONT,
    },
    CONFORMER_CTC: {
        "width": range(16, 1025, 16),
        "depth": range(1, 25),
        "kernel": _KERNELS,
        "stride": range(1, 5),
        **_FRONT,
    },
}
"""By family: its knobs, by the names of its constructor's arguments, and what they may be."""
_OF_KEYWORDS = {"mels": 40, "hop_ms": 16}
_OF_TEXT = {"mels": 64, "hop_ms": 10}
DEFAULTS: dict[str, dict[str, int | bool]] = {
    SPEECH_RESNET: {"width": 32, "depth": 1, **_OF_KEYWORDS},
    DS_CNN: {"width": 24, "depth": 4, "kernel": 3, **_OF_KEYWORDS},
    DS_CNN_CAUSAL: {"width": 24, "depth": 4, "kernel": 3, **_OF_KEYWORDS},
    DS_CTC: {"width": 160, "depth": 6, "kernel": 11, "expand": 2, "stride": 3, "causal": False, **_OF_TEXT},
    CONFORMER_CTC: {"width": 96, "depth": 4, "kernel": 15, "stride": 3, **_OF_TEXT},
}
"""What a knob is where a recipe does not say."""
_OF_FRONT = {
    "mels": "Bands of the log-mel spectrogram.",
    "hop_ms": "Milliseconds from one frame of the spectrogram to the next.",
}
_STRIDE = "Frames of the spectrogram to one frame of answers."
MEANINGS: dict[str, dict[str, str]] = {
    SPEECH_RESNET: {
        "width": "Channels of the stem and the first stage, twice and three times as many in the others.",
        "depth": "Blocks in each of the three stages.",
        **_OF_FRONT,
    },
    **{
        name: {
            "width": "Channels of all layers.",
            "depth": "Depthwise-separable blocks behind the stem.",
            "kernel": "Side of the depthwise convolutions.",
            **_OF_FRONT,
        }
        for name in (DS_CNN, DS_CNN_CAUSAL)
    },
    DS_CTC: {
        "width": "Channels between blocks.",
        "depth": "Blocks.",
        "kernel": "Frames that a depthwise convolution sees.",
        "expand": "Times as many channels within a block.",
        "stride": _STRIDE,
        "causal": "Whether a frame's answer depends on the sound before it alone, as streaming asks.",
        **_OF_FRONT,
    },
    CONFORMER_CTC: {
        "width": "Channels between blocks, 32 of them to a head of attention where that divides them, else 16.",
        "depth": "Blocks.",
        "kernel": "Frames that a depthwise convolution sees.",
        "stride": _STRIDE,
        **_OF_FRONT,
    },
}
"""What each knob is."""


def ours(name: str) -> bool:
    """Whether a model's name is meant for one of these: neither ``module:callable`` nor a folder or name of a hub."""
    return ":" not in name and "/" not in name


def elsewhere(name: str) -> bool:
    """Whether a model's name is meant for a checkpoint of transformers: a folder, ``package:NAME/FOLDER``, or a name on the hub."""
    return name.startswith("package:") or (":" not in name and "/" in name)


def check(name: str, knobs: Mapping[str, Any], among: tuple[str, ...] = CLASSIFIERS + ENCODERS) -> None:
    """Raises `BadInput` where there is no network of that name among these, it has not such a knob, or a knob is out of range."""
    if name not in among:
        hint = did_you_mean(name, among)
        raise BadInput(f"model: there is no model '{shortened(name, 60)}' here.{hint} module:callable also works.")
    check_knobs(name, knobs, KNOBS[name])
