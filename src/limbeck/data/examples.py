"""Examples in memory, each with a stable id, and the three splits.

Shapes: N examples, C channels, H rows, W columns; K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from ..errors import BadInput
from ..interfaces import IGNORED, Answers
from .groups import Groups

Recorder = Callable[[str], None]


class Identified:
    """Something that keeps ``ids`` (N,) int64, at least 0, no two equal: one for each of its examples."""

    ids: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def position_of(self, ids_B: Tensor) -> Tensor:
        """Positions (B,) int64 of the examples with these ids; ``KeyError`` names the first not here."""
        ids_N, order_N = self._sorted
        place_B = torch.searchsorted(ids_N, ids_B).clamp(max=max(len(self) - 1, 0))
        absent = (ids_N[place_B] != ids_B) if len(self) else torch.ones_like(ids_B, dtype=torch.bool)
        if absent.any():
            raise KeyError(f"no example has id {int(ids_B[absent][0])}")
        return order_N[place_B]

    @cached_property
    def _sorted(self) -> tuple[Tensor, Tensor]:
        ids_N, order_N = torch.sort(self.ids)
        return ids_N, order_N

    def _check_ids(self, count: int) -> None:
        """Raises ``ValueError`` for the wrong shape or type, ``BadInput`` where two ids are equal."""
        if self.ids.shape != (count,) or self.ids.dtype != torch.int64:
            raise ValueError(f"ids must be ({count},) int64, not {tuple(self.ids.shape)} {self.ids.dtype}")
        # Elsewhere than on the CPU the check would wait for the device, and what lies there came from here.
        if self.ids.device.type != "cpu":
            return
        ids_N, order_N = self._sorted
        if len(ids_N) and int(ids_N[0]) < 0:
            raise ValueError("ids must be at least 0")
        equal = (ids_N[1:] == ids_N[:-1]).nonzero()
        if len(equal):
            first = int(equal[0])
            raise BadInput(
                f"rows {int(order_N[first])} and {int(order_N[first + 1])} have the same example id "
                f"{int(ids_N[first])}: every example needs an id of its own; leave one of the two out."
            )


def check_labels(labels: Tensor, classes: tuple[str, ...], split: str) -> None:
    """Raise ``BadInput`` naming the split and row of the first label that is none of the classes.

    ``labels`` are class numbers (N,), or (N, K) of 0 and 1 where an example may have several.
    """
    if labels.ndim == 2:
        if labels.shape[1] != len(classes):
            raise ValueError(f"labels {tuple(labels.shape)} do not fit {len(classes)} classes")
        wrong = ((labels != 0) & (labels != 1)).nonzero()
        if len(wrong):
            row, column = wrong[0].tolist()
            raise BadInput(
                f"split '{split}', row {row} (counted from 0): '{classes[column]}' is {float(labels[row, column]):g}; where an example "
                "may have several labels, each is 0 or 1."
            )
        return
    wrong = ((labels < 0) | (labels >= len(classes))).nonzero()
    if len(wrong):
        row = int(wrong[0])
        value = int(labels[row])
        hint = " (-1 commonly marks a split published without labels)" if value == -1 else ""
        raise BadInput(
            f"split '{split}', row {row} (counted from 0): label {value} is out of range{hint}; with {len(classes)} classes "
            f"labels must lie in 0 to {len(classes) - 1}."
        )


def check_numbers(labels: Tensor, names: Sequence[str], split: str) -> None:
    """Raise ``BadInput`` naming the split and row of the first of ``labels`` (N, D) that is not finite; ``names`` are of the D.

    ``ValueError`` where they are of another shape or type.
    """
    if labels.ndim != 2 or labels.shape[1] != len(names) or not labels.is_floating_point():
        raise ValueError(
            f"labels {tuple(labels.shape)} {labels.dtype} are not (N, {len(names)}) floating-point numbers"
        )
    wrong = (~labels.isfinite()).nonzero()
    if len(wrong):
        row, column = wrong[0].tolist()
        raise BadInput(
            f"split '{split}', row {row} (counted from 0): '{names[column]}' is {float(labels[row, column]):g}; every "
            "labelled example needs a finite number."
        )


def check_symbols(labels: Tensor, alphabet: Sequence[str], split: str) -> None:
    """Raise ``BadInput`` where no example of ``labels`` (N, T), symbols of an alphabet with IGNORED beyond an example's own, has a symbol.

    ``ValueError`` where they are of another shape or type, or hold the blank (0) or no symbol of the alphabet.
    """
    if labels.ndim != 2 or labels.dtype != torch.int64:
        raise ValueError(f"labels {tuple(labels.shape)} {labels.dtype} are not (N, T) int64")
    own = labels != IGNORED
    if bool((own & ((labels < 1) | (labels >= len(alphabet)))).any()):
        raise ValueError(f"labels of '{split}' hold the blank, or none of the {len(alphabet)} symbols")
    if not bool(own.any()):
        raise BadInput(f"split '{split}': not one example has a symbol: name another column, or another alphabet.")


def check_every_class(labels: Tensor, classes: tuple[str, ...], split: str, when: str = "") -> None:
    """Raise ``BadInput`` naming the classes of which ``labels`` (N,) or (N, K) holds no example, or where there is one alone."""
    if labels.ndim == 1 and len(classes) == 1:
        raise BadInput(
            f"split '{split}': every example is of class '{classes[0]}': a classifier needs two classes at least."
        )
    if missing := classes_missing(labels, classes):
        raise BadInput(
            f"split '{split}' has no example of {len(missing)} of {len(classes)} classes ({listed_names(missing)}){when}: "
            "every class needs at least one training example."
        )


def classes_missing(labels: Tensor, classes: tuple[str, ...]) -> list[str]:
    """The classes of which ``labels`` (N,) or (N, K) holds no example, in their order."""
    counts = labels.sum(0) if labels.ndim == 2 else torch.bincount(labels, minlength=len(classes))
    return [classes[int(index)] for index in (counts == 0).nonzero()]


def listed_names(names: Sequence[str]) -> str:
    """The first five, quoted."""
    return ", ".join(repr(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")


def check_groups(groups: Groups | None, count: int) -> None:
    """Raise ``ValueError`` where there are groups, and not of ``count`` examples."""
    if groups is not None and len(groups) != count:
        raise ValueError(f"groups must be of {count} examples, not {len(groups)}")


class AnyExamples(Protocol):
    """What the examples of every modality have."""

    @property
    def ids(self) -> Tensor:
        """(N,) int64, at least 0, no two equal."""
        ...

    @property
    def labels(self) -> Tensor | None:
        """(N,) int64 class numbers; (N, K) of 0 and 1 where an example may have several; (N, D) numbers; (N, T) symbols; None without labels."""
        ...

    @property
    def groups(self) -> Groups | None:
        """The group of each example, where ``data.group`` says what groups them."""
        ...

    def __len__(self) -> int: ...

    def take(self, index: Tensor, /) -> Self:
        """Those at positions ``index`` (B,) int64, in that order."""
        ...

    def to(self, device: torch.device | str, /) -> Self:
        """The same on a device."""
        ...


E = TypeVar("E", bound=AnyExamples)


class HeldOut(Generic[E]):
    """The test split, shut: nothing of it is read until ``open``, which works once.

    ``count`` is the number of rows where that is known without reading (corrupt rows may be left out later).
    ``notes`` gains, on opening, what a person should know of the split.
    """

    def __init__(self, read: Callable[[list[str]], E], *, count: int | None = None) -> None:
        """``read`` gives the examples; it may append sentences to the list it is handed."""
        self._read = read
        self._opened_for: str | None = None
        self._recorder: Recorder | None = None
        self.count = count
        self.notes: list[str] = []

    def record_with(self, recorder: Recorder) -> None:
        """Have ``recorder(purpose)`` called before the split is read, so that a ledger can be kept."""
        self._recorder = recorder

    def shut(self) -> HeldOut[E]:
        """The same split for another run, of which nothing was read."""
        return HeldOut(self._read, count=self.count)

    @property
    def opened(self) -> bool:
        """Whether the split has been read."""
        return self._opened_for is not None

    def open(self, purpose: str) -> E:
        """The test examples, read now. A second call is a ``RuntimeError`` whatever came of the first."""
        if self._opened_for is not None:
            raise RuntimeError(
                f"the test split was already opened for {self._opened_for!r}; it is read once, so it cannot "
                f"be opened again for {purpose!r}: keep the examples of the first time"
            )
        self._opened_for = purpose
        if self._recorder is not None:
            self._recorder(purpose)
        return self._read(self.notes)


@dataclass(frozen=True, eq=False, kw_only=True)
class SplitsOf(Generic[E]):
    """What a run knows of its data, whatever the modality.

    ``fingerprint`` covers ids (which are hashes of content) and labels of train and validation, the transfer ids and
    the class names, whatever the order they were stored in; the test split takes no part. ``labelled`` is the same
    without the transfer set, of which those who learn from labels see nothing. ``notes`` are sentences a person should
    see.
    """

    train: E
    validation: E
    test: HeldOut[E]
    transfer: E | None
    classes: tuple[str, ...]
    fingerprint: str
    labelled: str
    notes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()  # of a regression: what its numbers are called; it has no classes
    alphabet: tuple[
        str, ...
    ] = ()  # of labels without an alignment: their symbols, the blank first; there are no classes
    ids_of: str = (
        ""  # what ids are made of where that is not the examples' content, so that only the same data has them
    )
    unlearnt: bool = False  # whether classes may lack training examples, such as decisions that a teacher never takes
    elsewhere: bool = False  # whether some of it was read from files that lie outside the folders a recipe names
    measured_on: str = (
        ""  # a fingerprint of what figures that only running a model tells are taken on; empty: of nothing
    )

    @property
    def answers(self) -> Answers:
        """What an example's answer is."""
        assert self.train.labels is not None
        if self.numbers:
            return Answers("values", len(self.numbers), self.numbers)
        if self.alphabet:
            return Answers("frames", len(self.alphabet), self.alphabet, ragged=True)
        return Answers("label_sets" if self.train.labels.ndim == 2 else "classes", len(self.classes), self.classes)

    def __post_init__(self) -> None:
        for split, examples in (("train", self.train), ("validation", self.validation)):
            if not len(examples):
                raise BadInput(f"split '{split}' is empty: it needs at least one example.")
            if examples.labels is None:
                raise BadInput(f"split '{split}' has no labels: training and validation need one for each example.")
            if self.numbers:
                check_numbers(examples.labels, self.numbers, split)
            elif self.alphabet:
                check_symbols(examples.labels, self.alphabet, split)
            else:
                check_labels(examples.labels, self.classes, split)
        if self.numbers or self.alphabet or self.unlearnt:
            return
        assert self.train.labels is not None
        check_every_class(self.train.labels, self.classes, "train")


def pooled(splits: SplitsOf[E], device: torch.device | str, joined: Callable[[E, E, Tensor], E]) -> E:
    """Training and transfer examples together, each once, on a device; objectives ignore the labels of the latter.

    ``joined`` puts examples of the modality behind one another, with labels for all.
    """
    labelled = splits.train.to(device)
    if splits.transfer is None:
        return labelled
    transfer = splits.transfer.to(device)
    fresh = transfer.take((~torch.isin(transfer.ids, labelled.ids)).nonzero().flatten())
    assert labelled.labels is not None
    shape = (len(fresh), *labelled.labels.shape[1:])
    ignored = labelled.labels.new_full(shape, torch.nan if splits.numbers else IGNORED)
    return joined(labelled, fresh, torch.cat([labelled.labels, ignored]))
