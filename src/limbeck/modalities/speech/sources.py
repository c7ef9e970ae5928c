"""Where clips are found: a data set of the hub or a mirror, tables with sounds in them or with their paths, folders of sounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import datasets

from ...data.folders import is_of_classes, layout_of, read_classes, read_unlabelled
from ...data.places import folder_of
from ...data.reading import Rows, own_splits, read
from ...data.sources import open_source
from ...data.tables import read_tables, tables_below
from ...data.tree import Kind, ending_of, scan
from ...errors import BadInput
from .data_sections import ELSEWHERE, ENDINGS


def is_sound(path: Path) -> bool:
    """Whether libsndfile reads it, by its ending."""
    return ending_of(path.name) in ENDINGS


# Not `datasets.Audio`, which needs another library to take in what is only a path.
_FILE = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
SOUNDS = Kind("sound", "sounds", "libsndfile", "WAV or FLAC", "audio", _FILE, ELSEWHERE, is_sound)
"""What folders of sounds hold."""
_TABLE_SUFFIXES = frozenset([".arrow", ".csv", ".json", ".jsonl", ".parquet", ".tar", ".tsv", ".zip"])


def open_sounds(
    name: str,
    config: str | None,
    field: str = "data.name",
    *,
    labelled: bool = True,
    in_classes: bool = True,
    label: str | None = None,
) -> Rows:
    """The splits of the sounds called ``name``: a folder, a mirror, or a name on the hub.

    As :func:`limbeck.data.sources.open_source`. Where labels are not needed (``labelled`` is false), a folder may hold sounds
    directly. Where tables lie beside folders of sounds, these are classes if they may be (``in_classes``) and no column of labels
    (``label``, which a CSV is read as it is spelt for) is named.
    """
    return open_source(
        name, config, field, partial(_read_folder, labelled=labelled, in_classes=in_classes, label=label)
    )


def root_of(name: str, config: str | None, field: str = "data.name") -> Path | None:
    """The folder that paths in the tables of ``name`` start at; None for what the hub has."""
    found = folder_of(name, config, field)
    return None if found is None else found[0]


def _read_folder(
    path: Path, config: str | None, field: str, *, labelled: bool, in_classes: bool, label: str | None
) -> Rows:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        saved = read(lambda: datasets.load_from_disk(str(path)), str(path), field)
        return own_splits(saved if isinstance(saved, Mapping) else {"train": saved})
    tables = tables_below(path, _TABLE_SUFFIXES)
    tree = scan(path, field, SOUNDS)
    if tree.count():
        layout = layout_of(tree, field, labelled=labelled)
        if not tables or (in_classes and label is None and is_of_classes(layout)):
            if not labelled:
                return read_unlabelled(layout, _TABLE_SUFFIXES)
            return read_classes(layout, field, _TABLE_SUFFIXES)
    if tables:
        return read_tables(path, config, tables, field, partial(_label_heading, label=label))
    if ending := next(iter(tree.unreadable()), None):
        raise BadInput(
            f"{field}: {path} holds {ending} files, which need a decoder that libsndfile lacks: convert them with FFmpeg (ffmpeg -i "
            f"in{ending} out.flac); WAV, FLAC, Ogg and MP3 need none."
        )
    raise BadInput(
        f"{field}: {path} holds neither sounds nor data files: it should hold parquet files, a CSV or JSONL with paths of sounds, "
        "or one sub-folder of sounds for each class."
    )


def _label_heading(headings: Sequence[str], label: str | None) -> tuple[str, ...]:
    """The column of classes, so that 01 and 1 stay two."""
    return tuple(name for name in headings if name == (label or "label"))
