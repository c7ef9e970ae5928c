"""Class folders of images, or of sounds, with or without folders for splits: which folder plays which part.

``root/CLASS/*.png`` or ``root/SPLIT/CLASS/*.png``, whatever else lies there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from ..errors import BadInput, did_you_mean
from .reading import Found, rows_text
from .split_names import canonical, forms_in, nearly, split_of_form, words
from .tree import Folder, Kind, listed, notes_on_left_out

_ANY_FOLDER = frozenset(
    [
        "all",
        "audio",
        "class",
        "classes",
        "data",
        "dataset",
        "files",
        "folder",
        "image",
        "images",
        "img",
        "imgs",
        "photo",
        "photos",
        "pictures",
        "pics",
        "recordings",
        "set",
        "sounds",
        "wav",
        "wavs",
    ]
)


@dataclass(frozen=True)
class Layout:
    """The folders of a data set: ``splits`` by name, each holding one folder a class; ``left`` play no part."""

    root: Folder
    splits: dict[str, Folder]
    named: bool  # whether the splits are folders of that name; else all is train
    left: tuple[Folder, ...] = ()


def table(kind: Kind, cells: Sequence[Any], labels: Sequence[int] | None, names: Sequence[str]) -> datasets.Dataset:
    """Encoded images or sounds, as ``datasets`` has them, with the numbers of their classes; without, where there are no labels."""
    features: dict[str, Any] = {kind.column: kind.feature}
    columns: dict[str, Any] = {kind.column: list(cells)}
    if labels is not None:
        features["label"] = datasets.ClassLabel(names=list(names))
        columns["label"] = list(labels)
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def layout_of(root: Folder, field: str, *, labelled: bool = True) -> Layout:
    """Which of the folders in ``root`` are splits, and which are classes.

    A folder is a split's where its name says so (``Train``, ``val``, ``training_set`` beside ``test_set``), and it holds
    folders of such files. A folder that holds all the others is looked into. Where files need no label, those of a split
    may lie in it directly.

    Raises ``BadInput``, naming ``field``, where that cannot be told.
    """
    inner = root.with_files
    # An empty folder of such a name is an empty split, and no class.
    may_be = [one for one in root.folders if one in inner or canonical(one.name)]
    named = _named_splits([one for one in may_be if not (labelled and one.files)])
    splits: dict[str, Folder] = {}
    for split in [split for split in ("train", "validation", "test") if split in named]:
        folders = [one for one in named[split] if canonical(one.name)] or named[split]
        if len(folders) > 1 and "train" in named:
            raise BadInput(
                f"{field}: {root.path} has two folders for split '{split}', '{folders[0].name}' and '{folders[1].name}': keep "
                "one of them."
            )
        splits[split] = folders[0]
    others = [one for one in inner if one not in splits.values()]
    _check_names(inner, splits, others, field, labelled)
    if ("train" in splits and splits["train"] in inner) or (splits and not others):
        return Layout(root, {split: _unwrapped(one) for split, one in splits.items()}, True, tuple(others))
    if len(inner) == 1 and not root.files and not inner[0].files:
        deeper = layout_of(inner[0], field, labelled=labelled)
        return Layout(root, deeper.splits, deeper.named, deeper.left)
    return Layout(root, {"train": root}, False)


def is_of_classes(layout: Layout) -> bool:
    """Whether the training files lie in several class folders, and nowhere else."""
    train = layout.splits.get("train")
    return train is None or (len(train.with_files) > 1 and not train.files)


def read_classes(layout: Layout, field: str, tables: frozenset[str]) -> Found:
    """The splits, with the folders' names for labels, and what was left out.

    Raises ``BadInput``, naming ``field``, for files outside class folders, for a single class, and for classes that the
    training split lacks.
    """
    names: list[str] | None = None
    rows: dict[str, datasets.Dataset] = {}
    notes: list[str] = []
    empty: list[Folder] = []
    # The training classes number the others' labels, so that a class they lack keeps its place.
    for split, folder in layout.splits.items():
        if layout.named and not folder.with_files and not folder.files:
            rows[split] = table(folder.kind, [], [], names or [])
            continue
        rows[split] = _classes_of(folder, layout, field, names, notes)
        empty += _without_files(folder, layout, field)
        names = names or rows[split].features["label"].names
        if split == "train" and len(names or ()) == 1:
            raise BadInput(
                f"{field}: {folder.path} holds one folder of {folder.kind.many}, '{names[0] if names else ''}', so there is one class: "
                "there must be at least two, each a folder of its own."
            )
    if empty:
        named = listed([_inside(layout, one.path) for one in empty])
        notes.append(f"left out, since they hold no {layout.root.kind.many} and so are no classes: {named}.")
    notes = [f"{len(names or ())} classes, after their folders: {listed(names or [])}.", *notes]
    return Found(rows, [_origins(layout, rows), *notes, *_left_out(layout, tables)])


def read_unlabelled(layout: Layout, tables: frozenset[str]) -> Found:
    """The splits without labels: every file of each, wherever it lies."""
    splits = layout.splits.items()
    rows = {split: table(folder.kind, [_cell(path) for path in folder.paths()], None, []) for split, folder in splits}
    return Found(rows, [_origins(layout, rows), *_left_out(layout, tables)])


def _named_splits(folders: list[Folder]) -> dict[str, list[Folder]]:
    """The folders whose names are those of splits, by split.

    A longer name counts where there is a pair that differs in that word alone, one for training among them.
    """
    alike: dict[tuple[str, ...], dict[str, list[Folder]]] = {}
    for folder in folders:
        said = {split_of_form(form) for form in forms_in(folder.name)}
        if len(said) == 1 and (split := said.pop()):
            alike.setdefault(_rest(folder.name), {}).setdefault(split, []).append(folder)
    pairs = [found for _, found in sorted(alike.items()) if "train" in found and len(found) > 1]
    if pairs:
        return pairs[0]
    exact = [(canonical(folder.name), folder) for folder in folders]
    return {split: [folder for other, folder in exact if other == split] for split, _ in exact if split}


def _rest(name: str) -> tuple[str, ...]:
    """The words of a name that tell neither a split nor what every folder of images or sounds could be called."""
    return tuple(word for word in words(name) if word not in forms_in(name) and word not in _ANY_FOLDER)


def _check_names(
    inner: list[Folder], splits: dict[str, Folder], others: list[Folder], field: str, labelled: bool
) -> None:
    """Raises ``BadInput`` where folders that would be classes, or left out, look like splits."""
    for one in others if splits else ():
        meant = nearly(one.name)
        if meant and ("train" not in splits or not one.files):
            raise BadInput(
                f"{field}: {one.path}: '{one.name}' is nearly '{meant}': rename it if it is that split, and otherwise call it "
                "something else or take it out of the folder."
            )
    if splits and "train" not in splits and others:
        some = next(iter(splits.values()))
        raise BadInput(
            f"{field}: {some.path} is named after a split and holds folders of {some.kind.many}, and no folder beside it is named after "
            f"train: call the one with the training {some.kind.many} train, or rename this one where it is a class."
        )
    for split in ("validation", "test") if "train" in splits else ():
        alike = [one for one in others if {split_of_form(form) for form in forms_in(one.name)} == {split}]
        alike = [one for one in alike if not (labelled and one.files)]
        if split not in splits and len(alike) > 1:
            raise BadInput(
                f"{field}: {alike[0].path} and '{alike[1].name}' beside it could both be split '{split}': call the one that is "
                f"'{split}', and take the other out of the folder."
            )
    direct = _named_splits([one for one in inner if one.files]) if labelled else {}
    if "train" in direct and len(direct) > 1:
        names = [f"'{folders[0].name}'" for folders in direct.values()]
        raise BadInput(
            f"{field}: {' and '.join(names)} in {inner[0].path.parent} look like splits and hold {inner[0].kind.many} directly, "
            f"which would make them classes: the {inner[0].kind.many} of a split lie in one sub-folder for each class. Where a table has their "
            "labels, call it metadata.csv, with a column file_name."
        )


def _unwrapped(folder: Folder) -> Folder:
    """The folder, or the one in it that holds all its files in folders (``training_set/training_set/cats``)."""
    inner = folder.with_files
    if len(inner) != 1 or folder.files or inner[0].files:
        return folder
    if inner[0].name == folder.name or len(inner[0].with_files) > 1:
        return _unwrapped(inner[0])
    return folder


def _classes_of(
    folder: Folder, layout: Layout, field: str, known: list[str] | None, notes: list[str]
) -> datasets.Dataset:
    """One folder for each class, numbered as in ``known``, else in the order of their names."""
    inner = folder.with_files
    if folder.files or not inner:
        what = (
            f"{folder.files[0]} lies directly in {folder.path}" if folder.files else f"{folder.path} has no sub-folders"
        )
        raise BadInput(f"{field}: {what}: a folder of {folder.kind.many} has one sub-folder for each class.")
    names = [one.name for one in inner]
    if known is not None and (other := sorted(set(names) - set(known))):
        raise BadInput(
            f"{field}: class '{other[0]}' of {folder.path} is missing from the training split of {layout.root.path}: each "
            f"class needs training examples.{did_you_mean(other[0], known)}"
        )
    _check_crossed(folder, field)
    nested = [one for one in inner if len(one.with_files) > 1 or (one.files and one.with_files)]
    if nested:
        said = [f"{one.name} ({listed([deeper.name for deeper in one.with_files])})" for one in nested]
        notes.append(f"the {folder.kind.many} in a class's own sub-folders are of that class: {listed(said)}.")
    cells, labels = [], []
    classes = known or names
    for one in inner:
        found = one.paths()
        cells += [_cell(path) for path in found]
        labels += [classes.index(one.name)] * len(found)
    return table(folder.kind, cells, labels, classes)


def _check_crossed(folder: Folder, field: str) -> None:
    """Raises ``BadInput`` where numbered folders (folds, parts) hold folders of the same names, which seem to be the classes.

    Where the inner ones are numbered (persons, tracks), or the outer ones are not, the outer ones are the classes.
    """
    outer = folder.with_files
    names = [[one.name for one in each.with_files] for each in outer]
    if len(outer) < 2 or len(names[0]) < 2 or any(other != names[0] for other in names) or any(o.files for o in outer):
        return
    if not _numbered([one.name for one in outer]) or _numbered(names[0]):
        return
    raise BadInput(
        f"{field}: {folder.path}: each of {listed([one.name for one in outer])} holds the folders {listed(names[0])}, so either "
        f"could be the classes: keep one folder for each class, with the {folder.kind.many} (or such folders as "
        f"{names[0][0]}/{outer[0].name}, which a pattern in data.group can tell apart) in it, or call the outer folders train, "
        "validation and test where they are splits."
    )


def _numbered(names: Sequence[str]) -> bool:
    """Whether names are the same but for their digits."""
    return len({re.sub(r"\d+", "#", name.lower()) for name in names}) == 1


def _without_files(folder: Folder, layout: Layout, field: str) -> list[Folder]:
    """The folders that would be classes and hold no files. Raises ``BadInput`` where they hold such as are not read."""
    empty = [one for one in folder.folders if one not in folder.with_files]
    for one in empty:
        if ending := next(iter(one.unreadable()), None):
            raise BadInput(
                f"{field}: {one.path} holds {ending} files, which {one.kind.reader} does not read: convert them (to {one.kind.formats}), or "
                "take the folder out."
            )
    return empty


def _inside(layout: Layout, path: Path) -> str:
    return str(path.relative_to(layout.root.path))


def _origins(layout: Layout, rows: dict[str, datasets.Dataset]) -> str:
    said = []
    for split, folder in layout.splits.items():
        where = _inside(layout, folder.path)
        said.append(f"{split} has {rows_text(len(rows[split]))}" + (f" ({where})" if where != "." else ""))
    which = "the data's own splits" if layout.named else "no folder is named after a split, so all are train"
    return f"{which}: {'; '.join(said)}."


def _left_out(layout: Layout, tables: frozenset[str]) -> list[str]:
    notes = []
    for direct, why in (
        (True, f"they hold {layout.root.kind.many} without a folder for each class (which data.transfer can use)"),
        (False, "they are named after no split"),
    ):
        left = [one for one in layout.left if direct == bool(one.files and forms_in(one.name))]
        if left:
            said = [f"{_inside(layout, one.path)} ({_counted(one.count(), layout.root.kind)})" for one in left]
            notes.append(f"left out, since {why}: {listed(said)}.")
    read = {folder.path for one in layout.splits.values() for folder in one.below()}
    read |= {folder.path for one in layout.left for folder in one.below()}
    if loose := sum(len(folder.files) for folder in layout.root.below() if folder.path not in read):
        notes.append(f"left out, since they lie outside the splits: {_counted(loose, layout.root.kind)}.")
    return [*notes, *notes_on_left_out(layout.root, tables)]


def _counted(count: int, kind: Kind) -> str:
    return f"{count:,} {kind.one if count == 1 else kind.many}"


def _cell(path: str) -> dict[str, Any]:
    return {"bytes": None, "path": path}
