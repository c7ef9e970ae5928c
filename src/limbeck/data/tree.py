"""A folder of images, or of sounds, as it lies on disk: what can be read, what else is there, what systems left behind.

Nothing is decoded here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput

# What starts with a dot is left behind too.
_LEFT_BEHIND = frozenset(
    [
        "__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r",
        "@eadir", "@recycle", "#recycle", "@tmp", "#snapshot", "lost+found", "$recycle.bin", "recycler",
        "system volume information", "network trash folder", "temporary items",
    ]
)  # fmt: skip
_MOST_NAMED = 8


@dataclass(frozen=True)
class Kind:
    """What the files of a data set are.

    ``is_one`` tells by its path whether a file is one; ``reader`` reads them, and those with the endings ``elsewhere`` have to
    be converted to ``formats`` first; ``column`` is what a table of them calls their column, and ``feature`` its type.
    """

    one: str
    many: str
    reader: str
    formats: str
    column: str
    feature: Any
    elsewhere: frozenset[str]
    is_one: Callable[[Path], bool]


@dataclass(frozen=True)
class Folder:
    """A folder: its folders in the order of their names, and the names of its files, sorted, by whether they are of a kind."""

    path: Path
    kind: Kind
    folders: tuple[Folder, ...]
    files: tuple[str, ...]
    others: tuple[str, ...]
    left_behind: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path.name

    def below(self) -> Iterator[Folder]:
        """Itself and all folders below it."""
        yield self
        for inner in self.folders:
            yield from inner.below()

    def paths(self) -> list[str]:
        """Every file of the kind in it and below, in a fixed order."""
        return [os.path.join(folder.path, file) for folder in self.below() for file in folder.files]

    def count(self) -> int:
        """How many these are."""
        return sum(len(folder.files) for folder in self.below())

    @property
    def with_files(self) -> list[Folder]:
        """The folders directly in it that hold files of the kind, at whatever depth."""
        return [inner for inner in self.folders if any(folder.files for folder in inner.below())]

    def unreadable(self) -> Counter[str]:
        """How many files of the kind in it and below have to be converted first, by ending."""
        endings = (ending_of(file) for folder in self.below() for file in folder.others)
        return Counter(ending for ending in endings if ending in self.kind.elsewhere)


def scan(path: Path, field: str, kind: Kind) -> Folder:
    """The folder and all below it, with what it holds of the kind; links are followed, but not in a circle.

    Raises ``BadInput``, naming ``field``, for a folder that cannot be listed.
    """
    return _scan(path, field, kind, frozenset())


def _scan(path: Path, field: str, kind: Kind, above: frozenset[tuple[int, int]]) -> Folder:
    try:
        status = path.stat()
        above |= {(status.st_dev, status.st_ino)}
        with os.scandir(path) as found:
            entries = sorted((entry.name, entry.is_dir()) for entry in found)
    except OSError as error:
        raise BadInput(
            f"{field}: the folder {path} cannot be listed ({error.strerror}): make it readable, or take it out."
        ) from error
    folders, files, others, left = [], [], [], []
    for name, is_folder in entries:
        if is_left_behind(name):
            left.append(name)
        elif is_folder:
            inner = path / name
            if not (inner.is_symlink() and _id_of(inner) in above):
                folders.append(_scan(inner, field, kind, above))
        else:
            (files if kind.is_one(path / name) else others).append(name)
    return Folder(path, kind, tuple(folders), tuple(files), tuple(others), tuple(left))


def _id_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of that name comes from a system, an editor or a file browser, or is hidden."""
    return name.startswith((".", "~$")) or name.endswith("~") or name.lower() in _LEFT_BEHIND


def ending_of(name: str) -> str:
    """``.png`` of ``A.PNG``; nothing where there is none, or mere digits (``scan.001``)."""
    ending = os.path.splitext(name)[1].lower()
    return "" if ending[1:].isdigit() or ending == "." else ending


def notes_on_left_out(root: Folder, tables: frozenset[str]) -> list[str]:
    """What of a folder is not read, counted: tables by name, other files by ending, what systems left behind by name."""
    files = [(folder.path / file).relative_to(root.path) for folder in root.below() for file in folder.others]
    beside = [str(file) for file in files if file.suffix.lower() in tables]
    endings = Counter(ending_of(file.name) or "without an ending" for file in files if str(file) not in set(beside))
    behind = Counter(_kind(name) for folder in root.below() for name in folder.left_behind)
    notes = []
    kind = root.kind
    if beside:
        are = "lies" if len(beside) == 1 else "lie"
        notes.append(
            f"{listed(beside)} {are} beside folders of {kind.many} and {'is' if len(beside) == 1 else 'are'} not read: "
            f"each {kind.one}'s label is its folder's name."
        )
    if unreadable := root.unreadable():
        endings -= unreadable
        notes.append(
            f"left out, since {kind.reader} does not read such {kind.many} (convert them to {kind.formats}): {_counted(unreadable)}."
        )
    if endings:
        notes.append(f"left out, since they are no {kind.many} that {kind.reader} reads: {_counted(endings)}.")
    if behind:
        notes.append(f"left out, since systems and programs leave such behind: {_counted(behind)}.")
    return notes


def listed(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _counted(counts: Counter[str]) -> str:
    return listed([f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))])


def _kind(name: str) -> str:
    if name.startswith("._"):
        return "._*"
    if name.startswith("~$"):
        return "~$*"
    return "*~" if name.endswith("~") else name.strip()
