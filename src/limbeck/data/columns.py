"""Which columns of a table may hold labels, and whether those that are asked for are there."""

from __future__ import annotations

from collections.abc import Sequence

import datasets

from ..errors import BadInput
from .delimited import is_unnamed
from .labels import is_float


def likely_labels(names: Sequence[str], features: datasets.Features) -> list[str]:
    """Those that have a heading and hold no floats; else those that have a heading."""
    named = [name for name in names if not is_unnamed(name)]
    return [name for name in named if not is_float(features[name])] or named


def check_columns(
    rows: datasets.Dataset,
    inputs: Sequence[str],
    labels: Sequence[str],
    train: datasets.Dataset,
    split: str,
    *,
    test: bool,
    source: str,
) -> None:
    """Raises ``BadInput`` where a split lacks a column that train has, holds other things in it, or numbers its classes otherwise.

    ``inputs`` are the columns of images or texts; ``test``: whether the split is to test, else to validate; ``source``
    is where the data comes from.
    """
    for column in inputs:
        if column not in rows.features:
            raise BadInput(
                f"split '{split}' has no column '{column}' (it has {', '.join(rows.column_names)}): every split needs the "
                "columns that train has."
            )
        kinds = [_kind(split_of.features[column]) for split_of in (rows, train)]
        if kinds[0] != kinds[1]:
            raise BadInput(
                f"split '{split}': column '{column}' holds {kinds[0]} where train's holds {kinds[1]}: write both alike."
            )
    for column in labels:
        if column not in rows.features:
            instead = (
                "data.test: null has a test split carved from train"
                if test
                else "without data.validation a validation split is carved from train"
            )
            raise BadInput(
                f"split '{split}' has no column '{column}' (it has {', '.join(rows.column_names)}), and without labels "
                f"nothing can be {'tested' if test else 'validated'}: {instead}, and data.transfer: {{name: {source}, "
                f"split: {split}}} has the student learn from the teacher's answers to it."
            )
        names, train_names = (_names(split_of.features[column]) for split_of in (rows, train))
        if names != train_names:
            raise BadInput(
                f"split '{split}' numbers its classes otherwise than the training split (column '{column}'): give all "
                "splits the same class names in the same order."
            )


def _kind(feature: object) -> str:
    """A column's type, as far as it matters that it is the same."""
    return str(getattr(feature, "dtype", type(feature).__name__)).removeprefix("large_")


def _names(kind: object) -> list[str] | None:
    return getattr(getattr(kind, "feature", kind), "names", None)
