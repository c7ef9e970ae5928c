"""An ONNX file of images as a module: one input of four dimensions.

Shapes: B batch, C channels (or classes), H and W rows and columns.
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
from ...sections.section import LARGEST_SIDE
from . import OUTLINES


class OnnxModel(OnnxFile):
    """Logits (B, classes), float32, of images (B, C, H, W), from ONNX Runtime on the CPU.

    Images may be on any device, where the answer is too. A file made for a fixed number of images is asked about so
    many at a time, the last of them repeated to fill up.

    Raises:
        BadInput: as :class:`OnnxFile`, and where the file is no classifier of images: has several inputs, or an input that
            is not four-dimensional.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        super().__init__(path, threads=threads)
        takes = self.session.get_inputs()
        if len(takes) != 1:
            names = ", ".join(one.name for one in takes) or "none"
            raise BadInput(f"{path} takes {len(takes)} inputs ({names}); a classifier of images takes one.")
        (image,) = takes
        if image.type not in NUMBERS or len(image.shape) != 4:
            raise BadInput(
                f"{path} takes '{image.name}', {image.type} of shape {shape_text(image.shape)}; floating-point images "
                "(batch, channels, height, width) are needed."
            )
        self._input, self._dtype = image.name, NUMBERS[image.type]
        self.takes = tuple(side if isinstance(side, int) else None for side in image.shape)
        self.batch = self.takes[0]  # None: any
        _check_metadata(self)

    @property
    def timed_as_it_is(self) -> bool:
        """Whether one image of a known size can be made up for it."""
        return self.batch is None and None not in self.takes[1:]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _again, (str(self.path), self.threads, self.two_classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        batch = self.batch or max(1, len(images_BCHW))
        parts = [self._run(part, batch) for part in images_BCHW.detach().cpu().split(batch)]
        return self.as_logits(torch.cat(parts).to(images_BCHW.device, torch.float32))

    def _run(self, images_BCHW: Tensor, batch: int) -> Tensor:
        count = len(images_BCHW)
        if self.batch is not None and count < batch:
            images_BCHW = torch.cat([images_BCHW, images_BCHW[-1:].expand(batch - count, -1, -1, -1)])
        given = np.ascontiguousarray(images_BCHW.numpy(), dtype=self._dtype)
        about = f"images of {shape_text(list(given.shape))}"
        answer = self.run({self._input: given}, about, ", or its input is beyond its range; see preprocess")
        return answer[: count if self.batch is not None else None]

    def check_takes(self, channels: int, size: int | tuple[int, int]) -> None:
        """Raises :class:`BadInput` where images (channels, height, width) are not what the file was made for.

        ``size`` is the side of square ones, or (height, width).
        """
        wanted = (channels, size, size) if isinstance(size, int) else (channels, *size)
        if all(side is None or side == want for side, want in zip(self.takes[1:], wanted, strict=True)):
            return
        shown = "x".join("any" if side is None else str(side) for side in self.takes[1:])
        height, width = self.takes[2:]
        other = None not in (height, width) and (height, width) != wanted[1:] and self.takes[1] in (None, channels)
        side = height if height == width else [height, width]
        raise BadInput(
            f"{self.path} takes images of {shown} (channels, height, width), and it would be given "
            f"{'x'.join(map(str, wanted))}: "
            + (f"set preprocess.size: {side} beside it." if other else "export it for such images.")
        )


def _again(path: str, threads: int | None, two_classes: bool) -> OnnxModel:
    model = OnnxModel(path, threads=threads)
    model.two_classes = two_classes
    return model


def _check_metadata(model: OnnxModel) -> None:
    """Raises :class:`BadInput` where what a file says of itself makes no sense, or its graph contradicts it."""
    said, gives = model.metadata, model.gives
    task, classes, given = said.get("task"), said.get("classes"), said.get("input")
    if task is not None and task not in list(OUTLINES):  # whatever a file says: it may be a list
        raise model.unusable(f"its task is {shown(task)}, and it takes images")
    if classes is not None:
        if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
            raise model.unusable("classes must be a list of names")
        if len(gives) == 2 and isinstance(gives[1], int) and gives[1] != len(classes):
            raise model.unusable(f"it names {len(classes)} classes, and the file answers {gives[1]}")
    if given is None:
        return
    if not isinstance(given, dict):
        raise model.unusable("input is no section of fields")
    for name, side in zip(("channels", "height", "width"), model.takes[1:], strict=True):
        value = given.get(name)
        if value is not None and (type(value) is not int or not 1 <= value <= LARGEST_SIDE):
            raise model.unusable(f"input.{name} is {shown(value)}, not a whole number from 1 to {LARGEST_SIDE:,}")
        if None not in (value, side) and value != side:
            raise model.unusable(f"input.{name} is {value}, and the file takes {side}")
    for name, least in (("mean", -1e6), ("std", 1e-12)):
        values = given.get(name)
        if values is not None and not (
            isinstance(values, list)
            and len(values) == given.get("channels", len(values))
            and all(type(value) in (int, float) and least <= value <= 1e6 for value in values)
        ):
            raise model.unusable(f"input.{name} must hold a number a channel, from {least:g} to 1e+06")
