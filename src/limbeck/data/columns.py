"""Which columns hold the images and the labels, and what the labels say."""

from __future__ import annotations

from dataclasses import dataclass

import datasets
import numpy as np
import torch
from torch import Tensor

from limbeck.errors import BadInput, did_you_mean

from .examples import check_labels

_MOST_CLASSES = 1_000_000


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
        raise BadInput(f"{how_many}: name one with {field}; {listed(features)}.")
    return found[0]


def find_columns(features: datasets.Features, image: str | None, label: str | None) -> Columns:
    """The columns of images and labels: those asked for, or those found by type.

    A ``ClassLabel`` column is taken before a column of integers or texts. Raises ``BadInput`` listing the
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
        found = [name for name, kind in features.items() if name != image and can_be_label(kind)]
    if len(found) != 1:
        how_many = "no column holds labels" if not found else f"{', '.join(found)} may all be labels"
        raise BadInput(f"{how_many}: name one with data.label; {listed(features)}.")
    return Columns(image, found[0])


def class_names(rows: datasets.Dataset, label: str) -> tuple[str, ...]:
    """The classes: a ``ClassLabel``'s own names, else those that the training rows hold.

    Texts are sorted; integers must run from 0.
    """
    kind = rows.features[label]
    if isinstance(kind, datasets.ClassLabel):
        return tuple(kind.names or ())
    values = label_values(rows, label, "train")
    if values.dtype.kind != "i":
        return tuple(str(value) for value in np.unique(values))
    largest = int(values.max(initial=-1))
    if largest >= _MOST_CLASSES:
        raise BadInput(
            f"data.label: column '{label}' holds {largest}, which is no class number: labels must run "
            "from 0, or name another column."
        )
    return tuple(str(number) for number in range(largest + 1))


def read_labels(rows: datasets.Dataset, label: str, classes: tuple[str, ...], split: str) -> Tensor:
    """Labels (N,) int64, checked against the classes. Raises ``BadInput`` naming the split and row."""
    values = label_values(rows, label, split)
    if values.dtype.kind == "i":
        labels = torch.from_numpy(values.astype(np.int64))
        check_labels(labels, classes, split)
        return labels
    number = {name: index for index, name in enumerate(classes)}
    for row, value in enumerate(values):
        if value not in number:
            raise BadInput(
                f"split '{split}', row {row} (counted from 0): class '{value}' is missing from the training split: each "
                "class needs training examples."
            )
    return torch.tensor([number[value] for value in values], dtype=torch.int64)


def label_values(rows: datasets.Dataset, label: str, split: str) -> np.ndarray:
    """The column as int64 or as texts."""
    column = rows.select_columns([label]).with_format("arrow")[:][label]  # pyright: ignore
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise BadInput(
            f"split '{split}', row {row} (counted from 0): column '{label}' holds no label; every example needs one."
        )
    values = column.to_pylist()
    if is_integer(rows.features[label]):
        return np.array(values, dtype=np.int64)
    return np.array([str(value) for value in values], dtype=object)


def is_integer(kind: object) -> bool:
    """Whether a column of that type holds class numbers."""
    if isinstance(kind, datasets.ClassLabel):
        return True
    return isinstance(kind, datasets.Value) and kind.dtype.startswith(("int", "uint"))


def can_be_label(kind: object) -> bool:
    """Whether a column of that type may be one label an example."""
    texts = ("string", "large_string", "bool")
    return is_integer(kind) or (isinstance(kind, datasets.Value) and kind.dtype in texts)


def _can_be_image(kind: object) -> bool:
    if isinstance(kind, datasets.Value):
        return kind.dtype in ("binary", "large_binary", "string", "large_string")
    return isinstance(kind, datasets.Image) or (isinstance(kind, dict) and {"bytes", "path"} <= kind.keys())


def listed(features: datasets.Features) -> str:
    """The columns and their types, in words."""
    names = [f"{name} ({getattr(kind, 'dtype', None) or 'struct'})" for name, kind in features.items()]
    for at, kind in enumerate(features.values()):
        if isinstance(kind, (datasets.Image, datasets.ClassLabel)):
            names[at] = f"{list(features)[at]} ({type(kind).__name__})"
    return f"the columns are {', '.join(names)}"
