"""How an answer is kept on disk: logits in, named columns of fixed width out, and back.

A codec works row by row, so that what is stored of an example never depends on its neighbours in a batch. A row is
the answer at one position: all of it for an image, one token's for a sequence. Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput, did_you_mean
from ..interfaces import DenseLogits, Sampled, TopK

FLOAT16_MAX = 65504.0


class Rows(NamedTuple):
    """What each row answers."""

    ids_N: Tensor  # (N,) int64: the example
    view: int
    position_N: Tensor  # (N,) int64: where in the example; 0 where it has one answer


class Column(NamedTuple):
    """One stored column: ``width`` values for every row; None: one value, and no second axis."""

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

    @property
    def settings(self) -> Mapping[str, Any]:
        """With the name, all that decoding needs; plain JSON values."""
        ...

    def layout(self, classes: int) -> tuple[Column, ...]:
        """The columns of a shard for so many classes."""
        ...

    def encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        """Columns (N, width) or (N,) on the CPU, as in ``layout``; every row must hold a finite logit."""
        ...

    def decode(self, columns: Mapping[str, Tensor], classes: int) -> DenseLogits | TopK | Sampled:
        """The answers (N, ...) on the columns' device; float32."""
        ...


@dataclass(frozen=True)
class Dense:
    """Every class's logit in float16, less the mean of the row's finite ones; -inf stays -inf.

    Centring costs nothing (softmax does not see it) and puts the values where float16 is finest. Beyond the
    range of float16 a centred logit is clipped, so that a finite logit stays finite.
    """

    name: str = "dense"
    settings: Mapping[str, Any] = field(default_factory=dict)

    def layout(self, classes: int) -> tuple[Column, ...]:
        return (Column("logits", np.dtype(np.float16), classes),)

    def encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        # float64, because a row's sum can overflow float32 where none of its entries does
        wide_NC = logits_NC.detach().cpu().to(torch.float64)
        finite_NC = wide_NC.isfinite()
        mean_N1 = wide_NC.where(finite_NC, 0).sum(1, keepdim=True) / finite_NC.sum(1, keepdim=True)
        centred_NC = (wide_NC - mean_N1).clamp(-FLOAT16_MAX, FLOAT16_MAX).to(torch.float16)
        return {"logits": centred_NC.masked_fill(wide_NC == -torch.inf, -torch.inf)}

    def decode(self, columns: Mapping[str, Tensor], classes: int) -> DenseLogits:
        return DenseLogits(columns["logits"].to(torch.float32))


def codec_from(name: str, settings: Mapping[str, Any]) -> Codec:
    """The codec of that name. Raises :class:`BadInput` naming those there are."""
    if name != Dense.name:
        raise BadInput(f"there is no codec '{name}'.{did_you_mean(name, [Dense.name])}")
    return Dense()


def bytes_per_target(codec: Codec, classes: int) -> int:
    """Bytes of one stored row."""
    return sum(column.dtype.itemsize * (column.width or 1) for column in codec.layout(classes))


def codec_error(codec: Codec, logits_NC: Tensor, rows: Rows) -> dict[str, float | int]:
    """What storing costs, measured on a sample, in nats at temperature 1 and in float64.

    Returns ``mean_kl`` and ``p99_kl`` of KL(teacher || decoded), ``argmax_agreement``, and ``n``, the
    sample's size.
    """
    teacher_NC = logits_NC.detach().cpu().to(torch.float64)
    decoded = codec.decode(codec.encode(logits_NC, rows), logits_NC.shape[1])
    assert isinstance(decoded, DenseLogits)
    decoded_NC = decoded.logits.to(torch.float64)
    log_p_NC, log_q_NC = teacher_NC.log_softmax(1), decoded_NC.log_softmax(1)
    p_NC = log_p_NC.exp()
    # clamped at 0: float64 rounding leaves equal distributions at about -1e-17
    kl_N = torch.where(p_NC > 0, p_NC * (log_p_NC - log_q_NC), 0.0).sum(1).clamp(min=0)
    return {
        "mean_kl": float(kl_N.mean()),
        "p99_kl": float(kl_N.quantile(0.99)),
        "argmax_agreement": float((teacher_NC.argmax(1) == decoded_NC.argmax(1)).double().mean()),
        "n": len(logits_NC),
    }
