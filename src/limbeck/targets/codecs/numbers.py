"""The numbers of a regression as they are, in four bytes each or in two, and their deviations. Shapes: N rows, D numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from ...errors import BadInput
from ...interfaces import Values
from .base import FLOAT16_MAX, Codec, Column, Rows
from .hypotheses import HypothesesCodec

PRECISIONS = ("float32", "float16")


@dataclass(frozen=True)
class Numbers:
    """D numbers for each row, in ``precision``; nothing is centred or scaled, since a number's unit is its meaning.

    With ``spread``, a row is the D numbers and then the deviation of each, as :class:`limbeck.models.ensemble.MeanAndSpread`
    answers. In float16 a number keeps three digits: an error of up to 0.05 % of it. Raises ``ValueError`` for another precision.
    """

    name: ClassVar[str] = "numbers"
    kind: ClassVar[type] = Values
    precision: str = "float32"
    spread: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}, and numbers are kept in {' or '.join(PRECISIONS)}")

    @property
    def settings(self) -> dict[str, Any]:
        return {"precision": self.precision} | ({"spread": True} if self.spread else {})

    def layout(self, classes: int) -> tuple[Column, ...]:
        names = ("values", "spread") if self.spread else ("values",)
        return tuple(Column(name, np.dtype(self.precision), classes) for name in names)

    def encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        """Raises :class:`BadInput` naming the example whose numbers are not finite, or too large for float16."""
        values_ND = logits_NC.detach().float().cpu()
        if not bool((finite_N := values_ND.isfinite().all(1)).all()):
            raise BadInput(
                f"the teacher's answer to example id {int(rows.ids_N.cpu()[~finite_N][0])}, view {rows.view}, is not finite: "
                "its weights may come from a training run that diverged."
            )
        if self.precision == "float16":
            if bool((large_N := values_ND.abs().amax(1) > FLOAT16_MAX).any()):
                raise BadInput(
                    f"targets.codec: float16 holds numbers up to {FLOAT16_MAX:,.0f}, and the teacher's answer to example id "
                    f"{int(rows.ids_N.cpu()[large_N][0])} is {float(values_ND[large_N][0].abs().max()):,.0f}: take float32."
                )
            values_ND = values_ND.half()
        if not self.spread:
            return {"values": values_ND}
        return dict(
            zip(("values", "spread"), (part_ND.contiguous() for part_ND in values_ND.chunk(2, dim=1)), strict=True)
        )

    def decode(self, columns: Mapping[str, Tensor], classes: int) -> Values:
        return Values(columns["values"].float(), columns["spread"].float() if self.spread else None)


def answer_width(codec: Codec, classes: int) -> int:
    """How many numbers a teacher answers each row with, of a store of ``classes``: twice as many with their deviations, and of
    transcripts what :meth:`HypothesesCodec.flat` makes of them.
    """
    if isinstance(codec, HypothesesCodec):
        return codec.width
    return 2 * classes if isinstance(codec, Numbers) and codec.spread else classes
