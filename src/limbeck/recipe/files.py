"""The files and folders that a recipe names: whether they are there, and whether they are as they were. No torch."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files import fingerprint
from ..modalities import part_of
from ..sections.recipe import Recipe
from ..targets.find_stores import one_store


def look_for(recipe: Recipe) -> list[Path | None]:
    """What the recipe names; None for what cannot be told by files, such as a person's own code.

    Raises `BadInput` where something is not there, before anything is imported that could read it.
    """
    found = part_of(recipe.task, "contradictions").look_for(recipe)
    if recipe.targets.store is not None:
        found.append(one_store(Path(recipe.targets.store)))
    return found


def seen(recipe: Recipe) -> dict[str, Any] | None:
    """Path, size and time of all that the recipe names, by which it is known again; None where files do not tell.

    Of a folder: how many files lie in it at any depth, their bytes, when the last was changed, and what names them all.
    Raises as :func:`look_for`.
    """
    found = look_for(recipe)
    if any(path is None or _has_weights_elsewhere(path) for path in found):
        return None
    return {os.path.realpath(path): _seen(path) for path in found if path is not None}


def _has_weights_elsewhere(path: Path) -> bool:
    """Whether an ONNX file names other files: then its own time tells nothing of theirs."""
    if path.suffix != ".onnx" or not path.is_file():
        return False
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"location") >= 0


def _seen(path: Path) -> dict[str, Any]:
    each = [(str(path.name), path.stat())] if path.is_file() else sorted(_below(os.path.realpath(path)))
    listed = [[name, facts.st_size, facts.st_mtime_ns] for name, facts in each]
    return {
        "files": len(each),
        "bytes": sum(size for _, size, _ in listed),
        "changed": max((time for _, _, time in listed), default=0),
        "listing": fingerprint(listed),
    }


def _below(folder: str, inside: str = "") -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = f"{inside}{entry.name}"
            if entry.is_dir():
                yield from _below(entry.path, f"{name}/")
            else:
                yield name, entry.stat()
