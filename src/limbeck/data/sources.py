"""Where a data set is found: in a folder, among local mirrors, on the Hugging Face hub.

Every source comes out as named splits of encoded rows; nothing is decoded here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import datasets

from .. import hub
from .places import folder_of
from .reading import Rows, own_splits, read


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
    place = folder_of(name, config, field)
    if place is not None:
        folder, inner = place
        return read_folder(folder, inner, field)
    return _hub(name, config, field)


def _hub(name: str, config: str | None, field: str) -> Rows:
    def reading() -> Rows:
        return datasets.load_dataset(name, config)  # pyright: ignore[reportReturnType]

    with hub.asked():
        return own_splits(read(reading, name, field))
