"""Every class's logit, in two bytes or in one. Shapes: N rows, C classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...interfaces import DenseLogits
from .base import FLOAT16_MAX, Column, Rows, in_chunks, to_float16, wide

LEVELS = 254  # steps between the smallest and the largest logit of a row: codes 1 to 255, and 0 is -inf


@dataclass(frozen=True)
class Dense:
    """Every class's logit in float16, less the mean of the row's finite ones; -inf stays -inf.

    Centring costs nothing (softmax does not see it) and puts the values where float16 is finest. Beyond the
    range of float16 a centred logit is clipped, so that a finite logit stays finite. Not ``centred``, the logits are kept
    as they are: a sigmoid, which answers of several labels go through, does see it.
    """

    name: ClassVar[str] = "dense"
    kind: ClassVar[type] = DenseLogits
    centred: bool = True

    @property
    def settings(self) -> dict[str, Any]:
        return {} if self.centred else {"centred": False}

    def layout(self, classes: int) -> tuple[Column, ...]:
        return (Column("logits", np.dtype(np.float16), classes),)

    def encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        return in_chunks(_centred if self.centred else _as_it_is, logits_NC, rows)

    def decode(self, columns: Mapping[str, Tensor], classes: int) -> DenseLogits:
        return DenseLogits(columns["logits"].to(torch.float32))


@dataclass(frozen=True)
class Int8:
    """Every class's logit in one byte, with one scale a row: ``logit = scale (code - 255)``, up to a constant.

    Logits are known up to a constant anyway, so the row's largest is put at 0 and no offset is kept: code 255 is the
    largest, code 1 the smallest, and code 0 is -inf. The scale is rounded up to float16, so that every finite logit
    lies within half a step, 1/508 of the row's range, of what is decoded.
    """

    name: ClassVar[str] = "int8"
    kind: ClassVar[type] = DenseLogits

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    def layout(self, classes: int) -> tuple[Column, ...]:
        return Column("codes", np.dtype(np.uint8), classes), Column("scale", np.dtype(np.float16), None)

    def encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        return in_chunks(_quantised, logits_NC, rows)

    def decode(self, columns: Mapping[str, Tensor], classes: int) -> DenseLogits:
        codes_NC = columns["codes"]
        logits_NC = (codes_NC.to(torch.float32) - 255) * columns["scale"].to(torch.float32)[:, None]
        return DenseLogits(logits_NC.masked_fill(codes_NC == 0, -torch.inf))


def _centred(logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
    # float64, because a row's sum can overflow float32 where none of its entries does
    wide_NC = wide(logits_NC)
    finite_NC = wide_NC.isfinite()
    mean_N1 = wide_NC.where(finite_NC, 0).sum(1, keepdim=True) / finite_NC.sum(1, keepdim=True)
    return {"logits": to_float16(wide_NC - mean_N1)}


def _as_it_is(logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
    return {"logits": to_float16(logits_NC)}


def _quantised(logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
    below_NC = wide(logits_NC)
    below_NC = below_NC - below_NC.amax(1, keepdim=True)
    range_N = -below_NC.masked_fill(below_NC == -torch.inf, 0).amin(1)
    scale_N = _rounded_up((range_N / LEVELS).clamp(max=FLOAT16_MAX))
    steps_NC = below_NC / scale_N.to(torch.float64).masked_fill(scale_N == 0, 1.0)[:, None]
    codes_NC = (steps_NC.clamp(min=-LEVELS).round() + 255).masked_fill(below_NC == -torch.inf, 0)
    return {"codes": codes_NC.to(torch.uint8), "scale": scale_N}


def _rounded_up(values_N: Tensor) -> Tensor:
    """The smallest float16 that is not below, for numbers from 0 to the range of float16."""
    nearest_N = values_N.to(torch.float16)
    # the next positive float is the one whose bits count one more
    up_N = (nearest_N.view(torch.int16) + (nearest_N.to(torch.float64) < values_N).to(torch.int16)).view(torch.float16)
    return up_N
