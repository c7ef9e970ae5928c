"""How a recipe says that its student is the teacher with parts taken out. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from .knob import Knob, log, one_of
from .section import Section

PRUNED = "pruned"
"""What the student's ``model`` is called then."""
EXTRA = "prune"
"""What must be installed for it where networks are pruned by a library."""
FEWEST = 2 / 3
"""Of what was asked to stay; where only less can, a teacher has too few sizes to choose from."""
SMALLEST, LARGEST = 0.1, 0.8  # shares of a teacher that are worth trying


class Pruned(Section):
    """The teacher with channels, or heads, layers and widths, taken out; what stays begins with the teacher's weights."""

    keep: float = Field(default=0.25, gt=0, lt=1)
    """The share of the teacher's parameters that stays at most; what stays comes as near to it as widths allow. The statistics of
    normalisation are no parameters."""
    criterion: Literal["magnitude", "taylor", "random"] = "magnitude"
    """What stays: the parts with the largest weights (``magnitude``), those whose removal would change the loss on training examples
    most, to first order (``taylor``), or those that chance picks (``random``)."""


def named(values: Any) -> Any:
    """A student's section as it was given, with ``model`` and ``pruned`` where the other one says them."""
    if isinstance(values, dict):
        if values.get(PRUNED) is not None and "model" not in values:
            return {"model": PRUNED, **values}
        if values.get("model") == PRUNED and values.get(PRUNED) is None:
            return {**values, PRUNED: {}}
    return values


def unless_pruned(values: Mapping[str, Any]) -> dict[str, Any]:
    """A student's values without ``pruned`` where it is not, so that what goes by them stays as it was."""
    return {name: value for name, value in values.items() if name != PRUNED or value is not None}


def one_of_the_two(schema: dict[str, Any]) -> None:
    """A student's JSON schema, in which ``model`` or ``pruned`` must be given."""
    schema["required"] = [name for name in schema.get("required", ()) if name != "model"]
    schema["anyOf"] = [{"required": ["model"]}, {"required": [PRUNED]}]


def of_pruned() -> dict[str, Knob]:
    """Its fields that are worth trying, by name; chance is no criterion that one would deploy."""
    return {"keep": log(SMALLEST, LARGEST), "criterion": one_of(("magnitude", "taylor"))}
