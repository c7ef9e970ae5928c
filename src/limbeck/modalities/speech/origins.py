"""Where the examples of a run stand in the data that they were read from.

Shapes: N clips.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from ...data.group_columns import without_group
from ...data.ids import example_ids
from ...data.labels import class_names, read_labels
from ...data.split_roles import choose, find_split
from .columns import find_audio, find_label
from .data_sections import Data, SpeechData
from .decode import Wanted, decode
from .examples import Clips, Splits
from .sources import open_sounds, root_of

Origins = dict[str, dict[str, list[Any]]]


def origins_of_sounds(data: Data | SpeechData, splits: Splits) -> Origins:
    """Of train, validation and transfer: ``row`` of each clip in its stored split, from 0, and its ``path``, if any.

    The data is read once more, and a clip is found by its id, which follows from what it is.
    """
    answer = data.label if isinstance(data, Data) else data.text
    rows = open_sounds(data.name, data.config, label=answer if isinstance(data, Data) else None)
    train, validation, _ = choose(rows, data)
    features = without_group(train.features, data.group, data.audio, answer)
    audio = find_audio(features, data.audio)
    label = find_label(features, audio, data.label) if isinstance(data, Data) else None
    classes = () if label is None else class_names(train, label)
    root = root_of(data.name, data.config)
    wanted = Wanted(splits.rate, data.on_corrupt == "skip")

    def stored(of: datasets.Dataset, split: str) -> _Stored:
        # of transcripts nothing need be known: clips that are equal are told apart by their order
        labels = None if label is None else partial(read_labels, of, label, classes, split)
        return _Stored(of, audio, split, wanted, root, labels)

    in_train = stored(train, data.train)
    found = {"train": in_train.rows_of(splits.train)}
    # what is carved stands among the training clips
    held_out = in_train if validation is None else stored(validation, data.validation or "validation")
    found["validation"] = held_out.rows_of(splits.validation)
    if data.transfer is not None and splits.transfer is not None:
        source = open_sounds(data.transfer.name, data.transfer.config, "data.transfer.name", labelled=False)
        others = find_split(source, data.transfer.split, "data.transfer.split", data.transfer.name)
        column = find_audio(others.features, data.transfer.audio, "data.transfer.audio")
        root = root_of(data.transfer.name, data.transfer.config, "data.transfer.name")
        found["transfer"] = _Stored(others, column, "transfer", wanted, root, None).rows_of(splits.transfer)
    return found


class _Stored:
    """A split as it is stored: in which row which clip stands."""

    def __init__(
        self, rows: datasets.Dataset, column: str, split: str, wanted: Wanted, root: Path | None, labels: Any
    ) -> None:
        sounds = decode(rows, column, split, wanted, root)
        labels_N = None if labels is None else labels()[sounds.rows]
        # equal clips are carved off together, so that they are counted here as they are in their split
        ids = example_ids(sounds.content, labels_N).tolist()
        self.row = dict(zip(ids, sounds.rows.tolist(), strict=True))
        self.paths = _paths(rows, column)

    def rows_of(self, clips: Clips) -> dict[str, list[Any]]:
        """``row`` and ``path`` of each clip, in their order."""
        places = [self.row[one] for one in clips.ids.tolist()]
        return {"row": places, "path": [self.paths[place] for place in places]}


def _paths(rows: datasets.Dataset, column: str) -> list[str | None]:
    cells = rows.select_columns([column])
    if isinstance(rows.features[column], datasets.Audio):
        cells = cells.cast_column(column, datasets.Audio(decode=False))
    cells = cells.with_format("arrow")[:][column]  # pyright: ignore
    if pa.types.is_struct(cells.type):
        names = [field.name for field in cells.type]
        return [one.get("path") for one in cells.to_pylist()] if "path" in names else [None] * len(cells)
    text = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
    return cells.to_pylist() if text else [None] * len(cells)
