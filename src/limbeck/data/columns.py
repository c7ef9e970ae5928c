"""Which columns hold the images and the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import datasets

from limbeck.errors import BadInput, did_you_mean

from .delimited import is_unnamed
from .labels import can_be_label, is_float


@dataclass(frozen=True)
class Columns:
    """Names of the two columns."""

    image: str
    label: str


def find_image(features: datasets.Features, image: str | None, field: str = "data.image") -> str:
    """The column of images: the one asked for, or the only one of its type. ``BadInput`` lists them."""
    if image is not None:
        if image not in features:
            raise BadInput(f"{field}: there is no column '{image}'.{did_you_mean(image, features)}")
        if not _can_be_image(features[image]):
            raise BadInput(f"{field}: column '{image}' holds no images; {listed(features)}.")
        return image
    found = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    if len(found) != 1:
        how_many = "no column holds images" if not found else f"{len(found)} columns hold images"
        files = any(isinstance(kind, datasets.Value) and "string" in kind.dtype for kind in features.values())
        hint = "" if found or not files else (
            " A table that names image files is read together with them where it is called metadata.csv and that column "
            "file_name."
        )  # fmt: skip
        raise BadInput(f"{how_many}: name one with {field}; {listed(features)}.{hint}")
    return found[0]


def find_columns(features: datasets.Features, image: str | None, label: str | None) -> Columns:
    """The columns of images and labels: those asked for, or those found by type.

    A ``ClassLabel`` column is taken before a column of integers or texts, and that before one of floats. Raises ``BadInput`` listing the
    columns where there is none or more than one.
    """
    image = find_image(features, image)
    if label is not None:
        if label not in features:
            raise BadInput(f"data.label: there is no column '{label}'.{did_you_mean(label, features)}")
        if not can_be_label(features[label]):
            raise BadInput(f"data.label: column '{label}' holds no labels; {listed(features)}.")
        return Columns(image, label)
    found = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if not found:
        found = likely_labels(
            [name for name, kind in features.items() if name != image and can_be_label(kind)], features
        )
    if len(found) != 1:
        how_many = "no column holds labels" if not found else f"{', '.join(found)} may all be labels"
        raise BadInput(f"{how_many}: name one with data.label; {listed(features)}.")
    return Columns(image, found[0])


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


def _can_be_image(kind: object) -> bool:
    if isinstance(kind, datasets.Value):
        return kind.dtype in ("binary", "large_binary", "string", "large_string")
    return isinstance(kind, datasets.Image) or (isinstance(kind, dict) and {"bytes", "path"} <= kind.keys())


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
