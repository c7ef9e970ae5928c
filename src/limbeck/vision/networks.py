"""Our networks by name: which there are, and what knobs each has. No torch, so that a recipe is refused at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import BadInput, did_you_mean, shortened

CONVNET = "convnet"
MOBILE = "mobile"
PILOTNET = "pilotnet"
RESNETS = (
    *("resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"),
    *("resnet8x4", "resnet14x4", "resnet20x4", "resnet32x4", "resnet44x4", "resnet56x4", "resnet110x4"),
)
"""Examples, for suggestions; any depth 6n + 2 is built."""
WIDE_RESNETS = ("wrn_10_2", "wrn_16_1", "wrn_16_2", "wrn_16_4", "wrn_22_2", "wrn_28_10", "wrn_40_1", "wrn_40_2")
"""Examples, for suggestions; any depth 6n + 4 and any width is built."""

Allowed = range | tuple[int, ...] | tuple[bool, ...]
"""What a knob may be."""
DOWNSCALES = (1, 2, 4)
KNOBS: dict[str, dict[str, Allowed]] = {
    CONVNET: {"width": range(1, 513), "depth": range(1, 13), "kernel": (3, 5, 7), "downscale": DOWNSCALES},
    MOBILE: {
        "width": range(1, 513),
        "depth": range(1, 13),
        "expand": range(1, 9),
        "kernel": (3, 5, 7),
        "downscale": DOWNSCALES,
    },
    PILOTNET: {"width": range(3, 257), "hidden": range(1, 1025)},
}
"""By family: its knobs, in the order of its constructor's arguments, and what they may be. The others have none."""
_AVERAGED = "The picture is averaged over squares of so many pixels first; 1: as it is."
MEANINGS: dict[str, dict[str, str]] = {
    CONVNET: {
        "width": "Channels of the stem, doubled by each stage.",
        "depth": "Blocks in the last stage.",
        "kernel": "Side of the depthwise convolutions.",
        "downscale": _AVERAGED,
    },
    MOBILE: {
        "width": "Channels of the stem and the first stage, half as many again in each further one.",
        "depth": "Blocks in the last stage.",
        "expand": "Times as many channels within a block.",
        "kernel": "Side of the depthwise convolutions.",
        "downscale": _AVERAGED,
    },
    PILOTNET: {
        "width": "Channels of the first convolution.",
        "hidden": "Units behind the last.",
    },
}
"""What each knob is."""


def ours(name: str) -> bool:
    """Whether a model's name is meant for one of these: neither ``timm/NAME`` nor ``module:callable``."""
    return not name.startswith("timm/") and ":" not in name


def check(name: str, knobs: Mapping[str, Any]) -> None:
    """Raises `BadInput` where there is no network of that name, it has not such a knob, or a knob is out of range."""
    if name in KNOBS:
        check_knobs(name, knobs, KNOBS[name])
    elif re.fullmatch(r"resnet\d+(x4)?", name):
        resnet_blocks(name)
        check_knobs(name, knobs, {})
    elif re.fullmatch(r"wrn_\d+_\d+", name):
        wide_resnet_blocks(name)
        check_knobs(name, knobs, {})
    else:
        hint = did_you_mean(name, (*KNOBS, *RESNETS, *WIDE_RESNETS))
        raise BadInput(
            f"model: there is no model '{shortened(name, 60)}'.{hint} timm/NAME and module:callable also work."
        )


def resnet_blocks(name: str) -> tuple[int, bool]:
    """Blocks in a stage of ``resnetD`` or ``resnetDx4``, and whether it is four times as wide.

    Raises `BadInput` where D is not 6n + 2.
    """
    match = re.fullmatch(r"resnet(\d{1,4})(x4)?", name)
    if match is None or int(match[1]) < 8 or (int(match[1]) - 2) % 6:
        hint = did_you_mean(name, RESNETS)
        raise BadInput(f"model: '{shortened(name, 60)}' has not 6n + 2 layers, as a CIFAR-style resnet has.{hint}")
    return (int(match[1]) - 2) // 6, match[2] is not None


def wide_resnet_blocks(name: str) -> tuple[int, int]:
    """Blocks in a stage of ``wrn_D_W``, and W. Raises `BadInput` where D is not 6n + 4, or W is 0."""
    match = re.fullmatch(r"wrn_(\d{1,4})_(\d{1,3})", name)
    if match is None or int(match[1]) < 10 or (int(match[1]) - 4) % 6 or int(match[2]) < 1:
        raise BadInput(
            f"model: '{shortened(name, 60)}' is not a wide ResNet; the name is wrn_DEPTH_WIDTH with a depth of 6n + 4 "
            "(10, 16, 22, 28, 34, 40 ...) and a width from 1, such as wrn_16_2."
        )
    return (int(match[1]) - 4) // 6, int(match[2])


def check_knobs(name: str, knobs: Mapping[str, Any], known: Mapping[str, Allowed]) -> None:
    """Raises `BadInput` where a network of that name has not such a knob, or it is out of range."""
    for knob, value in knobs.items():
        if knob not in known:
            if not known:
                raise BadInput(f"model: {name} has no knobs, so '{knob}' cannot be set.")
            hint = did_you_mean(knob, known)
            raise BadInput(f"model: {name} has no knob '{knob}'; it has {', '.join(known)}.{hint}")
        allowed = known[knob]
        if value not in allowed or type(value) is not type(allowed[0]):
            right = (
                f"a whole number from {allowed[0]} to {allowed[-1]}"
                + (f" in steps of {allowed.step}" if allowed.step > 1 else "")
                if isinstance(allowed, range)
                else "one of " + ", ".join(str(one).lower() for one in allowed)
            )
            raise BadInput(f"model: {name}'s {knob} is {value!r}; it must be {right}.")
