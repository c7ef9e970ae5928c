"""Labels that a Python program holds: a class each, or numbers; from an array, or from the items of a data set.

Shapes: N examples, D numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...data.examples import check_every_class, check_labels
from ...data.labels import check_unlabelled, names_of, notes_on, numbered
from ...data.numbers import LARGEST, check_they_vary
from ...errors import BadInput


class Labels(Protocol):
    """How the labels of a run are read; what they are called is known once those of training are learnt."""

    def of_array(self, given: Any, split: str) -> Tensor:
        """The labels of a split, (N, ...). Raises ``BadInput`` where they are of another kind."""
        ...

    def of_item(self, label: Any, split: str, row: int) -> Any:
        """The label of one item of a data set; those of all make :meth:`of_array`."""
        ...

    def learn(self, given: Any, labels: Tensor) -> tuple[Tensor, list[str]]:
        """The training labels, with what a person should know of them. Raises ``BadInput`` where nothing can be learnt from them."""
        ...

    def of_split(self, labels: Tensor, split: str) -> Tensor:
        """The labels of another split."""
        ...


class ClassLabels:
    """A class for each example, (N,) int64, called as ``classes`` say, or as the data set's own, or as they are."""

    def __init__(self, classes: Sequence[str] | None = None) -> None:
        self._given, self.classes, self._of_numbers = classes, (), False

    def of_array(self, given: Any, split: str) -> Tensor:
        labels = _array(given)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            numbers = (
                " Numbers to be learnt are given with task='image-regression'." if labels.dtype.kind == "f" else ""
            )
            raise BadInput(
                f"the labels of {split} are {labels.dtype} of shape {labels.shape}: they must be one integer "
                f"from 0 for each image.{numbers}"
            )
        return torch.from_numpy(labels.astype(np.int64))

    def of_item(self, label: Any, split: str, row: int) -> int:
        if isinstance(label, (np.ndarray, Tensor)) and label.ndim == 0:
            label = label.item()
        if isinstance(label, bool) or not isinstance(label, (int, np.integer)):
            raise BadInput(
                f"split '{split}', row {row}: the label is {label!r}: each item must be (image, label) with an "
                "integer label from 0."
            )
        return int(label)

    def learn(self, given: Any, labels: Tensor) -> tuple[Tensor, list[str]]:
        names = self._given if self._given is not None else getattr(given, "classes", None)
        self._of_numbers = names is None  # they name themselves
        if names is None:
            check_unlabelled(labels.tolist(), "train")
            names = names_of(labels.tolist(), "labels", len(labels))
            labels = numbered(labels, names, "train")
        self.classes = tuple(str(name) for name in names)
        notes = notes_on(self.classes, "train")
        check_labels(labels, self.classes, "train")
        check_every_class(labels, self.classes, "train")
        return labels, notes

    def of_split(self, labels: Tensor, split: str) -> Tensor:
        if self._of_numbers:
            labels = numbered(labels, self.classes, split)
        check_labels(labels, self.classes, split)
        return labels


class NumberLabels:
    """D numbers for each example, (N, D) float32, called as ``names`` say; what they are in, ``unit``, one for all or one each."""

    def __init__(self, names: Sequence[str] | str | None = None, unit: Sequence[str] | str | None = None) -> None:
        self._given = _words("numbers", names)
        self.unit = _words("unit", unit)
        self.names: tuple[str, ...] = ()

    def of_array(self, given: Any, split: str) -> Tensor:
        labels = _array(given)
        if labels.ndim not in (1, 2) or labels.dtype.kind not in "fiu" or 0 in labels.shape[1:]:
            raise BadInput(
                f"the labels of {split} are {labels.dtype} of shape {labels.shape}: they must be numbers, (N,) or (N, D)."
            )
        labels_ND = labels.reshape(len(labels), -1)
        wrong_ND = ~(np.abs(labels_ND.astype(np.float64)) <= LARGEST)  # NaN is wrong too
        if wrong_ND.any():
            row, place = np.argwhere(wrong_ND)[0].tolist()
            raise BadInput(
                f"split '{split}', row {row}: the label is {labels_ND[row, place]:g}: it must be a finite number of at most {LARGEST:g}."
            )
        return torch.from_numpy(labels_ND.astype(np.float32))

    def of_item(self, label: Any, split: str, row: int) -> list[float]:
        numbers = _array(label)
        if numbers.dtype.kind not in "fiu" or numbers.ndim > 1 or not numbers.size:
            raise BadInput(
                f"split '{split}', row {row}: the label is {label!r}: each item must be (image, label) with a number, or several."
            )
        return numbers.reshape(-1).tolist()

    def learn(self, given: Any, labels: Tensor) -> tuple[Tensor, list[str]]:
        width = labels.shape[1]
        names = self._given or (("number",) if width == 1 else tuple(f"number[{place}]" for place in range(width)))
        if len(names) != width or len({*names}) < width:
            raise BadInput(f"numbers names {', '.join(names)}, and a label has {width}: name each of them, once.")
        if len(self.unit) not in (0, 1, width):
            raise BadInput(f"unit: {len(self.unit)} were given for {width} numbers: give one for all, or one each.")
        self.names = tuple(str(name) for name in names)
        check_they_vary(labels, self.names, "train")
        return labels, []

    def of_split(self, labels: Tensor, split: str) -> Tensor:
        if labels.shape[1] != len(self.names):
            raise BadInput(f"a label of {split} has {labels.shape[1]} numbers, and one of train {len(self.names)}.")
        return labels


def _words(argument: str, given: Sequence[str] | str | None) -> tuple[str, ...]:
    words = (given,) if isinstance(given, str) else given or ()
    if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise BadInput(f"{argument} is {given!r}: give a word, or a list of them.")
    return tuple(words)


def _array(given: Any) -> np.ndarray:
    """Labels as they are; of type ``object`` where they are no array of one kind and shape, such as a ragged list."""
    if isinstance(given, Tensor):
        plain = given.detach().cpu()
        return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    if isinstance(given, list | tuple):
        given = [_array(one) if isinstance(one, Tensor) else one for one in given]
    try:
        return np.asarray(given)
    except ValueError:
        return np.fromiter(given, dtype=object, count=len(given))


def label_of(item: Any) -> Any:
    """The label among what a data set gives for a row; None where there is none."""
    if isinstance(item, Mapping):
        return item.get("label")
    return item[1] if isinstance(item, (tuple, list)) and len(item) == 2 else None
