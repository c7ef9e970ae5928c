"""Images whose labels stand in a table beside them, ``metadata.csv``: which images are which split's, and what is not read.

The ``datasets`` library joins table and images; which folder is a split's is decided as for folders of classes.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath

import datasets

from ..data.folders import Layout, is_of_classes, layout_of, table
from ..data.reading import Found, read, rows_text
from ..data.split_names import nearly
from ..data.tables import BESIDE_IMAGES
from ..data.tree import listed, scan
from ..errors import BadInput
from .image_files import IMAGES

_LABELS = frozenset(["label", "labels", "class", "target"])


Numbers = Callable[[datasets.Features], Sequence[str]]
"""Which columns of a table hold a regression's numbers; ``BadInput`` where none can be told."""


def read_beside_images(
    root: Path,
    files: Sequence[PurePath],
    field: str,
    label: str | None,
    labelled: bool,
    numbers: Numbers | None = None,
) -> Found:
    """The splits of the images below ``root`` that the tables among ``files`` describe.

    A table is of the split whose folder it lies in; one above the folders of splits is of all of them, and its rows go
    where their images lie. ``label`` is the column that a recipe names; ``numbers`` finds those of a regression.

    Raises ``BadInput``, naming ``field``, where folders leave the splits open, where both folders and columns could be
    the classes, where a table lies in no split, and where an image has two labels, or other numbers.
    """
    layout = layout_of(scan(root, field, IMAGES), field, labelled=False)
    tables = [file for file in files if file.name.lower() in BESIDE_IMAGES]
    _check_left(layout, field)
    notes: list[str] = []
    splits = (
        _read(root, layout, tables, field, notes) if layout.named else {"train": _load(root, tables, "train", field)}
    )
    if labelled:
        for rows in list(splits.values())[:1]:
            _check_classes(root, layout, rows, field, label)
    which = "the data's own splits" if layout.named else "no folder is named after a split, so all are train"
    said = []
    for split, rows in splits.items():
        where = os.path.relpath(layout.splits[split].path, root)
        said.append(f"{split} has {rows_text(len(rows))}" + (f" ({where})" if where != "." else ""))
    notes.insert(0, f"{which}: {'; '.join(said)}.")
    for split, rows in splits.items():
        notes += _check_files(layout, split, rows, field, _compared(rows, label, numbers))
    if layout.left:
        left = [f"{one.name} ({one.count():,} images)" for one in layout.left]
        notes.append(f"left out, since they are named after no split: {listed(left)}.")
    return Found(splits, notes)


def _read(
    root: Path, layout: Layout, tables: Sequence[PurePath], field: str, notes: list[str]
) -> dict[str, datasets.Dataset]:
    inside = {
        split: [file for file in tables if (root / file).is_relative_to(folder.path)]
        for split, folder in layout.splits.items()
    }
    left = [file for file in tables if any((root / file).is_relative_to(one.path) for one in layout.left)]
    above = [file for file in tables if file not in left and not any(file in those for those in inside.values())]
    if above and (any(inside.values()) or len(above) > 1):
        other = next((file for those in inside.values() for file in those), above[-1])
        raise BadInput(
            f"{field}: {root}: both {above[0]} and {other} say what the images are: keep one table for all splits, or one in "
            "the folder of each."
        )
    if above:
        return _parted(root, layout, above, field, notes)
    splits = {}
    for split, folder in layout.splits.items():
        if inside[split]:
            splits[split] = _load(root, inside[split], split, field)
        elif paths := folder.paths():
            splits[split] = table(IMAGES, [{"bytes": None, "path": path} for path in paths], None, [])
            notes.append(f"split '{split}' has no {tables[0].name}, and so no labels.")
    return splits


