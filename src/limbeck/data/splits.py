"""From splits as they were read to the splits of a run: ids, carving, overlaps, fingerprint; for any modality.

Shapes: N examples.
"""

from __future__ import annotations

import hashlib
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from ..errors import BadInput
from ..files import fingerprint
from .carving import Carving, carving_of, units_of
from .examples import AnyExamples, HeldOut, SplitsOf, check_every_class, classes_missing, listed_names
from .groups import Groups
from .ids import example_ids
from .numbers import check_they_vary

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

    @property
    def groups(self) -> Groups | None:
        """The group of each example, none of which is split; None where nothing groups them."""
        ...

    def __len__(self) -> int: ...

    def where(self, keep: Tensor) -> Self:
        """The rows where ``keep`` (N,) bool holds."""
        ...

    def examples(self) -> Made:
        """The part as examples, with ids that tell duplicates apart."""
        ...

    def to_train_on(self) -> Made:
        """The same, and what there is beside them to train on alone."""
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
    numbers: tuple[str, ...] = (),
    alphabet: tuple[str, ...] = (),
    limit: int | None = None,
    transfer_limit: int | None = None,
    not_in_transfer: Tensor | None = None,
    notes: list[str] | None = None,
) -> SplitsOf[E]:
    """The splits of a run; ``validation`` and ``test`` are carved from ``train`` where they are None.

    A split carved here takes all that are alike, and whole groups; see :func:`limbeck.data.carving.carving_of`. Training
    examples that also stand in a validation split that was given stay, and are counted in a note, as are those of its
    groups. Transfer examples are left out where they stand in train, in validation or in a carved test split, where their
    group stands in one of the latter two, and where their ``alike`` is in ``not_in_transfer``. Classes that a split lacks
    are named in a note, of a given test split when it is opened. ``what`` examples are called in notes, such as "image".
    ``numbers`` are the names of what a regression learns, and ``alphabet`` the symbols of labels without an alignment, neither
    of which has ``classes``.

    Raises ``BadInput`` where a carved split is empty, or train lacks a class.
    """
    notes = list(notes or [])
    if not len(train):
        raise BadInput("split 'train' is empty: it needs at least one example of every class.")
    _check_classes(train, classes, "")
    if train.groups is not None:
        notes.append(_grouped(train.groups, what))
    kept_out: list[Tensor] = [] if not_in_transfer is None else [not_in_transfer]
    kept_apart: list[Groups] = []
    if test is None:
        held, train = _carved(train, "test", fraction, classes, notes)
        kept_out.append(held.alike)
        kept_apart += [held.groups] if held.groups is not None else []
        test = HeldOut(lambda notes: held.examples(), count=len(held))
    else:
        test = _said_of_test(test, train.groups, classes, what)
    if validation is None:
        validation, train = _carved(train, "validation", fraction, classes, notes)
    else:
        if shared := int(torch.isin(train.alike, validation.alike).sum()):
            notes.append(f"{shared} of {len(train)} training {what}s stand in the validation split too.")
        notes += _shared_groups(validation.groups, train.groups, "validation", what)
        notes += _lacking(validation.labels, classes, "validation")
    kept_apart += [validation.groups] if validation.groups is not None else []
    train = _smallest(train, limit)
    _check_classes(train, classes, f" left after data.limit: {limit}" if limit else "")
    if numbers and len(train) < 2:
        left = f", left after data.limit: {limit}" if limit else ""
        raise BadInput(f"split 'train' has one example{left}: numbers are learnt from at least two that differ.")
    if numbers and train.labels is not None:
        check_they_vary(train.labels, numbers, "train")
    if transfer is not None:
        kept_out += [train.alike, validation.alike]
        known = torch.isin(transfer.alike, torch.cat(kept_out))
        if dropped := int(known.sum()):
            notes.append(
                f"{dropped} of {len(transfer)} transfer {what}s stand in the other splits too and are left out."
            )
        transfer = transfer.where(~known)
        if kept_apart:
            transfer = _of_other_groups(transfer, kept_apart, what, notes)
        transfer = _smallest(transfer, transfer_limit)
        if not len(transfer):
            raise BadInput(f"the transfer set holds no {what} that the other splits do not: name another, or none.")
    splits = (train.to_train_on(), validation.examples(), None if transfer is None else transfer.examples())
    return SplitsOf(
        train=splits[0],
        validation=splits[1],
        test=test,
        transfer=splits[2],
        classes=classes,
        fingerprint=_fingerprint(*splits, classes, numbers, alphabet),
        labelled=_fingerprint(splits[0], splits[1], None, classes, numbers, alphabet),
        notes=tuple(notes),
        numbers=numbers,
        alphabet=alphabet,
    )


def _smallest(part: AnyPart[E], limit: int | None) -> AnyPart[E]:
    """At most ``limit`` rows, those with the smallest ids, in their storage order."""
    if limit is None or limit >= len(part):
        return part
    keep = torch.zeros(len(part), dtype=torch.bool)
    keep[torch.argsort(example_ids(part.content, part.labels))[:limit]] = True
    return part.where(keep)


