"""What the labels of a table say: numbers that run from 0, names, or nothing that a classifier could learn.

Shapes: N examples, K classes.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from .examples import check_labels

MANY = 100
"""More different labels than these may be quantities, or names of the examples themselves."""
FEW_EACH = 10
"""Numbers are taken for quantities where more than ``MANY`` differ and each has fewer examples than this on average."""

_WHOLE = re.compile(r"-?(0|[1-9]\d*)")
_LISTED = 8
_UNLABELLED = frozenset([-1, -100])


def is_integer(kind: object) -> bool:
    """Whether a column of that type holds class numbers."""
    if isinstance(kind, datasets.ClassLabel):
        return True
    return isinstance(kind, datasets.Value) and kind.dtype.startswith(("int", "uint"))


def is_float(kind: object) -> bool:
    """Whether a column of that type holds numbers with a fraction."""
    return isinstance(kind, datasets.Value) and kind.dtype.startswith(("float", "double"))


def can_be_label(kind: object) -> bool:
    """Whether a column of that type may be one label an example."""
    texts = ("string", "large_string", "bool")
    return is_integer(kind) or is_float(kind) or (isinstance(kind, datasets.Value) and kind.dtype in texts)


def label_values(rows: datasets.Dataset, label: str, split: str) -> np.ndarray:
    """The column (N,) as int64 or as texts; floats that are whole numbers are integers, as pandas makes of some.

    Raises ``BadInput`` naming split and row where there is no label, and for numbers with a fraction.
    """
    column = rows.select_columns([label]).with_format("arrow")[:][label]  # pyright: ignore
    values, kind = column.to_pylist(), rows.features[label]
    for row, value in enumerate(values):
        if value is None or value != value or (isinstance(value, str) and not value.strip()):
            raise BadInput(
                f"split '{split}', row {row} (counted from 0): column '{label}' holds no label; every example needs one."
            )
    if is_float(kind) or is_integer(kind):
        return np.array([whole(value, label, row, split) for row, value in enumerate(values)], dtype=np.int64)
    return np.array([str(value) for value in values], dtype=object)


def whole(value: float, label: str, row: int, split: str) -> int:
    """The class number that a number of column ``label`` is. Raises ``BadInput`` where it has a fraction or no 64 bits hold it."""
    where = f"split '{split}', row {row} (counted from 0): column '{label}' holds"
    if not math.isfinite(value) or value != int(value):
        raise BadInput(
            f"{where} {value:g}, which is a quantity and no class: of images task: image-regression learns it. Where each value is a class, "
            "write it as a word."
        )
    if not -(2**63) <= value < 2**63:
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        raise BadInput(f"{where} {shown}, which is too large a number for a class: write the labels as words.")
    return int(value)


def names_of(values: Collection[Any], label: str, count: int | None = None) -> tuple[str, ...]:
    """The classes that labels, integers or texts, are of: their names, which are 0 to K - 1 where they run from 0.

    Numbers are sorted as numbers, also where they are written as texts, and other texts as texts. ``count`` is the
    number of examples where each has one label.

    Raises ``BadInput`` where the labels are quantities (numbers that do not run from 0, of which more than ``MANY`` differ,
    with fewer than ``FEW_EACH`` examples each on average), or names of the examples (others likewise, with fewer than two);
    and where they begin at 0 and leave some out, which may be names or lack a class.
    """
    found = set(values)
    numbers = all(isinstance(value, (int, np.integer)) for value in found)
    few = FEW_EACH if numbers and not _runs_from_0(found) else 2
    if count is not None and len(found) > MANY and count < few * len(found):
        what = (
            "quantities (of images task: image-regression learns them)" if few == FEW_EACH else "names of the examples"
        )
        raise BadInput(
            f"data.label: column '{label}' holds {len(found):,} different labels in {count:,} examples, which look like "
            f"{what}: name a column of classes."
        )
    if numbers and min(found, default=0) == 0 and not _runs_from_0(found):
        largest = max(found)
        first = [f"'{number}'" for number in itertools.islice((n for n in range(largest) if n not in found), 5)]
        missing = largest + 1 - len(found)
        raise BadInput(
            f"data.label: column '{label}' of split 'train' holds numbers from 0 to {largest} and no example of {missing} of "
            f"{largest + 1} classes ({', '.join(first)}{', ...' if missing > 5 else ''}): every class needs training examples; "
            "where the numbers are names, write them as words."
        )
    names = [str(value) for value in found]
    if all(_WHOLE.fullmatch(name) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def check_unlabelled(values: Sequence[int | str], split: str, rows: Sequence[int] | None = None) -> None:
    """Raises ``BadInput`` naming split and row where -1, or PyTorch's -100, stands beside numbers that run from 0.

    ``rows`` tells the row of each value where they are not one each. It is no class, most likely: ``ignore_index`` of :func:`torch.nn.functional.cross_entropy` is -100.
    """
    others = set(values) - _UNLABELLED
    at = next((at for at, value in enumerate(values) if value in _UNLABELLED), None)
    if at is not None and others and _runs_from_0(others):
        beside = _shown([str(number) for number in sorted(others)])
        raise BadInput(
            f"split '{split}', row {rows[at] if rows else at} (counted from 0): label {values[at]} is out of range: beside {beside} it commonly "
            "marks an example without a label, which is to be taken out; where it is a class, write the labels as words."
        )


def class_names(rows: datasets.Dataset, label: str) -> tuple[str, ...]:
    """The classes: a ``ClassLabel``'s own names, else those that the training rows hold, as :func:`names_of` has them."""
    kind = rows.features[label]
    if isinstance(kind, datasets.ClassLabel):
        return tuple(kind.names or ())
    values = label_values(rows, label, "train").tolist()
    check_unlabelled(values, "train")
    return names_of(values, label, len(values))


