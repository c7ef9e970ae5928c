"""Where a data set is: a folder, one among local mirrors, or the Hugging Face hub. Nothing is opened, and no torch."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import BadInput
from ..files import near

# No data set of the hub is called so, and many a misspelt file is.
_FILE_SUFFIXES = frozenset([".csv", ".tsv", ".json", ".jsonl", ".parquet", ".txt"])


def folder_of(name: str, config: str | None, field: str) -> tuple[Path, str | None] | None:
    """The folder of the data set called ``name``, and which configuration to read there; None: the hub is to be asked.

    ``LIMBECK_DATA`` names a folder of mirrors, where the last part of ``name`` is looked for before the hub.
    Raises ``BadInput``, naming ``field``, where there is no such folder.
    """
    if not name.strip():
        raise BadInput(f"{field} is empty: name a folder or a Hugging Face data set.")
    path = Path(name).expanduser()
    if path.is_dir():
        return path, config
    if path.is_file():
        raise BadInput(f"{field}: {name} is a file: name the folder that holds it.")
    if path.suffix.lower() in _FILE_SUFFIXES:
        raise BadInput(f"{field}: there is no such file {name}; relative paths start at {Path.cwd()}.{near(path)}")
    if name.startswith((".", "~", os.sep)) or len(path.parts) > 2 or "\\" in name:
        raise BadInput(f"{field}: there is no folder {name}; relative paths start at {Path.cwd()}.{near(path)}")
    mirrors = os.environ.get("LIMBECK_DATA")
    if not mirrors:
        return None
    if not Path(mirrors).expanduser().is_dir():
        raise BadInput(f"LIMBECK_DATA is {mirrors}, which is no folder: it must name a folder of data sets.")
    mirror = Path(mirrors).expanduser() / path.name
    if not mirror.is_dir():
        return None
    # A mirror stands for one configuration, or holds one folder for each.
    inner = mirror / config if config else mirror
    return (inner if inner.is_dir() else mirror), None


def place_of(name: str, config: str | None, field: str) -> Path | None:
    """The folder of a data set, or what the hub's cache holds of it; None where neither is here. Raises as :func:`folder_of`."""
    found = folder_of(name, config, field)
    return cached(name, "datasets") if found is None else found[0]


def cached(name: str, kind: str) -> Path | None:
    """What the Hugging Face hub's cache says of which version of ``name`` it holds; ``kind``: ``datasets`` or ``models``."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    versions = cache / f"{kind}--{name.replace('/', '--')}" / "refs"
    return versions if versions.is_dir() else None