def _carved(
    train: AnyPart[E], split: str, fraction: float, classes: tuple[str, ...], notes: list[str]
) -> tuple[AnyPart[E], AnyPart[E]]:
    """What is carved off and what stays; both must hold something."""
    assert train.labels is not None
    groups = None if train.groups is None else train.groups.hashes
    units = units_of(train.alike, groups)
    if classes:
        carving = carving_of(units, train.labels, len(classes), fraction, split, steady=groups is not None)
    else:  # numbers: as if all were of one class
        carving = carving_of(units, torch.zeros(len(train), dtype=torch.int64), 1, fraction, split, steady=True)
    carved, rest = train.where(carving.chosen), train.where(~carving.chosen)
    if not len(carved) or not len(rest):
        of = (
            ""
            if groups is None
            else f" in {len(units.key)} group{'s' if len(units.key) > 1 else ''}, none of which is split,"
        )
        raise BadInput(
            f"a {split} split of {fraction:g} carved from {len(train)} training examples{of} leaves "
            f"{'none in it' if not len(carved) else 'none to train on'}: give more examples, a {split} "
            "split of their own, or another data.validation_fraction."
        )
    _check_classes(rest, classes, f" left once the {split} split is carved off")
    notes.append(_how(carving, split, len(carved), groups is not None, classes))
    share = len(carved) / len(train)
    if groups is not None and not fraction / 2 <= share <= 2 * fraction:
        notes.append(
            f"the {split} split holds {share:.0%} of train where {fraction:.0%} were asked for: groups are not split, and "
            f"the largest that stay together hold {units.size.max() / len(train):.0%}."
        )
    notes += _lacking(carved.labels, classes, split)
    return carved, rest


def _how(carving: Carving, split: str, count: int, grouped: bool, classes: tuple[str, ...]) -> str:
    by = "their group" if grouped else "their content"
    if not classes:
        return f"the {split} split is carved from train: {count} examples by a hash of {by}."
    left_out, off = ([classes[label] for label in found] for found in (carving.left_out, carving.misjudged))
    reasons = []
    if left_out:
        reasons.append(f"leave {len(left_out)} of {len(classes)} classes out on one side ({listed_names(left_out)})")
    if off:
        reasons.append(f"take a share of {listed_names(off)} that chance does not explain")
    if grouped and not reasons:
        reasons.append("take another share of train than was asked for")
    if carving.crowded:
        return (
            f"the {split} split is carved from train: {count} examples by a hash of {by}, although that would "
            f"{' and '.join(reasons)}: one example of every class would be too much of train."
        )
    if carving.within:
        return (
            f"the {split} split is carved from train within classes: {count} examples by a hash of {by}, as the hash alone "
            f"would {' and '.join(reasons)}."
        )
    return f"the {split} split is carved from train: {count} examples by a hash of {by}."


def _lacking(labels: Tensor | None, classes: tuple[str, ...], split: str) -> list[str]:
    """A note where a split has no example of some classes."""
    missing = [] if labels is None or not classes else classes_missing(labels, classes)
    return [
        f"the {split} split has no example of {len(missing)} of {len(classes)} classes ({listed_names(missing)}): its figures "
        "say nothing of them."
    ] if missing else []  # fmt: skip


def _said_of_test(test: HeldOut[E], train: Groups | None, classes: tuple[str, ...], what: str) -> HeldOut[E]:
    """The same, with notes on opening of the classes that it lacks and the groups that it shares with train."""

    def read(notes: list[str]) -> E:
        examples = test.open("the run's own")
        notes += [
            *test.notes,
            *_shared_groups(examples.groups, train, "test", what),
            *_lacking(examples.labels, classes, "test"),
        ]
        return examples

    return HeldOut(read, count=test.count)


def _grouped(groups: Groups, what: str) -> str:
    largest = max(groups.present.items(), key=lambda held: (held[1], held[0]))
    if largest[1] == 1:
        return (
            f"data.group: each of the {len(groups)} training {what}s is in a group of its own ({largest[0]!r}, say), so nothing "
            "is kept together: name what several of them share, or leave data.group out."
        )
    return (
        f"data.group: {len(groups)} training {what}s in {len(groups.present)} group{'s' * (len(groups.present) != 1)}, of which none is split; the largest, "
        f"{largest[0]!r}, holds {largest[1]}."
    )


def _shared_groups(here: Groups | None, train: Groups | None, split: str, what: str) -> list[str]:
    """A note where groups of a split that was given stand in train too."""
    if here is None or train is None or not (shared := here.shared_with(train)):
        return []
    count = sum(here.present[name] for name in shared)
    return [
        f"the {split} split shares {len(shared)} of its {len(here.present)} groups with the training data ({listed_names(shared)}; {count} "
        f"of its {len(here)} {what}s): its figures flatter a model that knows a group."
    ]


def _of_other_groups(transfer: AnyPart[E], apart: list[Groups], what: str, notes: list[str]) -> AnyPart[E]:
    if transfer.groups is None:
        notes.append(
            f"the transfer {what}s have no group (data.group): some may belong to groups of validation or test."
        )
        return transfer
    known = torch.isin(transfer.groups.hashes, torch.cat([groups.hashes for groups in apart]))
    if dropped := int(known.sum()):
        notes.append(
            f"{dropped} of {len(transfer)} transfer {what}s are of groups of validation or test and are left out."
        )
    return transfer.where(~known)


def _check_classes(train: AnyPart[E], classes: tuple[str, ...], when: str) -> None:
    if train.labels is None:
        raise BadInput("split 'train' has no labels: it needs one for each example.")
    if not classes:
        return
    check_every_class(train.labels, classes, "train", when)


def _fingerprint(
    train: AnyExamples,
    validation: AnyExamples,
    transfer: AnyExamples | None,
    classes: tuple[str, ...],
    numbers: tuple[str, ...] = (),
    alphabet: tuple[str, ...] = (),
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
    named = {"numbers": list(numbers)} if numbers else {"classes": list(classes)}
    named = {"alphabet": list(alphabet)} if alphabet else named
    return fingerprint({**parts, **named})