def _parted(
    root: Path, layout: Layout, tables: Sequence[PurePath], field: str, notes: list[str]
) -> dict[str, datasets.Dataset]:
    """The rows of a table that is of all splits, by the folders that their images lie in."""
    rows = _load(root, tables, "train", field)
    paths = _paths(rows)
    if len(paths) != len(rows):
        raise BadInput(
            f"{field}: {root / tables[0]}: each row must name one image (column file_name) where one table is of all splits: "
            "write a table in the folder of each split instead."
        )
    places = {
        split: [
            at
            for at, path in enumerate(paths)
            if Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder.path))
        ]
        for split, folder in layout.splits.items()
    }
    if outside := len(rows) - sum(map(len, places.values())):
        notes.append(
            f"left out, since their images lie in the folder of no split: {rows_text(outside)} of {tables[0]}."
        )
    return {split: rows.select(at) for split, at in places.items()}


def _load(root: Path, tables: Sequence[PurePath], split: str, field: str) -> datasets.Dataset:
    paths = [glob.escape(os.path.abspath(root / file)) for file in tables]
    names = sorted({file.name for file in tables})
    return read(
        lambda: datasets.load_dataset("imagefolder", data_files={split: paths}, metadata_filenames=names, split=split),
        str(root),
        field,
    )


def _check_left(layout: Layout, field: str) -> None:
    for one in layout.left if layout.named else layout.root.with_files:
        if meant := nearly(one.name):
            raise BadInput(
                f"{field}: {one.path}: '{one.name}' is nearly '{meant}': rename it if it is that split, and otherwise call it "
                "something else or take it out of the folder."
            )


def _check_classes(root: Path, layout: Layout, rows: datasets.Dataset, field: str, label: str | None) -> None:
    if label is not None or _label_of(rows) is not None or not is_of_classes(layout):
        return
    folders = listed([one.name for one in layout.splits["train"].with_files])
    columns = [name for name, kind in rows.features.items() if not isinstance(kind, datasets.Image)]
    raise BadInput(
        f"{field}: {root}: the classes could be the folders ({folders}) or a column of the metadata ("
        f"{', '.join(columns) or 'which has none but file_name'}): name the column with data.label, or take the metadata "
        "files out of the folder where the folders are the classes."
    )


def _label_of(rows: datasets.Dataset) -> str | None:
    return next((name for name in rows.column_names if name.strip().lower() in _LABELS), None)


def _compared(rows: datasets.Dataset, label: str | None, numbers: Numbers | None) -> Sequence[str]:
    """The columns that must say the same wherever an image is listed again."""
    if numbers is not None:
        try:
            return numbers(rows.features)
        except BadInput:  # a test split may lack them; whoever reads the labels says so
            return ()
    column = label if label in rows.column_names else _label_of(rows)
    return () if column is None else (column,)


def _check_files(layout: Layout, split: str, rows: datasets.Dataset, field: str, compared: Sequence[str]) -> list[str]:
    """Notes on images that the table lacks or has twice. Raises ``BadInput`` where an image has two labels."""
    paths = [os.path.realpath(path) for path in _paths(rows)]
    if len(paths) != len(rows):  # several images a row, or none in some
        return []
    seen = dict.fromkeys(paths)
    for column in compared:
        labels: dict[str, object] = {}
        for path, said in zip(paths, rows[column][:], strict=True):
            if labels.setdefault(path, said) != said:
                raise BadInput(
                    f"{field}: the metadata list {path} twice, as '{labels[path]}' and as '{said}' (column '{column}'): an "
                    "image has one label."
                )
    notes, twice = [], len(paths) - len(seen)
    if twice and paths:
        notes.append(f"split '{split}': {twice:,} of {rows_text(len(paths))} list an image that stands in another row.")
    there = [path for path in layout.splits[split].paths() if os.path.realpath(path) not in seen]
    if there and paths:
        count = layout.splits[split].count()
        some = listed([os.path.relpath(path, layout.splits[split].path) for path in there])
        notes.append(
            f"split '{split}': {len(there):,} of {count:,} images are left out, since the metadata do not list them: {some}."
        )
    return notes


def _paths(rows: datasets.Dataset) -> list[str]:
    """The files of the only column of images; nothing where there are several."""
    columns = [name for name, kind in rows.features.items() if isinstance(kind, datasets.Image)]
    if len(columns) != 1:
        return []
    cells = rows.select_columns(columns).cast_column(columns[0], datasets.Image(decode=False))
    return [cell["path"] for cell in cells[columns[0]][:] if cell is not None]
