"""Columns of numbers: which of a table may be a regression's labels, and what they hold.

Shapes: N examples, D numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput, did_you_mean
from .delimited import is_unnamed
from .labels import is_float, is_integer, listed

LARGEST = 1e15
"""Labels beyond it are refused: float32 holds them, but not the sums of their squares that a loss and its figures are."""
_FINE = 0.01  # float32 must tell labels apart to this share of their deviation


def find_numbers(
    features: datasets.Features, label: str | Sequence[str] | None, used: Sequence[str]
) -> tuple[str, ...]:
    """The columns of numbers: those asked for, or the only one found; ``used`` are read as something else.

    A column of floats, or of lists of them, is taken before one of integers. Raises ``BadInput`` listing the columns where
    there is none or more than one, or where one that is asked for holds no numbers.
    """
    if label is not None:
        names = (label,) if isinstance(label, str) else tuple(label)
        if len(set(names)) < len(names) or not names:
            raise BadInput("data.label: name a column of numbers, or several, each once.")
        for name in names:
            _check(name, features, used, several=len(names) > 1)
        return names
    found = [
        name for name, kind in features.items() if name not in used and _is_fraction(kind) and not is_unnamed(name)
    ]
    if not found:
        found = [
            name
            for name, kind in features.items()
            if name not in used and is_integer(kind) and not _is_classes(kind) and not is_unnamed(name)
        ]
    if len(found) != 1:
        how_many = "no column holds numbers" if not found else f"{', '.join(found)} may all be the label"
        several = "" if not found else " (or several, in a list)"
        raise BadInput(f"{how_many}: name one{several} with data.label; {listed(features)}.")
    return (found[0],)


def names_of_numbers(rows: datasets.Dataset, columns: Sequence[str]) -> tuple[str, ...]:
    """What the D numbers are called: as their columns; those of a list ``box`` are ``box[0]``, ``box[1]`` ..."""
    if len(columns) > 1 or not _is_list(rows.features[columns[0]]):
        return tuple(columns)
    width = len(_column(rows.select([0]), columns[0])[0] or ())
    if not width:
        raise BadInput(
            f"split 'train', row 0 (counted from 0): column '{columns[0]}' holds an empty list; numbers are needed."
        )
    return tuple(f"{columns[0]}[{place}]" for place in range(width))


def read_numbers(rows: datasets.Dataset, columns: Sequence[str], names: Sequence[str], split: str) -> Tensor:
    """The labels (N, D) float32. Raises ``BadInput`` naming split, row and column of one that is missing not finite or too large."""
    parts = [_of_column(rows, column, len(names) if len(columns) == 1 else 1, split) for column in columns]
    return torch.from_numpy(np.concatenate(parts, axis=1))


def check_they_vary(labels: Tensor, names: Sequence[str], split: str) -> None:
    """Raises ``BadInput`` where one of the numbers (N, D) is the same in every example, or differs too little for float32."""
    for name, values in zip(names, labels.unbind(1), strict=True):
        largest = float(values.abs().max()) if len(values) else 0.0
        step = torch.finfo(torch.float32).eps * largest
        shift = "shift the column, by its mean say, so that float32, which keeps seven digits, tells its values apart"
        if len(values) > 1 and bool((values == values[0]).all()):
            # fractions of numbers as large as these are lost in float32: they may differ in the file
            more = f" Where its values differ in later digits, {shift}." if step > _FINE else ""
            raise BadInput(
                f"split '{split}': '{name}' is {float(values[0]):g} in every example, so there is nothing to learn: name another "
                f"column with data.label.{more}"
            )
        deviation = float(values.double().std(correction=0)) if len(values) else 0.0
        if step > _FINE * deviation and len(values) > 1:
            raise BadInput(
                f"split '{split}': the values of '{name}' are as large as {largest:g} and differ by {deviation:.2g} only: {shift}."
            )


def statistics_of(labels: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each number (N, D), the same whatever the examples' order; 1 for one that never changes."""
    sorted_ND = labels.double().sort(dim=0).values
    deviations = sorted_ND.std(dim=0, correction=0).tolist()
    return (
        tuple(_rounded(value) for value in sorted_ND.mean(dim=0).tolist()),
        tuple(_rounded(value) or 1.0 for value in deviations),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _check(name: str, features: datasets.Features, used: Sequence[str], *, several: bool) -> None:
    if name not in features:
        raise BadInput(f"data.label: there is no column '{name}'.{did_you_mean(name, features)}")
    kind = features[name]
    if name in used:
        raise BadInput(f"data.label: column '{name}' is read as something else already: name a column of numbers.")
    if _is_classes(kind):
        raise BadInput(
            f"data.label: column '{name}' holds classes and no numbers: a classification learns them; for a regression name a "
            f"column of numbers; {listed(features)}."
        )
    if _is_list(kind) and several:
        raise BadInput(f"data.label: column '{name}' holds lists, so it must be the only one that is named.")
    if not (_is_fraction(kind) or is_integer(kind)):
        raise BadInput(f"data.label: column '{name}' holds no numbers, which a regression needs; {listed(features)}.")


def _is_classes(kind: object) -> bool:
    return isinstance(kind, datasets.ClassLabel) or (
        isinstance(kind, datasets.Value) and kind.dtype in ("bool", "bool_")
    )


def _is_fraction(kind: object) -> bool:
    """Whether a column of that type holds floats, or lists of numbers."""
    return is_float(kind) or _is_list(kind)


def _is_list(kind: object) -> bool:
    inner = getattr(kind, "feature", None)
    return inner is not None and (is_float(inner) or (is_integer(inner) and not _is_classes(inner)))


def _column(rows: datasets.Dataset, column: str) -> list[Any]:
    return rows.select_columns([column]).with_format("arrow")[:][column].to_pylist()  # pyright: ignore


def _of_column(rows: datasets.Dataset, column: str, width: int, split: str) -> np.ndarray:
    """(N, width) float32."""
    values, lists = _column(rows, column), _is_list(rows.features[column])
    where = f"split '{split}', row {{row}} (counted from 0): column '{column}' holds"
    if lists:
        for row, value in enumerate(values):
            if value is None or len(value) != width:
                found = "nothing" if value is None else f"{len(value)} number{'s' * (len(value) != 1)}"
                raise BadInput(
                    f"{where.format(row=row)} {found}, and row 0 of train holds {width}: every example needs as many."
                )
    else:
        values = [[value] for value in values]
    wide_ND = np.array([[np.nan if one is None else one for one in value] for value in values], dtype=np.float64)
    with np.errstate(over="ignore"):
        labels_ND = wide_ND.reshape(len(values), width).astype(np.float32)
    wrong = np.argwhere(~(np.abs(labels_ND) <= LARGEST))
    if len(wrong):
        row, place = wrong[0].tolist()
        found = values[row][place]
        said = "no number" if found is None else f"{found:g}"
        right = (
            f"numbers of up to {LARGEST:g} can be learned, since float32 must hold their squares; scale the column"
            if np.isfinite(wide_ND[row, place])
            else "every labelled example needs a finite number"
        )
        raise BadInput(f"{where.format(row=row)} {said}: {right}.")
    return labels_ND
