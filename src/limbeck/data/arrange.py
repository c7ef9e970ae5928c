"""From splits as they were read to the splits of a run: ids, carving, overlaps, fingerprint; for any modality.

Shapes: N examples.
"""

from __future__ import annotations

import hashlib
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from limbeck.errors import BadInput
from limbeck.files import fingerprint

from .examples import AnyExamples, HeldOut, SplitsOf, check_every_class
from .ids import carve, example_ids

E = TypeVar("E", bound=AnyExamples)
Made = TypeVar("Made", bound=AnyExamples, covariant=True)


class AnyPart(Protocol[Made]):
    """A split as it was read."""

    @property
    def labels(self) -> Tensor | None:
        """As examples have them."""
        ...

    @property
    def content(self) -> Tensor:
        """(N,) int64 hashes, from which ids are made."""
        ...

    @property
    def alike(self) -> Tensor:
        """(N,) int64 hashes that are equal where two examples are the same to a reader: they fall on one side."""
        ...

    def __len__(self) -> int: ...

    def where(self, keep: Tensor) -> Self:
        """The rows where ``keep`` (N,) bool holds."""
        ...

    def examples(self) -> Made:
        """The part as examples, with ids that tell duplicates apart."""
        ...


def arrange(
    train: AnyPart[E],
    validation: AnyPart[E] | None,
    test: HeldOut[E] | None,
    transfer: AnyPart[E] | None,
    *,
    what: str,
    classes: tuple[str, ...],
    fraction: float,
    limit: int | None = None,
    transfer_limit: int | None = None,
    not_in_transfer: Tensor | None = None,
    notes: list[str] | None = None,
) -> SplitsOf[E]:
    """The splits of a run; ``validation`` and ``test`` are carved from ``train`` where they are None.

    A split carved here takes all that are alike. Training examples that also stand in a validation split that was
    given stay, and are counted in a note. Transfer examples that stand in train, in validation or in a carved test
    split are left out, and those whose ``alike`` is in ``not_in_transfer``. ``what`` examples are called in notes,
    such as "image".

    Raises ``BadInput`` where a carved split is empty, or train lacks a class.
    """
    notes = list(notes or [])
    if not len(train):
        raise BadInput("split 'train' is empty: it needs at least one example of every class.")
    _check_classes(train, classes, "")
    kept_out: list[Tensor] = [] if not_in_transfer is None else [not_in_transfer]
    if test is None:
        held, train = _carved(train, "test", fraction, classes)
        kept_out.append(held.alike)
        test = HeldOut(lambda notes: held.examples(), count=len(held))
        notes.append(f"the test split is carved from train: {len(held)} examples by a hash of their content.")
    if validation is None:
        validation, train = _carved(train, "validation", fraction, classes)
        notes.append(
            f"the validation split is carved from train: {len(validation)} examples by a hash of their content."
        )
    elif shared := int(torch.isin(train.alike, validation.alike).sum()):
        notes.append(f"{shared} of {len(train)} training {what}s stand in the validation split too.")
    train = _smallest(train, limit)
    _check_classes(train, classes, f" left after data.limit: {limit}" if limit else "")
    if transfer is not None:
        kept_out += [train.alike, validation.alike]
        known = torch.isin(transfer.alike, torch.cat(kept_out))
        if dropped := int(known.sum()):
            notes.append(
                f"{dropped} of {len(transfer)} transfer {what}s stand in the other splits too and are left out."
            )
        transfer = _smallest(transfer.where(~known), transfer_limit)
        if not len(transfer):
            raise BadInput(f"the transfer set holds no {what} that the other splits do not: name another, or none.")
    splits = (train.examples(), validation.examples(), None if transfer is None else transfer.examples())
    return SplitsOf(
        train=splits[0],
        validation=splits[1],
        test=test,
        transfer=splits[2],
        classes=classes,
        fingerprint=_fingerprint(*splits, classes),
        labelled=_fingerprint(splits[0], splits[1], None, classes),
        notes=tuple(notes),
    )


def _smallest(part: AnyPart[E], limit: int | None) -> AnyPart[E]:
    """At most ``limit`` rows, those with the smallest ids, in their storage order."""
    if limit is None or limit >= len(part):
        return part
    keep = torch.zeros(len(part), dtype=torch.bool)
    keep[torch.argsort(example_ids(part.content, part.labels))[:limit]] = True
    return part.where(keep)


def _carved(train: AnyPart[E], split: str, fraction: float, classes: tuple[str, ...]) -> tuple[AnyPart[E], AnyPart[E]]:
    """What is carved off and what stays; both must hold something."""
    chosen = carve(train.alike, fraction, split)
    carved, rest = train.where(chosen), train.where(~chosen)
    if not len(carved) or not len(rest):
        raise BadInput(
            f"a {split} split of {fraction:g} carved from {len(train)} training examples leaves "
            f"{'none in it' if not len(carved) else 'none to train on'}: give more examples, a {split} "
            "split of their own, or another data.validation_fraction."
        )
    _check_classes(rest, classes, f" left once the {split} split is carved off")
    return carved, rest


def _check_classes(train: AnyPart[E], classes: tuple[str, ...], when: str) -> None:
    if train.labels is None:
        raise BadInput("split 'train' has no labels: it needs one for each example.")
    check_every_class(train.labels, classes, "train", when)


def _fingerprint(
    train: AnyExamples, validation: AnyExamples, transfer: AnyExamples | None, classes: tuple[str, ...]
) -> str:
    def digest(examples: AnyExamples | None) -> str:
        if examples is None:
            return ""
        order = torch.argsort(examples.ids)
        hashed = hashlib.sha256(examples.ids[order].numpy().tobytes())
        if examples.labels is not None:
            hashed.update(examples.labels[order].numpy().tobytes())
        return hashed.hexdigest()

    parts = {"train": digest(train), "validation": digest(validation), "transfer": digest(transfer)}
    return fingerprint({**parts, "classes": list(classes)})
