"""Where a data set is found: in a folder, among local mirrors, on the Hugging Face hub.

Every source comes out as named splits of encoded rows; nothing is decoded here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import datasets

from .. import hub
from ..errors import BadInput
from ..files import near
from .reading import Rows, own_splits, read

# No data set of the hub is called so, and many a misspelt file is.
_FILE_SUFFIXES = frozenset([".csv", ".tsv", ".json", ".jsonl", ".parquet", ".txt"])


def open_source(
    name: str,
    config: str | None,
    field: str,
    read_folder: Callable[[Path, str | None, str], Rows],
) -> Rows:
    """The splits of the data set called ``name``: a folder, a mirror, or a name on the hub.

    ``LIMBECK_DATA`` names a folder of mirrors, where the last part of ``name`` is looked for before the hub.
    ``read_folder`` reads a folder, by its path, the configuration and ``field``.
    Raises ``BadInput``, naming ``field``, where there is no such data set or it cannot be read.
    """
    if not name.strip():
        raise BadInput(f"{field} is empty: name a folder or a Hugging Face data set.")
    path = Path(name).expanduser()
    if path.is_dir():
        return read_folder(path, config, field)
    if path.is_file():
        raise BadInput(f"{field}: {name} is a file: name the folder that holds it.")
    if path.suffix.lower() in _FILE_SUFFIXES:
        raise BadInput(f"{field}: there is no such file {name}; relative paths start at {Path.cwd()}.{near(path)}")
    if name.startswith((".", "~", os.sep)) or len(path.parts) > 2 or "\\" in name:
        raise BadInput(f"{field}: there is no folder {name}; relative paths start at {Path.cwd()}.{near(path)}")
    mirrors = os.environ.get("LIMBECK_DATA")
    if mirrors:
        if not Path(mirrors).expanduser().is_dir():
            raise BadInput(f"LIMBECK_DATA is {mirrors}, which is no folder: it must name a folder of data sets.")
        mirror = Path(mirrors).expanduser() / path.name
        if mirror.is_dir():
            # A mirror stands for one configuration, or holds one folder for each.
            inner = mirror / config if config else mirror
            return read_folder(inner if inner.is_dir() else mirror, None, field)
    return _hub(name, config, field)


def _hub(name: str, config: str | None, field: str) -> Rows:
    def reading() -> Rows:
        return datasets.load_dataset(name, config)  # pyright: ignore[reportReturnType]

    with hub.asked():
        return own_splits(read(reading, name, field))
