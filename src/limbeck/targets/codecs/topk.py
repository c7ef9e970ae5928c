"""The k largest logits, and the mass of all others at a ladder of temperatures. Shapes: N rows, C classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...interfaces import TopK
from .base import Column, Rows, in_chunks, to_float16
from .ids import id_column, pack, unpack

# Between two of these the log of the rest's mass is interpolated within 0.02, for tails of 50,000 words within 0.007. With
# 1.5 left out it would be 0.09 between 1 and 2, where 1/T moves most (`limbeck.objectives.functional.rest_at`).
LADDER = (1.0, 1.5, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class TopKCodec:
    """The k largest logits in float16 with their ids, and for each T of the ladder the log-sum-exp of all others over T.

    The row's largest logit is put at 0, where float16 is finest and the probability is. Nothing is renormalised: at a
    temperature of the ladder the k probabilities and the mass of the rest are those of the teacher up to the rounding of
    float16.

    Bytes of a row: k ids (:mod:`.ids`), 2 k, and 2 for each temperature.

    Raises:
        ValueError: k below 1, no temperature, one that is not positive, or the same twice.
    """

    k: int
    temperatures: tuple[float, ...] = LADDER

    name: ClassVar[str] = "topk"
    kind: ClassVar[type] = TopK

    def __post_init__(self) -> None:
        ladder = tuple(sorted(float(temperature) for temperature in self.temperatures))
        if self.k < 1:
            raise ValueError(f"k must be at least 1, not {self.k}")
        if not ladder or not ladder[0] > 0 or len(set(ladder)) < len(ladder):
            raise ValueError(f"temperatures must be one or more positive numbers, no two alike, not {list(ladder)}")
        object.__setattr__(self, "temperatures", ladder)

    @property
    def settings(self) -> dict[str, Any]:
        return {"k": self.k, "temperatures": list(self.temperatures)}

    def layout(self, classes: int) -> tuple[Column, ...]:
        if self.k > classes:
            raise ValueError(f"k is {self.k}, and there are {classes} classes: give k of at most {classes}")
        return (
            id_column(self.k, classes),
            Column("logits", np.dtype(np.float16), self.k),
            Column("log_rest", np.dtype(np.float16), len(self.temperatures)),
        )

    def encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        self.layout(logits_NC.shape[1])
        return in_chunks(self._encode, logits_NC, rows)

    def decode(self, columns: Mapping[str, Tensor], classes: int) -> TopK:
        return TopK(
            ids=unpack(columns["ids"], classes),
            logits=columns["logits"].to(torch.float32),
            log_rest=columns["log_rest"].to(torch.float32),
            temperatures=self.temperatures,
        )

    def _encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        full_NC = logits_NC if logits_NC.dtype == torch.float64 else logits_NC.float()
        kept_Nk, ids_Nk = full_NC.topk(self.k, dim=1)  # the largest first
        largest_N1 = kept_Nk[:, :1]
        others_NC = (full_NC - largest_N1).scatter_(1, ids_Nk, -torch.inf)
        log_rest = [_log_sum_exp(others_NC / temperature) for temperature in self.temperatures]
        return {
            "ids": pack(ids_Nk, logits_NC.shape[1]),
            "logits": to_float16(kept_Nk - largest_N1),
            "log_rest": to_float16(torch.stack(log_rest, dim=1)),
        }


def _log_sum_exp(values_NC: Tensor) -> Tensor:
    """(N,). By way of log_softmax, whose kernel gives a row the same bits wherever in a batch it stands."""
    top_N1 = values_NC.argmax(1, keepdim=True)
    largest_N1 = values_NC.gather(1, top_N1)
    log_sum_N1 = largest_N1 - F.log_softmax(values_NC, dim=1).gather(1, top_N1)
    return log_sum_N1.masked_fill(largest_N1 == -torch.inf, -torch.inf)[:, 0]
