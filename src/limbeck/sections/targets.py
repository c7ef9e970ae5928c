"""How a recipe says that the teacher is asked. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from .codec import Codec
from .section import Section, Times


class Targets(Section):
    """How the teacher is asked."""

    views: Times = 4
    """How many views of each example it answers; epoch e shows view (e + hash(id)) mod views."""
    codec: Codec = "dense"
    """How an answer is stored: ``dense`` is every class's logit in float16, ``int8`` in one byte; or a section. The numbers
    of a regression are kept in ``float32`` (``dense`` too) or ``float16``."""
    average: bool = False
    """Answer every view with the mean of the teacher's probabilities, or numbers, over all stored views of the example."""
    live: bool = False
    """Ask at every step instead of storing: for endless views, at a teacher's pass each epoch."""
    store: str | None = None
    """A folder of finished soft targets to learn from instead of asking; number of views and codec are then its own."""
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    """Precision of the teacher's arithmetic; ``auto`` takes a faster one where its answers are measured to be as good."""
    compile: bool = False
    """Compile the teacher with torch.compile; for a large teacher on a GPU, where minutes of asking lie ahead."""

    @model_validator(mode="after")
    def _consistent(self) -> Targets:
        if self.live and self.store is not None:
            raise ValueError(
                "with live the teacher is asked at every step, and store names what was kept: leave out one"
            )
        if self.live and self.average:
            raise ValueError("average needs stored views: leave out live")
        if self.live and (self.precision != "float32" or self.compile):
            raise ValueError(
                "precision and compile are for answers that are stored: leave out live, or leave out these"
            )
        return self
