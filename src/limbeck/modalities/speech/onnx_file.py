"""An ONNX file of sounds as a module: one input of samples.

Shapes: B batch, S samples, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import BadInput, shown
from ...models.onnx_file import NUMBERS, OnnxFile, shape_text
from . import OUTLINES


class SoundOnnx(OnnxFile):
    """Logits (B, C), float32, of samples (B, S) in -1 to 1, from ONNX Runtime on the CPU.

    A file made for a fixed number of sounds is asked about so many at a time, the last of them repeated to fill up.

    Raises:
        BadInput: as :class:`OnnxFile`, and where the file is no classifier of sounds: has several inputs, or an input that is
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

    @property
    def timed_as_it_is(self) -> bool:
        """Whether one sound of a known length can be made up for it."""
        return self.batch is None and self.samples is not None

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _again, (str(self.path), self.threads)

    def forward(self, samples_BS: Tensor) -> Tensor:
        batch = self.batch or max(1, len(samples_BS))
        parts = [self._run(part, batch) for part in samples_BS.detach().cpu().split(batch)]
        return self.as_logits(torch.cat(parts).to(samples_BS.device, torch.float32))

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


def _again(path: str, threads: int | None) -> SoundOnnx:
    return SoundOnnx(path, threads=threads)
