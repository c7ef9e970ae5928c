"""What a codec is: logits in, named columns of fixed width out, and back, row by row.

A *row* is the teacher's answer at one position: the whole answer for an image, one token's for a sequence. What is
stored of a row depends on that row alone, never on its neighbours in a batch. Shapes: N rows, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ...interfaces import DenseLogits, Hypotheses, Sampled, TopK, Values

Answer = DenseLogits | TopK | Sampled | Values | Hypotheses
"""What a store gives back, of one of five kinds."""

FLOAT16_MAX = 65504.0
# Elements that are worked on at a time: float64 copies of a batch of vocabularies would not fit beside the teacher.
CHUNK = 2**24


class Rows(NamedTuple):
    """Which answers the rows are."""

    ids_N: Tensor  # (N,) int64: example ids
    view: int
    position_N: Tensor  # (N,) int64: 0 where an example has one answer


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

    name: ClassVar[str]
    """The name in the recipe and the manifest."""
    kind: ClassVar[type]
    """What :meth:`decode` answers: ``DenseLogits``, ``TopK``, ``Sampled``, ``Values`` or ``Hypotheses``."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """With the name all that decoding needs, and all that two stores must share; plain JSON values."""
        ...

    def layout(self, classes: int) -> tuple[Column, ...]:
        """The columns of a shard for so many classes. Raises ``ValueError`` where the settings do not fit them."""
        ...

    def encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        """Columns (N, width) or (N,) on the CPU, as in ``layout``; every row must hold a finite logit.

        A pure function of its arguments, row by row; works on the device of the logits.
        """
        ...

    def decode(self, columns: Mapping[str, Tensor], classes: int) -> Answer:
        """The answer, float32 and int64, (N, ...), on the columns' device."""
        ...


def bytes_per_target(codec: Codec, classes: int) -> int:
    """Bytes of one stored answer."""
    return sum(column.dtype.itemsize * (column.width or 1) for column in codec.layout(classes))


def in_chunks(encode: Callable[[Tensor, Rows], dict[str, Tensor]], logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
    """``encode`` of a few rows at a time, put together on the CPU."""
    step = max(1, CHUNK // logits_NC.shape[1])
    parts = []
    for low in range(0, max(len(logits_NC), 1), step):
        here = slice(low, low + step)
        one = encode(logits_NC[here].detach(), Rows(rows.ids_N[here], rows.view, rows.position_N[here]))
        parts.append({name: column.cpu() for name, column in one.items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if len(parts) > 1 else parts[0]


def wide(logits_NC: Tensor) -> Tensor:
    """In float64; on the CPU where the device has none."""
    return (logits_NC.cpu() if logits_NC.device.type == "mps" else logits_NC).to(torch.float64)


def to_float16(values: Tensor) -> Tensor:
    """In float16: what is finite stays finite (clipped at its range), -inf stays -inf."""
    clipped = values.clamp(-FLOAT16_MAX, FLOAT16_MAX).to(torch.float16)
    return clipped.masked_fill(values == -torch.inf, -torch.inf)


def unknown_as_nan(answer: Answer, known_B: Tensor) -> Answer:
    """The answer with NaN where ``known_B`` is false, so that nothing can be learnt from it unnoticed."""

    def marked(values: Tensor) -> Tensor:
        return values.where(known_B.view(-1, *([1] * (values.dim() - 1))), math.nan)

    if isinstance(answer, DenseLogits):
        return DenseLogits(marked(answer.logits))
    if isinstance(answer, Values):
        return Values(marked(answer.values), None if answer.spread is None else marked(answer.spread))
    if isinstance(answer, Hypotheses):
        return Hypotheses(answer.symbols, answer.lengths, marked(answer.weights))
    if isinstance(answer, TopK):
        return TopK(answer.ids, marked(answer.logits), marked(answer.log_rest), answer.temperatures)
    return Sampled(answer.ids, marked(answer.counts), answer.temperature, answer.weights)
