"""Which columns hold the texts and their labels, and what they say.

Shapes: N examples, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import datasets
import torch
from torch import Tensor

from ...data.columns import likely_labels
from ...data.examples import check_labels
from ...data.labels import (
    can_be_label,
    check_unlabelled,
    class_names,
    is_float,
    is_integer,
    listed,
    names_of,
    read_labels,
    whole,
)
from ...errors import BadInput, did_you_mean
from ...nlp.columns import TEXT_NAMES, cells_of, find_text, inner_of, is_text

_LABEL_NAMES = ("label", "labels")
# How the columns of published pairs are called, the first side first.
_PAIR_NAMES = (("premise", "hypothesis"), ("question", "passage"), ("query", "passage"), ("query", "document"))
_NUMBERED = re.compile(r"(?P<name>.+?)(?P<number>_?[12ab])", re.IGNORECASE)
_LOOKED_AT, _PROSE = 200, 3  # rows; words of half of them from which on a column is taken for one of texts


@dataclass(frozen=True)
class TextColumns:
    """Names of the columns; ``text`` is one, or the two of pairs, ``label`` one, or several of 0 and 1."""

    text: str | tuple[str, str]
    label: str | tuple[str, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns that texts are read from."""
        return (self.text,) if isinstance(self.text, str) else self.text

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that labels are read from."""
        return (self.label,) if isinstance(self.label, str) else self.label

    @property
    def all(self) -> tuple[str, ...]:
        """Every column that is read."""
        return (*self.texts, *self.labels)


def usual_pair(features: datasets.Features) -> tuple[str, str] | None:
    """Two columns of texts that are called as those of pairs are: premise and hypothesis, sentence1 and sentence2.

    None where there are no such two, or more than two. It is for proposing alone.
    """
    texts = [name for name, kind in features.items() if is_text(kind)]
    lower = {name.lower(): name for name in texts}
    found = [(lower[one], lower[two]) for one, two in _PAIR_NAMES if one in lower and two in lower]
    for one in texts:
        if (match := _NUMBERED.fullmatch(one)) and match["number"][-1] in "1aA":
            last = {"1": "2", "a": "b", "A": "B"}[match["number"][-1]]
            two = f"{one[:-1]}{last}"
            found += [(one, two)] if two in texts else []
    return found[0] if len(found) == 1 else None


def other_texts(rows: datasets.Dataset, columns: TextColumns) -> list[str]:
    """Columns of texts beside those that are read: in half of their first rows stand three words or more."""
    names = [name for name, kind in rows.features.items() if is_text(kind) and name not in columns.all]
    if not names or not len(rows):
        return []
    try:
        some: Mapping[str, list] = rows.select_columns(names)[:_LOOKED_AT]
    except UnicodeDecodeError:  # nothing of them is read
        return []

    def prose(values: list) -> bool:
        return 2 * sum(len(str(value or "").split()) >= _PROSE for value in values) >= len(values)

    return [name for name in names if prose(some[name])]


def find_text_columns(
    features: datasets.Features, text: str | tuple[str, ...] | None, label: str | tuple[str, ...] | None
) -> TextColumns:
    """The columns of texts and labels: those asked for, or those found by type and name.

    A column of ``ClassLabel`` (or of lists of them) is taken before one called label or labels, and that before the
    only other column that may hold labels. Raises ``BadInput`` listing the columns where there is none or more than
    one.
    """
    texts = TextColumns(find_text(features, text, label), ()).texts
    column = texts[0] if len(texts) == 1 else (texts[0], texts[1])
    if label is not None:
        for name in (label,) if isinstance(label, str) else label:
            if name not in features:
                raise BadInput(f"data.label: there is no column '{name}'.{did_you_mean(name, features)}")
            if not _may_label(features[name], alone=isinstance(label, str)) or name in texts:
                raise BadInput(f"data.label: column '{name}' holds no labels; {listed(features)}.")
        return TextColumns(column, label)
    others = {name: kind for name, kind in features.items() if name not in texts and _may_label(kind, alone=True)}
    found = [name for name, kind in others.items() if isinstance(inner_of(kind) or kind, datasets.ClassLabel)]
    found = found or [name for name in others if name in _LABEL_NAMES] or likely_labels(list(others), features)
    if len(found) != 1:
        how_many = "no column holds labels" if not found else f"{', '.join(found)} may all be labels"
        raise BadInput(f"{how_many}: name one with data.label, or several of 0 and 1 as a list; {listed(features)}.")
    return TextColumns(column, found[0])


def label_headings(
    headings: Sequence[str], text: str | tuple[str, ...] | None, label: str | tuple[str, ...] | None
) -> tuple[str, ...]:
    """The column of a table's headings that holds labels, as far as can be told before it is read; () where it cannot.

    It is the one asked for; of none asked for, the one with a usual name or the only one beside the texts, where texts are
    asked for or have a usual name themselves. Of several columns of 0 and 1 none.
    """
    if label is not None:
        return (label,) if isinstance(label, str) else ()
    texts = [
        name
        for name in headings
        if name in (TEXT_NAMES if text is None else text if isinstance(text, tuple) else (text,))
    ]
    others = [name for name in headings if name not in texts]
    usual = [name for name in others if name in _LABEL_NAMES]
    return tuple(usual or (others if len(others) == 1 else ())) if texts else ()


def text_classes(rows: datasets.Dataset, label: str | tuple[str, ...]) -> tuple[str, ...]:
    """The classes: the columns' own names where there are several; else a ``ClassLabel``'s, or what train holds, sorted.

    Raises ``BadInput`` as :func:`limbeck.data.labels.class_names` does.
    """
    if not isinstance(label, str):
        return label
    inner = inner_of(rows.features[label])
    if inner is None:
        return class_names(rows, label)
    if isinstance(inner, datasets.ClassLabel):
        return tuple(inner.names or ())
    lists = _lists(rows, label, "train")
    _check_one_hot(lists, label)
    values = [value for several in lists for value in several]
    check_unlabelled(values, "train", [row for row, several in enumerate(lists) for _ in several])
    if not values:
        raise BadInput(f"data.label: column '{label}' of split 'train' holds only empty lists: name another column.")
    return names_of(values, label)


def read_text_labels(
    rows: datasets.Dataset, label: str | tuple[str, ...], classes: tuple[str, ...], split: str
) -> Tensor:
    """Labels (N,) int64, or (N, K) float32 of 0 and 1 where a text may have several.

    Raises ``BadInput`` naming the split and row of what is no label, or none of the classes.
    """
    if isinstance(label, str):
        if inner_of(rows.features[label]) is None:
            return read_labels(rows, label, classes, split)
        return _read_lists(rows, label, classes, split)
    columns = [torch.tensor([_flag(value, name, row, split) for row, value in cells_of(rows, name)]) for name in label]
    return torch.stack(columns, dim=1)


def _read_lists(rows: datasets.Dataset, label: str, classes: tuple[str, ...], split: str) -> Tensor:
    lists = _lists(rows, label, split)
    number: dict[object, int] = {name: index for index, name in enumerate(classes)}
    inner = inner_of(rows.features[label])
    if isinstance(inner, datasets.ClassLabel):
        number = {index: index for index in range(len(classes))}
    elif is_integer(inner) or is_float(inner):
        number = {int(name): index for index, name in enumerate(classes)}
    labels = torch.zeros(len(lists), len(classes))
    for row, several in enumerate(lists):
        for value in several:
            if value not in number:
                known = (
                    f"labels must lie in 0 to {len(classes) - 1}"
                    if isinstance(inner, datasets.ClassLabel)
                    else "each class needs training examples"
                )
                raise BadInput(
                    f"split '{split}', row {row} (counted from 0): class {value!r} is none of the training split's: {known}."
                )
            labels[row, number[value]] = 1.0
    check_labels(labels, classes, split)
    return labels


def _check_one_hot(lists: Sequence[Sequence[int | str]], label: str) -> None:
    """Raises ``BadInput`` where every list has a 0 or 1 for each class instead of the classes that hold."""
    lengths = {len(several) for several in lists}
    values = {str(value) for several in lists for value in several}
    if len(lengths) == 1 and max(lengths) > 1 and (values <= {"0", "1"} or values <= {"False", "True"}):
        raise BadInput(
            f"data.label: column '{label}' holds lists of {max(lengths)} zeros and ones, one for each class (one-hot): give the "
            "class's name or number, or a list of those that hold, such as [0, 2]."
        )


def _lists(rows: datasets.Dataset, label: str, split: str) -> list[list[int | str]]:
    """The labels of each row: integers, or texts; floats that are whole numbers are integers."""
    inner, lists = inner_of(rows.features[label]), []
    numbers = is_integer(inner) or is_float(inner)
    for row, value in cells_of(rows, label):
        if value is None:
            raise BadInput(
                f"split '{split}', row {row} (counted from 0): column '{label}' holds no list; [] says that no label holds."
            )
        assert isinstance(value, list)
        if any(one is None or one != one or (isinstance(one, str) and not one.strip()) for one in value):
            raise BadInput(
                f"split '{split}', row {row} (counted from 0): column '{label}' holds a list in which a label is missing "
                f"({value}): take that place out; [] says that no label holds."
            )
        lists.append([whole(one, label, row, split) if numbers else str(one) for one in value])
    return lists


def _flag(value: object, column: str, row: int, split: str) -> float:
    flags = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0, "False": 0.0, "True": 1.0}
    if str(value) not in flags:
        raise BadInput(
            f"split '{split}', row {row} (counted from 0): column '{column}' holds {value!r}; where an example may have several labels, "
            "each column is 0 or 1."
        )
    return flags[str(value)]


def _may_label(kind: object, *, alone: bool) -> bool:
    if alone:
        return can_be_label(kind) or can_be_label(inner_of(kind))
    return can_be_label(kind) or (isinstance(kind, datasets.Value) and kind.dtype.startswith("float"))
