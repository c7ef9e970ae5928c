"""What the labels of images are: a class each, or numbers; which columns hold them, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import datasets
from torch import Tensor

from ...data.examples import check_every_class
from ...data.group_columns import without_group
from ...data.labels import class_names, notes_on, read_labels
from ...data.numbers import check_they_vary, find_numbers, names_of_numbers, read_numbers
from ...data.reading import Rows
from ...vision.sources import open_images
from .columns import find_columns, find_image
from .recipe import Data, NumberData


@dataclass(frozen=True)
class Labelling:
    """Columns of a data set's images and labels, and what its training rows say of the latter.

    Attributes:
        image: the column of images.
        columns: those of the labels: one of classes, or some of numbers.
        classes: their names; empty for numbers.
        numbers: their names; empty for classes.
    """

    image: str
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What a person should know of the classes."""
        return notes_on(self.classes, f"column '{self.columns[0]}'") if self.classes else []

    def read(self, rows: datasets.Dataset, split: str) -> Tensor:
        """The labels (N,) int64, or (N, D) float32. Raises ``BadInput`` naming split and row of one that cannot be used."""
        if self.numbers:
            return read_numbers(rows, self.columns, self.numbers, split)
        return read_labels(rows, self.columns[0], self.classes, split)

    def check(self, labels: Tensor, split: str) -> None:
        """Raises ``BadInput`` where there is nothing to learn from training labels."""
        if self.numbers:
            check_they_vary(labels, self.numbers, split)
        else:
            check_every_class(labels, self.classes, split)


def labelling_of(train: datasets.Dataset, data: Data) -> Labelling:
    """What the recipe's ``data`` says of the labels, and the training rows where it says nothing.

    Raises ``BadInput`` where columns are missing, or hold something else than is asked for.
    """
    if not isinstance(data, NumberData):
        assert data.label is None or isinstance(data.label, str)
        features = without_group(train.features, data.group, data.image, data.label)
        columns = find_columns(features, data.image, data.label)
        return Labelling(columns.image, (columns.label,), classes=class_names(train, columns.label))
    image, columns = _columns_of_numbers(train.features, data)
    return Labelling(image, columns, numbers=names_of_numbers(train, columns))


def open_labelled(data: Data) -> Rows:
    """The splits of the recipe's ``data``, as :func:`limbeck.vision.sources.open_images` opens them.

    Raises ``BadInput`` as it does: also where a picture is listed twice with different labels, or other numbers.
    """
    if not isinstance(data, NumberData):
        assert data.label is None or isinstance(data.label, str)
        return open_images(data.name, data.config, label=data.label)

    def numbers(features: datasets.Features) -> tuple[str, ...]:
        return _columns_of_numbers(features, data)[1]

    label = data.label[0] if isinstance(data.label, tuple) else data.label
    return open_images(data.name, data.config, label=label, numbers=numbers)


def _columns_of_numbers(features: datasets.Features, data: NumberData) -> tuple[str, tuple[str, ...]]:
    """The column of images, and those of numbers."""
    named: Sequence[str] = (data.label,) if isinstance(data.label, str) else data.label or ()
    features = without_group(features, data.group, data.image, *named)
    image = find_image(features, data.image)
    return image, find_numbers(features, data.label, (image, *(data.cameras or ())))
