"""Transcripts that a teacher heard, with their weights. Shapes: N rows (an utterance each), K transcripts, T symbols of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import BadInput
from ...interfaces import Hypotheses
from .base import Column, Rows


@dataclass(frozen=True)
class HypothesesCodec:
    """The ``best`` transcripts of each utterance, of up to ``longest`` symbols, found among ``beam`` at each frame.

    Bytes of a row: for each transcript ``longest`` symbols of one byte (two where ``wide``, for more than 256), its length and its
    weight of two each. Nothing is lost but the last digits of weights.

    Raises:
        ValueError: a setting is below 1, or the beam narrower than what is kept of it.
    """

    best: int = 4
    longest: int = 128
    beam: int = 16
    wide: bool = False

    name: ClassVar[str] = "hypotheses"
    kind: ClassVar[type] = Hypotheses

    def __post_init__(self) -> None:
        if min(self.best, self.longest) < 1 or self.beam < self.best:
            raise ValueError(
                f"best and longest must be at least 1, and beam at least best, not {self.best}, {self.longest} and {self.beam}"
            )

    @property
    def settings(self) -> dict[str, Any]:
        wide = {"wide": True} if self.wide else {}
        return {"best": self.best, "longest": self.longest, "beam": self.beam, **wide}

    @property
    def width(self) -> int:
        """How many numbers an utterance is given as: of each transcript its length, its weight, its symbols."""
        return self.best * (self.longest + 2)

    def layout(self, classes: int) -> tuple[Column, ...]:
        if classes > (32_767 if self.wide else 256):
            raise ValueError(f"a symbol is kept in {2 if self.wide else 1} byte(s), and there are {classes} symbols")
        symbol = np.dtype(np.int16 if self.wide else np.uint8)
        return (
            Column("symbols", symbol, self.best * self.longest),
            Column("lengths", np.dtype(np.int16), self.best),
            Column("weights", np.dtype(np.float16), self.best),
        )

    def flat(self, heard: Hypotheses, ids_N: Tensor) -> Tensor:
        """Transcripts as the rows (N, W) that :meth:`encode` takes. Raises :class:`BadInput` where one has more than ``longest`` symbols."""
        if bool((long_N := (heard.lengths > self.longest).any(dim=1)).any()):
            at = int(long_N.nonzero()[0])
            raise BadInput(
                f"targets.codec: the teacher heard {int(heard.lengths[at].max())} symbols in example id {int(ids_N[at])}, and the codec "
                f"hypotheses keeps {self.longest}: give {{hypotheses: {{longest: {int(heard.lengths.max())}}}}}, or leave such examples out."
            )
        count, kept = heard.lengths.shape
        room = (0, max(self.longest - heard.symbols.shape[2], 0), 0, self.best - kept)
        symbols_NKT = F.pad(heard.symbols, room)[:, :, : self.longest]
        inside_NKT = torch.arange(self.longest) < F.pad(heard.lengths, room[2:], value=-1)[..., None]
        parts = (F.pad(heard.lengths, room[2:], value=-1)[..., None], F.pad(heard.weights, room[2:])[..., None])
        return torch.cat([*(part.float() for part in parts), (symbols_NKT * inside_NKT).float()], dim=2).reshape(
            count, -1
        )

    def encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        """Columns of what :meth:`flat` gives."""
        each_NKX = logits_NC.detach().cpu().unflatten(1, (self.best, self.longest + 2))
        return {
            "symbols": each_NKX[..., 2:].flatten(1).to(torch.int16 if self.wide else torch.uint8),
            "lengths": each_NKX[..., 0].to(torch.int16),
            "weights": each_NKX[..., 1].to(torch.float16),
        }

    def decode(self, columns: Mapping[str, Tensor], classes: int) -> Hypotheses:
        symbols_NKT = columns["symbols"].long().unflatten(1, (self.best, self.longest))
        return Hypotheses(symbols_NKT, columns["lengths"].long(), columns["weights"].float())
