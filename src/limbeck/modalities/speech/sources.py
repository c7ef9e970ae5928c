"""Where clips are found: a data set of the hub or a mirror, tables with sounds in them or with their paths, folders of sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import datasets

from ...data.places import folder_of
from ...data.reading import Rows, own_splits, read
from ...data.sources import open_source
from ...data.tables import read_tables, tables_below
from ...errors import BadInput

_TABLE_SUFFIXES = frozenset([".arrow", ".csv", ".json", ".jsonl", ".parquet", ".tar", ".tsv", ".zip"])


def open_sounds(
    name: str,
    config: str | None,
    field: str = "data.name",
    *,
    labelled: bool = True,
    label: str | None = None,
) -> Rows:
    """The splits of the sounds called ``name``: a folder, a mirror, or a name on the hub.

    As :func:`limbeck.data.sources.open_source`. Where labels are not needed (``labelled`` is false), a folder may hold sounds
    directly. ``label`` is the column that a recipe names, which a CSV's is read as it is spelt for.
    """
    return open_source(name, config, field, partial(_read_folder, labelled=labelled, label=label))


def root_of(name: str, config: str | None, field: str = "data.name") -> Path | None:
    """The folder that paths in the tables of ``name`` start at; None for what the hub has."""
    found = folder_of(name, config, field)
    return None if found is None else found[0]


def _read_folder(path: Path, config: str | None, field: str, *, labelled: bool, label: str | None) -> Rows:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        saved = read(lambda: datasets.load_from_disk(str(path)), str(path), field)
        return own_splits(saved if isinstance(saved, Mapping) else {"train": saved})
    if tables := tables_below(path, _TABLE_SUFFIXES):
        return read_tables(path, config, tables, field, partial(_label_heading, label=label))
    raise BadInput(
        f"{field}: {path} holds neither sounds nor data files: it should hold parquet files, a CSV or JSONL with paths of sounds, "
        "or one sub-folder of sounds for each class."
    )


def _label_heading(headings: Sequence[str], label: str | None) -> tuple[str, ...]:
    """The column of classes, so that 01 and 1 stay two."""
    return tuple(name for name in headings if name == (label or "label"))
