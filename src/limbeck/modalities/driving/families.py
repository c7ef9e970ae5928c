"""The networks of states that there are, and what their knobs may be. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import did_you_mean, shown

MLP = "mlp"
KNOBS = {"width": (1, 1024), "second": (0, 1024)}
"""The least and the most of each knob of the perceptron: how wide its hidden layers are; ``second: 0`` is one alone."""
DEFAULTS = {"width": 32, "second": 28}
MEANINGS = {"width": "Units of the first hidden layer.", "second": "Units of the second; 0: there is none."}


def problems(knobs: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the knobs, each the end of a sentence that begins with their place."""
    for name, value in knobs.items():
        if name not in KNOBS:
            yield f".{name}: {MLP} has no such knob.{did_you_mean(name, KNOBS)}"
        elif type(value) is not int or not KNOBS[name][0] <= value <= KNOBS[name][1]:
            low, high = KNOBS[name]
            yield f".{name}: {shown(value)} was given; it is a whole number from {low} to {high}"
