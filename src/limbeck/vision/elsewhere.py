"""Whether the pictures of a table are files outside the folder that holds it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import PurePath

import datasets
import pyarrow as pa
from datasets import config as settings

from ..data.places import folder_of
from .sections import BUILT_IN


def names_files_elsewhere(
    splits: Iterable[datasets.Dataset | None], columns: Iterable[str], name: str, config: str | None, field: str
) -> bool:
    """Whether any picture in ``columns`` of the splits of the data called ``name`` is a file outside its folder.

    Such a file may change while everything in the folder stays as it is. No picture is opened. What the hub holds is known
    by its version, and what was unpacked by its archive.
    """
    found = None if name in BUILT_IN else folder_of(name, config, field)
    if found is None:
        return False
    own = [os.path.abspath(found[0]), str(settings.EXTRACTED_DATASETS_PATH)]
    real = [os.path.realpath(folder) for folder in own]
    columns = list(columns)
    for split in splits:
        for column in columns:
            if split is not None and column in split.column_names:
                for path in _paths(split.data.column(column)):
                    if not _inside(path, own) and not _inside(os.path.realpath(path), real):
                        return True
    return False


def _paths(column: pa.ChunkedArray) -> Iterator[str]:
    """The files that are named where a picture's bytes are not there; of texts, each is a file's name."""
    for chunk in column.chunks:
        if pa.types.is_struct(chunk.type):
            chunk = chunk.field("path").filter(chunk.field("bytes").is_null())
        if pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type):
            for path in chunk.to_pylist():
                if path is not None:
                    yield path.rpartition("::")[2]  # of a file in an archive, the archive


def _inside(path: str, folders: Iterable[str]) -> bool:
    parts = PurePath(path).parts
    return ".." not in parts and any(PurePath(os.path.abspath(path)).is_relative_to(folder) for folder in folders)
