"""From decoded parts to the splits of a run: ids, carving, overlaps, statistics, fingerprint.

Shapes: N examples, C channels, H rows, W columns.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from limbeck.errors import BadInput
from limbeck.files import fingerprint

from .examples import Examples, HeldOut, Splits, check_every_class
from .ids import carve, content_ids, example_ids
from .images import gather


@dataclass(frozen=True)
class Part:
    """A stored split, decoded: images (N, C, H, W), labels (N,) or None, and content hashes (N,)."""

    images: Tensor
    labels: Tensor | None
    content: Tensor

    @staticmethod
    def of(images: Tensor, labels: Tensor | None) -> Part:
        """The part with its content hashes."""
        return Part(images, labels, content_ids(images))

    def __len__(self) -> int:
        return len(self.content)

    def where(self, keep: Tensor) -> Part:
        """The rows where ``keep`` (N,) bool holds."""
        if bool(keep.all()):
            return self
        index = keep.nonzero().flatten()
        labels = None if self.labels is None else self.labels[index]
        return Part(gather(self.images, index), labels, self.content[index])

    def smallest(self, limit: int | None) -> Part:
        """At most ``limit`` rows, those with the smallest ids, in their storage order."""
        if limit is None or limit >= len(self):
            return self
        keep = torch.zeros(len(self), dtype=torch.bool)
        keep[torch.argsort(example_ids(self.content, self.labels))[:limit]] = True
        return self.where(keep)

    def examples(self) -> Examples:
        """The part as examples, with ids that tell duplicates apart."""
        return Examples(self.images, self.labels, example_ids(self.content, self.labels))


def assemble(
    train: Part,
    validation: Part | None,
    test: HeldOut | None,
    transfer: Part | None,
    *,
    classes: tuple[str, ...],
    fraction: float,
    limit: int | None = None,
    transfer_limit: int | None = None,
    notes: list[str] | None = None,
) -> Splits:
    """The splits of a run; ``validation`` and ``test`` are carved from ``train`` where they are None.

    A split carved here takes all copies of an image. Training examples that also stand in a validation
    split that was given stay, and are counted in a note. Transfer examples that stand in train, in
    validation or in a carved test split are left out; a test split that was given cannot be looked at for
    this.

    Raises ``BadInput`` where a carved split is empty, or train lacks a class.
    """
    notes = list(notes or [])
    if not len(train):
        raise BadInput("split 'train' is empty: it needs at least one example of every class.")
    _check_classes(train, classes, "")
    kept_out: list[Tensor] = []
    if test is None:
        chosen = carve(train.content, fraction, "test")
        held, train = _carved(train, chosen, "test", fraction, classes)
        kept_out.append(held.content)
        test = HeldOut(lambda notes: held.examples(), count=len(held))
        notes.append(f"the test split is carved from train: {len(held)} examples by a hash of their content.")
    if validation is None:
        chosen = carve(train.content, fraction, "validation")
        validation, train = _carved(train, chosen, "validation", fraction, classes)
        notes.append(
            f"the validation split is carved from train: {len(validation)} examples by a hash of their content."
        )
    elif shared := int(torch.isin(train.content, validation.content).sum()):
        notes.append(f"{shared} of {len(train)} training images stand in the validation split too.")
    train = train.smallest(limit)
    _check_classes(train, classes, f" left after data.limit: {limit}" if limit else "")
    if transfer is not None:
        kept_out += [train.content, validation.content]
        known = torch.isin(transfer.content, torch.cat(kept_out))
        if dropped := int(known.sum()):
            notes.append(
                f"{dropped} of {len(transfer)} transfer images stand in the other splits too and are left out."
            )
        transfer = transfer.where(~known).smallest(transfer_limit)
        if not len(transfer):
            raise BadInput("the transfer set holds no image that the other splits do not: name another, or none.")
    mean, std = statistics(train.images)
    splits = (train.examples(), validation.examples(), None if transfer is None else transfer.examples())
    return Splits(
        train=splits[0],
        validation=splits[1],
        test=test,
        transfer=splits[2],
        classes=classes,
        mean=mean,
        std=std,
        fingerprint=_fingerprint(*splits, classes),
        notes=tuple(notes),
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


def _carved(train: Part, chosen: Tensor, split: str, fraction: float, classes: tuple[str, ...]) -> tuple[Part, Part]:
    """What is carved off and what stays; both must hold something."""
    carved, rest = train.where(chosen), train.where(~chosen)
    if not len(carved) or not len(rest):
        raise BadInput(
            f"a {split} split of {fraction:g} carved from {len(train)} training examples leaves "
            f"{'none in it' if not len(carved) else 'none to train on'}: give more examples, a {split} "
            "split of their own, or another data.validation_fraction."
        )
    _check_classes(rest, classes, f" left once the {split} split is carved off")
    return carved, rest


def _check_classes(train: Part, classes: tuple[str, ...], when: str) -> None:
    if train.labels is None:
        raise BadInput("split 'train' has no labels: it needs one for each image.")
    check_every_class(train.labels, classes, "train", when)


def _fingerprint(train: Examples, validation: Examples, transfer: Examples | None, classes: tuple[str, ...]) -> str:
    def digest(examples: Examples | None) -> str:
        if examples is None:
            return ""
        order = torch.argsort(examples.ids)
        hashed = hashlib.sha256(examples.ids[order].numpy().tobytes())
        if examples.labels is not None:
            hashed.update(examples.labels[order].numpy().tobytes())
        return hashed.hexdigest()

    parts = {"train": digest(train), "validation": digest(validation), "transfer": digest(transfer)}
    return fingerprint({**parts, "classes": list(classes)})
