"""How an answer is kept on disk: logits in, named columns of fixed width out, and back.

A codec works row by row, so that what is stored of an example never depends on its neighbours in a batch.
Shapes: B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput, did_you_mean

FLOAT16_MAX = 65504.0


class Column(NamedTuple):
    """One stored column: ``width`` values for every target; None: one value, and no second axis."""

    name: str
    dtype: np.dtype
    width: int | None

    def shape(self, rows: int) -> tuple[int, ...]:
        """The shape of so many rows."""
        return (rows,) if self.width is None else (rows, self.width)


class Codec(Protocol):
    """What the store needs to know of a codec."""

    @property
    def name(self) -> str:
        """The name in the recipe and the manifest."""
        ...

    def layout(self, classes: int) -> tuple[Column, ...]:
        """The columns of a shard for so many classes."""
        ...

    def encode(self, logits_BC: Tensor) -> dict[str, Tensor]:
        """Columns (B, width) or (B,) on the CPU, as in ``layout``; every row must hold a finite logit."""
        ...

    def decode(self, columns: Mapping[str, Tensor]) -> Tensor:
        """Float32 logits (B, C), each row up to a constant, on the columns' device."""
        ...


@dataclass(frozen=True)
class Dense:
    """Every class's logit in float16, less the mean of the row's finite ones; -inf stays -inf.

    Centring costs nothing (softmax does not see it) and puts the values where float16 is finest. Beyond the
    range of float16 a centred logit is clipped, so that a finite logit stays finite.
    """

    name: str = "dense"

    def layout(self, classes: int) -> tuple[Column, ...]:
        return (Column("logits", np.dtype(np.float16), classes),)

    def encode(self, logits_BC: Tensor) -> dict[str, Tensor]:
        # float64, because a row's sum can overflow float32 where none of its entries does
        wide_BC = logits_BC.detach().cpu().to(torch.float64)
        finite_BC = wide_BC.isfinite()
        mean_B1 = wide_BC.where(finite_BC, 0).sum(1, keepdim=True) / finite_BC.sum(1, keepdim=True)
        centred_BC = (wide_BC - mean_B1).clamp(-FLOAT16_MAX, FLOAT16_MAX).to(torch.float16)
        return {"logits": centred_BC.masked_fill(wide_BC == -torch.inf, -torch.inf)}

    def decode(self, columns: Mapping[str, Tensor]) -> Tensor:
        return columns["logits"].to(torch.float32)


def codec_named(name: str) -> Codec:
    """The codec of that name. Raises :class:`BadInput` naming those there are."""
    if name != Dense.name:
        raise BadInput(f"there is no codec '{name}'.{did_you_mean(name, [Dense.name])}")
    return Dense()


def bytes_per_target(codec: Codec, classes: int) -> int:
    """Bytes of one stored answer."""
    return sum(column.dtype.itemsize * (column.width or 1) for column in codec.layout(classes))


def codec_error(codec: Codec, logits_BC: Tensor) -> dict[str, float | int]:
    """What storing costs, measured on a sample, in nats at temperature 1 and in float64.

    Returns ``mean_kl`` and ``p99_kl`` of KL(teacher || decoded), ``argmax_agreement``, and ``n``, the
    sample's size.
    """
    teacher_BC = logits_BC.detach().cpu().to(torch.float64)
    decoded_BC = codec.decode(codec.encode(logits_BC)).to(torch.float64)
    log_p_BC, log_q_BC = teacher_BC.log_softmax(1), decoded_BC.log_softmax(1)
    p_BC = log_p_BC.exp()
    # clamped at 0: float64 rounding leaves equal distributions at about -1e-17
    kl_B = torch.where(p_BC > 0, p_BC * (log_p_BC - log_q_BC), 0.0).sum(1).clamp(min=0)
    return {
        "mean_kl": float(kl_B.mean()),
        "p99_kl": float(kl_B.quantile(0.99)),
        "argmax_agreement": float((teacher_BC.argmax(1) == decoded_BC.argmax(1)).double().mean()),
        "n": len(logits_BC),
    }
