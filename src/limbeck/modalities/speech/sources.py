"""Where clips are found: a data set of the hub or a mirror, tables with sounds in them or with their paths, folders of sounds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath

import datasets

from ...data.folders import Layout, layout_of, read_classes, read_unlabelled
from ...data.labels import listed
from ...data.places import folder_of
from ...data.reading import Found, Rows, own_splits, read, rows_text
from ...data.sources import open_source
from ...data.tables import BESIDE_IMAGES, read_file, read_tables, tables_below
from ...data.tree import Kind, ending_of, scan
from ...errors import BadInput
from .columns import is_of_sounds
from .data_sections import ELSEWHERE, ENDINGS


def is_sound(path: Path) -> bool:
    """Whether libsndfile reads it, by its ending."""
    return ending_of(path.name) in ENDINGS


# Not `datasets.Audio`, which needs another library to take in what is only a path.
_FILE = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
SOUNDS = Kind("sound", "sounds", "libsndfile", "WAV or FLAC", "audio", _FILE, ELSEWHERE, is_sound)
"""What folders of sounds hold."""
_NAME = "file_name"
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

    As :func:`limbeck.data.sources.open_source`. Where tables lie beside folders of sounds, they are what is read if a column of
    theirs names files; otherwise the folders are the classes. Where labels are not needed (``labelled`` is false), a folder may
    hold sounds directly. ``label`` is the column that a recipe names, which a CSV's is read as it is spelt for.
    """
    return open_source(name, config, field, partial(_read_folder, labelled=labelled, label=label))


def root_of(name: str, config: str | None, field: str = "data.name") -> Path | None:
    """The folder, absolute, that paths in the tables of ``name`` start at; None for what the hub has."""
    found = folder_of(name, config, field)
    return None if found is None else found[0].absolute()


def _read_folder(path: Path, config: str | None, field: str, *, labelled: bool, label: str | None) -> Rows:
    path = path.absolute()  # paths of sounds found below it hold anywhere; relative ones in tables start at it
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        saved = read(lambda: datasets.load_from_disk(str(path)), str(path), field)
        return own_splits(saved if isinstance(saved, Mapping) else {"train": saved})
    tables = tables_below(path, _TABLE_SUFFIXES)
    tree = scan(path, field, SOUNDS)
    if beside := [file for file in tables if file.name.lower() in BESIDE_IMAGES]:
        return _read_beside(path, layout_of(tree, field, labelled=False), beside, field, label)
    if tables:
        try:
            rows = read_tables(path, config, tables, field, partial(_label_heading, label=label))
        except BadInput:
            if not tree.count():
                raise
        else:
            if not tree.count() or _names_sounds(rows, path):
                return rows
    if tree.count():
        layout = layout_of(tree, field, labelled=labelled)
        return read_classes(layout, field, _TABLE_SUFFIXES) if labelled else read_unlabelled(layout, _TABLE_SUFFIXES)
    if ending := next(iter(tree.unreadable()), None):
        raise BadInput(
            f"{field}: {path} holds {ending} files, which need a decoder that libsndfile lacks: convert them with FFmpeg (ffmpeg -i "
            f"in{ending} out.flac); WAV, FLAC, Ogg and MP3 need none."
        )
    raise BadInput(
        f"{field}: {path} holds neither sounds nor data files: it should hold parquet files, a CSV or JSONL with paths of sounds, "
        "or one sub-folder of sounds for each class."
    )


def _names_sounds(rows: Rows, root: Path) -> bool:
    """Whether a column of tables holds sounds, or its first cell is the path of one."""
    first = next((split for split in rows.values() if len(split)), None)
    if first is None:
        return False
    if any(is_of_sounds(kind) for kind in first.features.values()):
        return True
    texts = [name for name, kind in first.features.items() if getattr(kind, "dtype", "") in ("string", "large_string")]
    cells = (first[0][name] for name in texts)
    return any(cell and is_sound(Path(cell)) and (root / cell).is_file() for cell in cells)


def _read_beside(path: Path, layout: Layout, tables: Sequence[PurePath], field: str, label: str | None) -> Rows:
    """The rows of ``metadata.csv`` (or .jsonl, .parquet) tables, whose ``file_name`` starts at their own folders.

    A table is of the split whose folder it lies in; rows of one that lies above such folders are of the split whose folder
    holds their file. (The ``datasets`` library would take another library to read what is only a path.)
    """
    each: dict[str, list[datasets.Dataset]] = {}
    notes: list[str] = []
    for file in tables:
        rows = read_file(path / file, field, partial(_label_heading, label=label))["train"]
        if _NAME not in rows.features:
            raise BadInput(
                f"{field}: {path / file} has no column '{_NAME}' that names each row's sound; {listed(rows.features)}."
            )
        names = [str(path / file.parent / name) for name in rows[_NAME]]
        rows = rows.remove_columns([_NAME]).add_column(SOUNDS.column, names)  # pyright: ignore
        folders = layout.splits if layout.named else {"train": layout.root}
        left = len(rows)
        for split, folder in folders.items():
            root = os.path.abspath(folder.path)
            inside = [at for at, name in enumerate(names) if Path(os.path.abspath(name)).is_relative_to(root)]
            if inside:
                each.setdefault(split, []).append(rows.select(inside))
                left -= len(inside)
        if left:
            notes.append(f"left out, since their sounds lie in the folder of no split: {rows_text(left)} of {file}.")
    splits = {split: datasets.concatenate_datasets(parts) for split, parts in each.items()}
    return Found(splits, [*own_splits(splits).notes, *notes])


def lie_elsewhere(splits: Iterable[datasets.Dataset | None], column: str, root: Path | None) -> bool:
    """Whether any sound is a file outside the folder that holds the data, and so may change while that stays as it is.

    No sound is opened. What the hub holds (``root`` is None) is known by its version.
    """
    if root is None:
        return False
    own = os.path.realpath(root)
    for rows in splits:
        if rows is not None and column in rows.features:
            cells = rows.select_columns([column]).with_format("arrow")[:][column].to_pylist()  # pyright: ignore
            for cell in cells:
                path = (
                    cell
                    if isinstance(cell, str)
                    else cell.get("path")
                    if isinstance(cell, dict) and cell.get("bytes") is None
                    else None
                )
                if path is not None and not Path(os.path.realpath(root / path)).is_relative_to(own):
                    return True
    return False


def _label_heading(headings: Sequence[str], label: str | None) -> tuple[str, ...]:
    """The column of classes, so that 01 and 1 stay two."""
    return tuple(name for name in headings if name == (label or "label"))
