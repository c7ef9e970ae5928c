"""A folder of image files as it lies on disk: what can be read, what else is there, what systems left behind.

Nothing is decoded here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from ..errors import BadInput

# Pillow knows these formats by name, and needs another program or another library for their pixels.
_NOT_BY_PILLOW = frozenset(["BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"])
# Pictures that have to be converted first.
_PICTURES_ELSEWHERE = frozenset(
    [
        ".arw",
        ".cr2",
        ".cr3",
        ".dcm",
        ".dng",
        ".eps",
        ".exr",
        ".hdr",
        ".heic",
        ".heif",
        ".hif",
        ".jxl",
        ".mat",
        ".nef",
        ".nii",
        ".npy",
        ".npz",
        ".orf",
        ".pdf",
        ".raf",
        ".raw",
        ".rw2",
        ".svg",
    ]
)
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
class Folder:
    """A folder: its folders in the order of their names, and the names of its files, sorted, by what they are."""

    path: Path
    folders: tuple[Folder, ...]
    images: tuple[str, ...]
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

    def image_paths(self) -> list[str]:
        """Every image in it and below, in a fixed order."""
        return [os.path.join(folder.path, image) for folder in self.below() for image in folder.images]

    def image_count(self) -> int:
        """How many these are."""
        return sum(len(folder.images) for folder in self.below())

    @property
    def with_images(self) -> list[Folder]:
        """The folders directly in it that hold images, at whatever depth."""
        return [inner for inner in self.folders if any(folder.images for folder in inner.below())]

    def unreadable_pictures(self) -> Counter[str]:
        """How many pictures in it and below have to be converted first, by ending."""
        endings = (ending_of(file) for folder in self.below() for file in folder.others)
        return Counter(ending for ending in endings if ending in _PICTURES_ELSEWHERE)


def scan(path: Path, field: str) -> Folder:
    """The folder and all below it; links are followed, but not in a circle.

    Raises ``BadInput``, naming ``field``, for a folder that cannot be listed.
    """
    return _scan(path, field, frozenset())


def _scan(path: Path, field: str, above: frozenset[tuple[int, int]]) -> Folder:
    try:
        status = path.stat()
        above |= {(status.st_dev, status.st_ino)}
        with os.scandir(path) as found:
            entries = sorted((entry.name, entry.is_dir()) for entry in found)
    except OSError as error:
        raise BadInput(
            f"{field}: the folder {path} cannot be listed ({error.strerror}): make it readable, or take it out."
        ) from error
    folders, images, others, left = [], [], [], []
    for name, is_folder in entries:
        if is_left_behind(name):
            left.append(name)
        elif is_folder:
            inner = path / name
            if not (inner.is_symlink() and _id_of(inner) in above):
                folders.append(_scan(inner, field, above))
        else:
            (images if is_image(path / name) else others).append(name)
    return Folder(path, tuple(folders), tuple(images), tuple(others), tuple(left))


def _id_of(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of that name comes from a system, an editor or a file browser, or is hidden."""
    return name.startswith((".", "~$")) or name.endswith("~") or name.lower() in _LEFT_BEHIND


def is_image(path: Path) -> bool:
    """Whether Pillow, as installed, reads it: by its ending, or by its first bytes where it has none."""
    ending = ending_of(path.name)
    return ending in readable() if ending else _begins_as_image(path)


def ending_of(name: str) -> str:
    """``.png`` of ``A.PNG``; nothing where there is none, or mere digits (``scan.001``)."""
    ending = os.path.splitext(name)[1].lower()
    return "" if ending[1:].isdigit() or ending == "." else ending


@cache
def readable() -> frozenset[str]:
    """The endings of the formats that Pillow, as installed, reads."""
    Image.init()
    formats = Image.OPEN.keys() - _NOT_BY_PILLOW | {"MPO"}  # which the reader of JPEG reads
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in formats)


def _begins_as_image(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.format not in _NOT_BY_PILLOW
    # A decoder fed with arbitrary bytes may raise anything at all.
    except Exception:
        return False


def notes_on_left_out(root: Folder, tables: frozenset[str]) -> list[str]:
    """What of a folder is not read, counted: tables by name, other files by ending, what systems left behind by name."""
    files = [(folder.path / file).relative_to(root.path) for folder in root.below() for file in folder.others]
    beside = [str(file) for file in files if file.suffix.lower() in tables]
    endings = Counter(ending_of(file.name) or "without an ending" for file in files if str(file) not in set(beside))
    behind = Counter(_kind(name) for folder in root.below() for name in folder.left_behind)
    notes = []
    if beside:
        are = "lies" if len(beside) == 1 else "lie"
        notes.append(
            f"{listed(beside)} {are} beside folders of images and {'is' if len(beside) == 1 else 'are'} not read: "
            "each image's label is its folder's name."
        )
    if pictures := root.unreadable_pictures():
        endings -= pictures
        notes.append(
            f"left out, since Pillow does not read such pictures (convert them to PNG or JPEG): {_counted(pictures)}."
        )
    if endings:
        notes.append(f"left out, since they are no images that Pillow reads: {_counted(endings)}.")
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
