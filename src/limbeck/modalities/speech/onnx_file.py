"""An ONNX file of sounds as a module: one input of samples.

Shapes: B batch, S samples, C classes, L frames, V symbols.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...errors import BadInput, shown
from ...models.onnx_file import NUMBERS, OnnxFile, shape_text
from . import OUTLINES


class SoundFile(OnnxFile):
    """An ONNX file that takes samples (batch, samples) in -1 to 1, run by ONNX Runtime on the CPU.

    Raises:
        BadInput: as :class:`OnnxFile`, and where the file is no model of sounds: has several inputs, or an input that is
            not two-dimensional.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        super().__init__(path, threads=threads)
        takes = self.session.get_inputs()
        if len(takes) != 1 or takes[0].type not in NUMBERS or len(takes[0].shape) != 2:
            found = (
                ", ".join(f"'{one.name}', {one.type} of shape {shape_text(one.shape)}" for one in takes) or "nothing"
            )
            raise BadInput(f"{path} takes {found}; one input of floating-point samples (batch, samples) is needed.")
        self._input, self._dtype = takes[0].name, NUMBERS[takes[0].type]
        self.batch, self.samples = (side if isinstance(side, int) else None for side in takes[0].shape)  # None: any
        task = self.metadata.get("task")
        if task is not None and task not in list(OUTLINES):  # whatever a file says: it may be a list
            raise self.unusable(f"its task is {shown(task)}, and it takes sounds")

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _again, (type(self), str(self.path), self.threads)

    def _run(self, samples_BS: Tensor, batch: int) -> Tensor:
        count = len(samples_BS)
        if self.batch is not None and count < batch:
            samples_BS = torch.cat([samples_BS, samples_BS[-1:].expand(batch - count, -1)])
        given = np.ascontiguousarray(samples_BS.numpy(), dtype=self._dtype)
        answer = self.run({self._input: given}, f"sounds of {shape_text(list(given.shape))}", "")
        return answer[: count if self.batch is not None else None]

    def check_takes(self, rate: int, samples: int | None) -> None:
        """Raises :class:`BadInput` where such sounds are not what the file was made for."""
        said = self.metadata.get("input")
        its = said.get("rate") if isinstance(said, dict) else None
        if its is not None and its != rate:
            raise BadInput(
                f"{self.path} takes sounds of {shown(its)} Hz, and it would be given {rate} Hz: set data.rate: {shown(its)}."
            )
        if None not in (self.samples, samples) and self.samples != samples:
            raise BadInput(
                f"{self.path} takes {self.samples} samples, and it would be given {samples}: set data.seconds: "
                f"{(self.samples or 0) / rate:g}."
            )


class SoundOnnx(SoundFile):
    """Logits (B, C), float32, of samples (B, S).

    A file made for a fixed number of sounds is asked about so many at a time, the last of them repeated to fill up.
    """

    @property
    def timed_as_it_is(self) -> bool:
        """Whether one sound of a known length can be made up for it."""
        return self.batch is None and self.samples is not None

    def forward(self, samples_BS: Tensor) -> Tensor:
        batch = self.batch or max(1, len(samples_BS))
        parts = [self._run(part, batch) for part in samples_BS.detach().cpu().split(batch)]
        return self.as_logits(torch.cat(parts).to(samples_BS.device, torch.float32))


class SpokenOnnx(SoundFile):
    """Logits (B, L, V), float32, of samples (B, S) of which ``lengths_B`` are a clip's own: each clip is asked about alone, as the file has it.

    Raises:
        BadInput: as :class:`SoundFile`, and where the file takes sounds of one length alone.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        super().__init__(path, threads=threads)
        if self.samples is not None:
            raise BadInput(
                f"{path} takes {self.samples} samples, and clips are of any length: export it with a length that is dynamic."
            )
        self._frames: dict[int, int] = {}  # of a clip of so many samples

    @property
    def timed_as_it_is(self) -> bool:
        return self.batch is None

    def forward(self, samples_BS: Tensor, lengths_B: Tensor) -> Tensor:
        clips = zip(samples_BS.detach().cpu(), lengths_B.tolist(), strict=True)
        rows = [self._asked(samples_S[:length]) for samples_S, length in clips]
        answer_BLV = pad_sequence(rows, batch_first=True)
        beyond = int(self.frames_of(torch.tensor([samples_BS.shape[1]]))) - answer_BLV.shape[1]
        return F.pad(answer_BLV, (0, 0, 0, max(0, beyond))).to(samples_BS.device)

    def frames_of(self, lengths_B: Tensor) -> Tensor:
        """How many frames (B,) clips of so many samples have; of lengths that were not asked about yet by asking about silence."""
        for length in set(lengths_B.tolist()) - set(self._frames):
            self._asked(torch.zeros(length))
        return torch.tensor([self._frames[length] for length in lengths_B.tolist()], device=lengths_B.device)

    def _asked(self, samples_S: Tensor) -> Tensor:
        answer = self._run(samples_S[None], self.batch or 1)
        if answer.ndim != 3:
            raise BadInput(
                f"{self.path} answers a sound with the shape {tuple(answer.shape)}; logits (batch, frames, symbols) are needed."
            )
        self._frames[len(samples_S)] = answer.shape[1]
        return self.as_logits(answer)[0]


def _again(kind: type[SoundFile], path: str, threads: int | None) -> SoundFile:
    return kind(path, threads=threads)
