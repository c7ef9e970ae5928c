"""A recogniser of which nothing is known but its transcripts: as a teacher, whose answers are what it heard and how sure it was.

Shapes: B batch, S samples, L frames, V symbols, K transcripts (one), T symbols of it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import BadInput, short
from ...interfaces import Hypotheses

Recognise = Callable[[np.ndarray, int], Any]
"""Of samples (S,) float32 in [-1, 1] at a rate: what is said, or that and how sure it is, from 0 to 1."""

FRAMES_A_SECOND = 100  # twice as many as symbols in the fastest speech, and blanks between equal ones
_SURE = 0.999  # probability of a symbol at its frame, or of the blank elsewhere


class Recogniser(nn.Module):
    """Answers as a CTC model would that is sure of the transcript: its symbols in order, evenly spread over the clip, blanks between.

    Each clip is heard once, however often it is asked about.

    Args:
        recognise: the recogniser.
        symbols: of the alphabet, the blank first.
        rate: samples a second of the clips.
        read: a transcript as the data's are read. Signs that the alphabet lacks are left out of what it gives; where letters or digits are among
            them it is not what was said, and weighs nothing.
        name: what messages call it.
        known_by: what tells it from other recognisers; its name where not given.
    """

    def __init__(
        self,
        recognise: Recognise,
        symbols: Sequence[str],
        rate: int,
        read: Callable[[str], str],
        name: str,
        known_by: str | None = None,
    ) -> None:
        super().__init__()
        self.recognise, self.symbols, self.rate, self.read, self.name = recognise, tuple(symbols), rate, read, name
        said = hashlib.sha256(repr((name if known_by is None else known_by, self.symbols)).encode()).digest()
        self.register_buffer("identity", torch.frombuffer(bytearray(said), dtype=torch.uint8))
        self._heard: dict[bytes, tuple[tuple[int, ...], float]] = {}
        self._numbers = {symbol: number for number, symbol in enumerate(self.symbols) if number}

    def forward(self, samples_BS: Tensor, lengths_B: Tensor) -> Tensor:
        """Logits (B, L, V); L is that of S samples."""
        frames = int(self.frames_of(torch.tensor([samples_BS.shape[1]])))
        symbols_BL = torch.zeros(len(samples_BS), frames, dtype=torch.int64)
        for b, (said, _) in enumerate(self._of(samples_BS, lengths_B)):
            own = int(self.frames_of(lengths_B[b : b + 1].cpu()))
            symbols_BL[b, _places(len(said), own)] = torch.tensor(said, dtype=torch.int64)
        sure = math.log(_SURE / (1 - _SURE) * (len(self.symbols) - 1))
        one_hot_BLV = torch.nn.functional.one_hot(symbols_BL, len(self.symbols)).float()
        return sure * one_hot_BLV.to(samples_BS.device)

    def hear(self, samples_BS: Tensor, lengths_B: Tensor) -> Hypotheses:
        """Its transcript of each clip, weighted by how sure it is."""
        heard = self._of(samples_BS, lengths_B)
        symbols_BKT = torch.zeros(len(heard), 1, max([1, *(len(said) for said, _ in heard)]), dtype=torch.int64)
        for b, (said, _) in enumerate(heard):
            symbols_BKT[b, 0, : len(said)] = torch.tensor(said, dtype=torch.int64)
        lengths_BK = torch.tensor([[len(said)] for said, _ in heard])
        return Hypotheses(symbols_BKT, lengths_BK, torch.tensor([[sureness] for _, sureness in heard]))

    def frames_of(self, lengths_B: Tensor) -> Tensor:
        """How many frames (B,) clips of so many samples have; one at least."""
        return (lengths_B * FRAMES_A_SECOND // self.rate).clamp(min=1)

    def extra_repr(self) -> str:
        return self.name

    def _of(self, samples_BS: Tensor, lengths_B: Tensor) -> list[tuple[tuple[int, ...], float]]:
        """Symbols and sureness of each clip. Raises :class:`BadInput` where what is heard cannot be used."""
        found = []
        for samples_S, length in zip(samples_BS.detach().float().cpu().numpy(), lengths_B.tolist(), strict=True):
            own_S = np.ascontiguousarray(samples_S[:length])
            key = hashlib.sha256(own_S.tobytes()).digest()
            if key not in self._heard:
                self._heard[key] = self._asked(own_S)
            found.append(self._heard[key])
        return found

    def _asked(self, samples_S: np.ndarray) -> tuple[tuple[int, ...], float]:
        try:
            told = self.recognise(samples_S, self.rate)
        except Exception as error:  # a person's own code fails in any way
            raise BadInput(
                f"teacher.recogniser: {self.name} fails on a clip of {len(samples_S)} samples: {short(error)}"
            ) from error
        text, sureness = told if isinstance(told, tuple) and len(told) == 2 else (told, 1.0)
        if not isinstance(text, str) or not isinstance(sureness, int | float) or not 0 <= sureness <= 1:
            raise BadInput(
                f"teacher.recogniser: {self.name} answers a clip with {str(told)[:60]!r}; it should answer with what is said, a text, or "
                "with that and how sure it is, from 0 to 1."
            )
        read = self.read(text)
        symbols = tuple(self._numbers[letter] for letter in read if letter in self._numbers)
        if any(letter.isalnum() and letter not in self._numbers for letter in read):
            sureness = 0.0
        frames = int(self.frames_of(torch.tensor([len(samples_S)])))
        if 2 * len(symbols) > frames + 1:
            raise BadInput(
                f"teacher.recogniser: {self.name} hears {len(symbols)} letters in {len(samples_S) / self.rate:.2f} seconds, more than "
                "anybody says: something other than transcripts comes back, or a clip is cut off."
            )
        return symbols, float(sureness)


def _places(count: int, frames: int) -> list[int]:
    """Frames of so many symbols, evenly spread, no two next to one another where there are twice as many frames, less one."""
    if count < 2:
        return [frames // 2] * count
    step = (frames - 1) / (count - 1)
    return [math.floor(k * step) for k in range(count)]
