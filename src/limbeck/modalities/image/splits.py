"""From decoded images to the splits of a run.

Shapes: N examples, C channels, H rows, W columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.examples import HeldOut
from ...data.groups import Groups, taken
from ...data.ids import example_ids, number
from ...data.splits import arrange
from ...errors import BadInput
from ...randomness import bits
from ...vision.decode import gather
from ...vision.inputs import content_ids
from ...vision.pixels import AS_USUAL, Preparation
from .examples import Examples, Splits


@dataclass(frozen=True)
class Beside:
    """Further pictures of a split's frames: images (M, C, H, W), labels (M, D), content (M,), and each one's frame (M,)."""

    images: Tensor
    labels: Tensor
    content: Tensor
    frame: Tensor  # (M,) int64: the position of its frame in the split

    @staticmethod
    def of(camera: str, images: Tensor, labels: Tensor, frame: Tensor) -> Beside:
        """Those of a camera. Its name is part of what each is hashed by: a picture may be that of the main camera."""
        salt = number(hashlib.blake2b(camera.encode(), digest_size=8))
        return Beside(images, labels, bits(0, content_ids(images), salt, "camera"), frame)

    @staticmethod
    def joined(each: Sequence[Beside]) -> Beside:
        """Those of several cameras."""
        return Beside(
            *(torch.cat([getattr(one, name) for one in each]) for name in ("images", "labels", "content", "frame"))
        )

    def where(self, keep: Tensor) -> Beside:
        """Those of the frames where ``keep`` (N,) bool holds, which stand closer together then."""
        index = keep[self.frame].nonzero().flatten()
        place_N = torch.cumsum(keep, 0) - 1
        return Beside(gather(self.images, index), self.labels[index], self.content[index], place_N[self.frame[index]])


@dataclass(frozen=True)
class Part:
    """A stored split, decoded: images (N, C, H, W), labels (N,), (N, D) or None, content hashes (N,), groups of N or None."""

    images: Tensor
    labels: Tensor | None
    content: Tensor
    groups: Groups | None = None
    beside: Beside | None = None

    @staticmethod
    def of(images: Tensor, labels: Tensor | None, groups: Groups | None = None) -> Part:
        """The part with its content hashes."""
        return Part(images, labels, content_ids(images), groups)

    def __len__(self) -> int:
        return len(self.content)

    @property
    def alike(self) -> Tensor:
        """The content: images are alike where every pixel is the same."""
        return self.content

    def where(self, keep: Tensor) -> Part:
        """The rows where ``keep`` (N,) bool holds."""
        if bool(keep.all()):
            return self
        index = keep.nonzero().flatten()
        labels = None if self.labels is None else self.labels[index]
        beside = None if self.beside is None else self.beside.where(keep)
        return Part(gather(self.images, index), labels, self.content[index], taken(self.groups, index), beside)

    def examples(self) -> Examples:
        """The part as examples, with ids that tell duplicates apart."""
        return Examples(self.images, self.labels, example_ids(self.content, self.labels), self.groups)

    def to_train_on(self) -> Examples:
        """The same, and after them the further pictures of the same frames."""
        if self.beside is None:
            return self.examples()
        assert self.labels is not None
        content = torch.cat([self.content, self.beside.content])
        labels = torch.cat([self.labels, self.beside.labels])
        groups = None
        if self.groups is not None:
            codes = torch.cat([self.groups.codes, self.groups.codes[self.beside.frame]])
            groups = Groups(codes, self.groups.names)
        return Examples(torch.cat([self.images, self.beside.images]), labels, example_ids(content, labels), groups)


def assemble(
    train: Part,
    validation: Part | None,
    test: HeldOut[Examples] | None,
    transfer: Part | None,
    *,
    classes: tuple[str, ...],
    fraction: float,
    numbers: tuple[str, ...] = (),
    limit: int | None = None,
    transfer_limit: int | None = None,
    notes: list[str] | None = None,
    how: Preparation = AS_USUAL,
    side: int | None = None,
    unit: tuple[str, ...] = (),
) -> Splits:
    """The splits of a run, as :func:`limbeck.data.splits.arrange` makes them, with the training images' statistics.

    A test split that was given cannot be looked at, so transfer examples that stand in it stay.

    Raises ``BadInput`` as ``arrange`` does, and where there is nothing to see in the training images.
    """
    _check_something_to_see(train)
    arranged = arrange(
        train,
        validation,
        test,
        transfer,
        what="image",
        classes=classes,
        fraction=fraction,
        numbers=numbers,
        limit=limit,
        transfer_limit=transfer_limit,
        notes=notes,
    )
    mean, std = statistics(arranged.train.images)
    return Splits(**vars(arranged), mean=mean, std=std, how=how, side=side, unit=unit)


def _check_something_to_see(train: Part) -> None:
    count = len(train)
    if count < 2:
        return
    if bool((train.content == train.content[0]).all()):
        what = "are alike, pixel for pixel"
    elif not any(bool((image.flatten(1) != image[:, :1, 0]).any()) for image in train.images):
        what = "are each of one colour throughout"
    else:
        return
    darkest, brightest = train.images.min(), train.images.max()
    plain = ""
    if darkest == brightest:
        level = float(darkest) / (255 if train.images.dtype == torch.uint8 else 1)
        plain = {0.0: " (all black)", 1.0: " (all white)"}.get(level, " (all of one grey)")
    raise BadInput(
        f"the {count} training images {what}{plain}, so there is nothing to learn from: look at the files as they are "
        "read. Where the shapes are in their transparency, data.background says what they are laid on."
    )


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel on the 0-1 scale, the same whatever the images' order.

    The deviation of a channel that never changes is given as 1, since people divide by it.
    """
    means, deviations = [], []
    for channel in range(images.shape[1]):
        total = squares = 0.0
        for start in range(0, len(images), 4096):
            values = images[start : start + 4096, channel].double()
            total += float(values.sum())
            squares += float(values.square().sum())
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        count = images[:, channel].numel()
        mean = total / count
        deviation = max(squares / count - mean * mean, 0.0) ** 0.5
        # Rounded, so that the order of a float sum cannot show. Sums of uint8 are exact anyway.
        means.append(round(mean / scale, 6))
        deviations.append(round(deviation / scale, 6) or 1.0)
    return tuple(means), tuple(deviations)