def read_labels(rows: datasets.Dataset, label: str, classes: tuple[str, ...], split: str) -> Tensor:
    """Labels (N,) int64, checked against the classes. Raises ``BadInput`` naming the split and row."""
    values = label_values(rows, label, split)
    if isinstance(rows.features[label], datasets.ClassLabel):
        labels = torch.from_numpy(values.astype(np.int64))
        check_labels(labels, classes, split)
        return labels
    return numbered(values, classes, split)


def numbered(values: np.ndarray | Tensor, classes: tuple[str, ...], split: str) -> Tensor:
    """The number (N,) int64 of each label (N,), an integer or a text, among the classes: its place among their names.

    Raises ``BadInput`` naming the split and row of one that is none.
    """
    number = {name: index for index, name in enumerate(classes)}
    names = [str(value) for value in values.tolist()]
    for row, value in enumerate(names):
        if value not in number:
            if _WHOLE.fullmatch(value) and classes == tuple(map(str, range(len(classes)))):
                check_labels(torch.tensor([0] * row + [int(value)]), classes, split)
            alike = next((name for name in classes if name.casefold() == value.casefold()), None)
            hint = f", which has '{alike}': write both alike." if alike else ": each class needs training examples."
            raise BadInput(
                f"split '{split}', row {row} (counted from 0): class '{value}' is missing from the training split{hint}"
            )
    return torch.tensor([number[name] for name in names], dtype=torch.int64)


def check_answers(rows: datasets.Dataset, split: str) -> None:
    """Raises ``BadInput`` where a column ``answer`` says that some labels were rejected, as annotation tools write it."""
    kind = rows.features.get("answer")
    if not isinstance(kind, datasets.Value) or kind.dtype not in ("string", "large_string"):
        return
    answers = rows.select_columns(["answer"]).with_format("arrow")[:]["answer"].to_pylist()  # pyright: ignore
    if set(answers) <= {"accept", "reject", "ignore"} and (other := len(answers) - answers.count("accept")):
        raise BadInput(
            f"split '{split}': column 'answer' is not 'accept' in {other} of {len(answers)} rows, whose labels were rejected or "
            "passed over: keep the rows that were accepted."
        )


def one_each(labels: Tensor, label: str | tuple[str, ...]) -> list[str]:
    """A note where examples may have several labels (N, K), and each has exactly one."""
    if labels.ndim == 1 or labels.shape[1] == 1 or not bool((labels.sum(1) == 1).all()):
        return []
    what = f"column '{label}' holds lists" if isinstance(label, str) else "labels are several columns"
    return [
        f"{what}, so an example may have several labels, but each has exactly one: where that is always so, a column of "
        "one label each (not in a list) makes it a plain classification."
    ]


def notes_on(classes: Sequence[str], what: str) -> list[str]:
    """What a person should know of the classes; ``what`` names the column or the call that holds them."""
    return [*_not_from_0(classes, what), *_alike(classes, what)]


def _not_from_0(classes: Sequence[str], what: str) -> list[str]:
    if not all(_WHOLE.fullmatch(name) for name in classes) or _runs_from_0([int(name) for name in classes]):
        return []
    return [
        f"the labels of {what} are numbers that do not run from 0, so they are names, in this order: "
        f"{_shown(classes)}. A teacher that has no names for its classes is taken to answer in the same order."
    ]


def _alike(classes: Sequence[str], what: str) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name in classes:
        folded = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        groups.setdefault(folded, []).append(name)
    return [
        f"{' and '.join(repr(name) for name in names)} are {len(names)} classes of {what}, though they differ only in case, "
        f"blanks or the form of a character: where they are one, write '{folded}' for all of them."
        for folded, names in groups.items()
        if len(names) > 1
    ]


def _runs_from_0(numbers: Iterable[object]) -> bool:
    found = set(numbers)
    return found == set(range(len(found)))


def _shown(names: Sequence[str]) -> str:
    if len(names) <= _LISTED:
        return ", ".join(names)
    return f"{', '.join(names[: _LISTED - 1])}, ..., {names[-1]}"


def listed(features: datasets.Features) -> str:
    """The columns and their types, in words."""
    names = [
        f"{name} ({str(getattr(kind, 'dtype', None) or 'struct').removeprefix('large_')})"
        for name, kind in features.items()
    ]
    for at, kind in enumerate(features.values()):
        if isinstance(kind, (datasets.Image, datasets.ClassLabel)):
            names[at] = f"{list(features)[at]} ({type(kind).__name__})"
    return f"the columns are {', '.join(names)}"
