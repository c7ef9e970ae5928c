"""Where the examples of a run stand in the data that they were read from.

Shapes: N examples.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import datasets
import pyarrow as pa
import torch
from torch import Tensor

from ...data.split_roles import choose, find_split
from ...vision.decode import Form, Wanted, decode
from ...vision.inputs import content_ids
from ...vision.sources import open_images
from .columns import find_image
from .examples import Examples, Splits
from .labelling import labelling_of, open_labelled
from .load import wanted_of
from .recipe import Data, NumberData

Origins = dict[str, dict[str, list[Any]]]


def origins_of_images(data: Data, splits: Splits) -> Origins:
    """Of train, validation and transfer: ``row`` of each image in its stored split, from 0, and its ``path``, if any.

    The data is read once more, and an example is found by what it is: its pixels and its label. Of several that are the
    same in both, each is given a row of its own.
    """
    rows = open_labelled(data)
    train, validation, _ = choose(rows, data)
    labelling = labelling_of(train, data)
    wanted = wanted_of(data)
    found: Origins = {}
    # The training images settle the form, and how grey is scaled; what is carved stands among them.
    stored = _Stored(train, labelling.image, data.train, wanted, labelling.read(train, data.train))
    wanted.form, wanted.how = stored.form, stored.how
    for column, camera in ((data.cameras if isinstance(data, NumberData) else None) or {}).items():
        labels = labelling.read(train, data.train) + torch.tensor(camera.added)
        stored.also(_Stored(train, column, data.train, wanted, labels))
    found["train"] = stored.rows_of(splits.train)
    if validation is not None:
        name = data.validation or "validation"
        stored = _Stored(validation, labelling.image, name, wanted, labelling.read(validation, name))
    found["validation"] = stored.rows_of(splits.validation)
    if data.transfer is not None and splits.transfer is not None:
        source = open_images(data.transfer.name, data.transfer.config, "data.transfer.name", labelled=False)
        others = find_split(source, data.transfer.split, "data.transfer.split", data.transfer.name)
        stored = _Stored(others, find_image(others.features, None, "data.image"), "transfer", wanted, None)
        found["transfer"] = stored.rows_of(splits.transfer)
    return found


class _Stored:
    """A split as it is stored: which rows hold which content and label."""

    def __init__(
        self, encoded: datasets.Dataset, column: str, split: str, wanted: Wanted, labels: Tensor | None
    ) -> None:
        decoded = decode(encoded, column, split, wanted, None)
        self.form, self.how = Form.of(decoded.images), decoded.how
        self.paths = _paths(encoded, column)
        labels = None if labels is None else labels[decoded.rows]
        self.left: dict[Any, list[tuple[int, str | None]]] = defaultdict(list)
        for key, row in zip(_keys(content_ids(decoded.images), labels), decoded.rows.tolist(), strict=True):
            self.left[key].append((row, self.paths[row]))

    def also(self, other: _Stored) -> None:
        """Takes in the pictures of another column."""
        for key, places in other.left.items():
            self.left[key] += places

    def rows_of(self, examples: Examples) -> dict[str, list[Any]]:
        """``row`` and ``path`` of each example, in their order."""
        keys = _keys(content_ids(examples.images), examples.labels)
        places = [self.left[key].pop(0) for key in keys]
        return {"row": [row for row, _ in places], "path": [path for _, path in places]}


def _paths(encoded: datasets.Dataset, column: str) -> list[str | None]:
    cells = encoded.select_columns([column]).with_format("arrow")[:][column]  # pyright: ignore
    if pa.types.is_struct(cells.type):
        return pa.Table.from_arrays([cells], [column]).flatten().column(f"{column}.path").to_pylist()
    return cells.to_pylist() if pa.types.is_string(cells.type) else [None] * len(cells)


def _keys(content_N: Tensor, labels: Tensor | None) -> list[Any]:
    labels = torch.full_like(content_N, -1) if labels is None else labels
    said = map(tuple, labels.tolist()) if labels.ndim == 2 else labels.tolist()
    return list(zip(content_N.tolist(), said, strict=True))
