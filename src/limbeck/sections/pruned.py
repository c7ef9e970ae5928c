"""How a recipe says that its student is the teacher with parts taken out. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .section import Section

PRUNED = "pruned"
"""What the student's ``model`` is called then."""
EXTRA = "prune"
"""What must be installed for it where networks are pruned by a library."""
SMALLEST, LARGEST = 0.1, 0.8
"""Shares of a teacher that are worth trying."""


class Pruned(Section):
    """The teacher with channels, or heads, layers and widths, taken out; what stays begins with the teacher's weights."""

    keep: float = Field(default=0.25, gt=0, lt=1)
    """The share of the teacher's parameters that stays at most; what stays comes as near to it as widths allow. The statistics of
    normalisation are no parameters."""
    criterion: Literal["magnitude", "taylor", "random"] = "magnitude"
    """What stays: the parts with the largest weights (``magnitude``), those whose removal would change the loss on training examples
    most, to first order (``taylor``), or those that chance picks (``random``)."""
