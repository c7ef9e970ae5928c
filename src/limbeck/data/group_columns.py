"""Where the group of each example is read: a column of its table, or the path of its file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets

from ..errors import BadInput, did_you_mean
from .groups import Groups
from .labels import listed


def read_groups(
    rows: datasets.Dataset,
    group: str | None,
    split: str,
    *,
    not_column: Sequence[str] = (),
    image: str | None = None,
    root: str = "",
    instead_of_refusing: list[str] | None = None,
) -> Groups | None:
    """The group of each row: what the column ``group`` holds, or what the pattern ``group`` finds in an image's path; None without ``group``.

    Where no column is called so and the column ``image`` holds files, ``group`` is a regular expression that is looked for
    in each file's path inside the folder ``root`` (with ``/`` between folders): a row's group is what stands in its
    parentheses, or all that it matches.

    Raises ``BadInput`` where ``group`` is neither, names one of the columns in ``not_column`` (images, texts, labels), or
    leaves a row without a group; a list that is given for that gains the sentence instead, and None comes back.
    """
    if group is None:
        return None
    try:
        return _found(rows, group, split, not_column, image, root)
    except BadInput as error:
        if instead_of_refusing is None:
            raise
        instead_of_refusing.append(f"the groups of the {split} split are not known: {error}")
        return None


def without_group(features: datasets.Features, group: str | None, *given: object) -> datasets.Features:
    """The columns without that of ``group``, which is never taken for images, texts or labels unless ``given`` as one."""
    return datasets.Features({name: kind for name, kind in features.items() if name != group or name in given})


def _found(
    rows: datasets.Dataset, group: str, split: str, not_column: Sequence[str], image: str | None, root: str
) -> Groups:
    if group in not_column:
        raise BadInput(f"data.group: column '{group}' is read as images, texts or labels: name the column of a group.")
    if group in rows.features:
        return Groups.of(_of_column(rows, group, split))
    paths = _paths(rows, image, root) if image is not None else None
    if paths is None:
        raise BadInput(f"data.group: split '{split}' has no column '{group}'.{did_you_mean(group, rows.features)}")
    return Groups.of(_of_paths(paths, group, split, rows.features))


def _of_column(rows: datasets.Dataset, column: str, split: str) -> list[str]:
    kind = rows.features[column]
    if not isinstance(kind, (datasets.Value, datasets.ClassLabel)):
        raise BadInput(f"data.group: column '{column}' is no column of texts or numbers; {listed(rows.features)}.")
    cells = rows.select_columns([column]).with_format("arrow")[:][column].to_pylist()  # pyright: ignore
    for row, cell in enumerate(cells):
        if cell is None or cell != cell or (isinstance(cell, str) and not cell.strip()):
            raise BadInput(
                f"split '{split}', row {row} (counted from 0): column '{column}' (data.group) names no group: give an example "
                "that stands alone a group of its own."
            )
    if isinstance(kind, datasets.ClassLabel):
        return [str(kind.int2str(cell)) for cell in cells]
    # 3 and 3.0, which is what a column of whole numbers with a gap becomes in some tables, are one group
    return [str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip() for cell in cells]


def _of_paths(paths: list[str], pattern: str, split: str, features: datasets.Features) -> list[str]:
    try:
        sought = re.compile(pattern)
    except re.error as error:
        raise BadInput(
            f"data.group: '{pattern}' is no column ({listed(features)}), and no regular expression for paths ({error})."
        ) from None
    found = [sought.search(path) for path in paths]
    if None in found:
        path = paths[found.index(None)]
        raise BadInput(
            f"data.group: '{pattern}' is no column ({listed(features)}), and as a pattern it is not found in the path of "
            f"{found.count(None)} of {len(paths)} files of split '{split}', such as {path}: every one needs a group."
        )
    return [_named_by(match) for match in found if match is not None]


def _named_by(match: re.Match[str]) -> str:
    inside: list[str] = [part or "" for part in match.groups()]
    return "/".join(inside) or match[0]


def _paths(rows: datasets.Dataset, image: str, root: str) -> list[str] | None:
    """Each image's path inside ``root``; None where the images are no files."""
    column = rows.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    cells: list[dict[str, Any]] = column.with_format("arrow")[:][image].to_pylist()  # pyright: ignore
    if any(not cell or not cell["path"] for cell in cells):
        return None
    folder = Path(root).expanduser().absolute()
    paths = [Path(cell["path"]) for cell in cells]
    inside = [path.absolute().is_relative_to(folder) for path in paths]
    if not all(inside) and all(path.is_absolute() for path in paths):  # a mirror of what root names
        folder = Path(os.path.commonpath([path.parent for path in paths]))
        inside = [True] * len(paths)
    return [
        (path.absolute().relative_to(folder) if here else path).as_posix()
        for path, here in zip(paths, inside, strict=True)
    ]
