"""Images with labels and ids, and their splits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.examples import Identified, SplitsOf, check_groups
from ...data.groups import Groups, taken
from ...errors import BadInput
from ...vision.pixels import AS_USUAL, Preparation, Size, size_of


@dataclass(frozen=True, eq=False)
class Examples(Identified):
    """Images with their labels and ids; what training indexes and what views are rendered from.

    ``images`` (N, C, H, W) uint8, or float32 in [0, 1]; ``labels`` (N,) int64 class ids, (N, D) float32 numbers, or None for
    a set without labels; ``ids`` (N,) int64, at least 0, no two equal; ``groups`` of N examples, or None where none are known.
    Raises ``BadInput`` where two ids are equal and ``ValueError`` where shapes or types do not fit one another.
    """

    images: Tensor
    labels: Tensor | None
    ids: Tensor
    groups: Groups | None = None

    def __post_init__(self) -> None:
        if self.images.ndim != 4:
            raise ValueError(f"images must be (N, C, H, W), not {tuple(self.images.shape)}")
        if self.images.dtype not in (torch.uint8, torch.float32):
            raise ValueError(f"images must be uint8 or float32, not {self.images.dtype}")
        count = len(self.images)
        self._check_ids(count)
        check_groups(self.groups, count)
        labels = self.labels
        if labels is None or (labels.ndim == 2 and len(labels) == count and labels.dtype == torch.float32):
            return
        if labels.shape != (count,) or labels.dtype != torch.int64:
            raise ValueError(
                f"labels must be ({count},) int64 or ({count}, D) float32, not {tuple(labels.shape)} {labels.dtype}"
            )

    def take(self, index: Tensor) -> Examples:
        """The examples at positions ``index`` (B,) int64, in that order; a position may not come twice."""
        labels = None if self.labels is None else self.labels[index]
        return Examples(self.images[index], labels, self.ids[index], taken(self.groups, index))

    def to(self, device: torch.device | str) -> Examples:
        """The same examples on a device."""
        labels = None if self.labels is None else self.labels.to(device)
        groups = None if self.groups is None else self.groups.to(device)
        return Examples(self.images.to(device), labels, self.ids.to(device), groups)


def joined(first: Examples, second: Examples, labels: Tensor | None) -> Examples:
    """The examples of both, one after the other, with these labels."""
    return Examples(torch.cat([first.images, second.images]), labels, torch.cat([first.ids, second.ids]))


@dataclass(frozen=True, eq=False, kw_only=True)
class Splits(SplitsOf[Examples]):
    """Images; ``mean`` and ``std`` are per channel over the training images on the 0-1 scale.

    ``how`` says what was done to the encoded images, and ``side`` how many pixels the shorter side of the largest had;
    None where they came as arrays.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    how: Preparation = AS_USUAL
    side: int | None = None
    unit: tuple[str, ...] = ()  # of the numbers: one for all, or one each

    def __post_init__(self) -> None:
        super().__post_init__()
        shapes = {"train": self.train.images.shape[1:], "validation": self.validation.images.shape[1:]}
        if self.transfer is not None:
            shapes["transfer"] = self.transfer.images.shape[1:]
        for split, shape in shapes.items():
            if shape != shapes["train"]:
                raise BadInput(
                    f"images of '{split}' are {_size_of(shape)} and those of 'train' "
                    f"{_size_of(shapes['train'])}: set data.size and data.channels so that all are alike."
                )


def shape_of(splits: Splits) -> tuple[int, Size]:
    """Channels of the images, and their size."""
    _, channels, height, width = splits.train.images.shape
    return channels, size_of(height, width)


def _size_of(shape: torch.Size) -> str:
    channels, height, width = shape
    return f"{width}x{height} with {channels} channel{'s' if channels != 1 else ''}"
