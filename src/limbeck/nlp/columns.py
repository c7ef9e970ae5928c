"""Which column holds the texts, and what it says."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import pyarrow

from ..data.delimited import is_unnamed
from ..data.ids import Text
from ..data.labels import listed
from ..errors import BadInput, did_you_mean

TEXT_NAMES = ("text", "sentence", "content", "review")


def find_text(
    features: datasets.Features,
    text: str | tuple[str, ...] | None,
    label: str | Sequence[str] | None,
    field: str = "data.text",
) -> str | tuple[str, str]:
    """The column of texts: the one asked for, the only one of its type but labels, or the one with a usual name.

    Of pairs the two asked for: two columns are never taken for a pair unasked.
    """
    if isinstance(text, tuple):
        first, second = (find_text(features, side, label, field) for side in text)
        assert isinstance(first, str)
        assert isinstance(second, str)
        return first, second
    only = next(iter(features)) if len(features) == 1 else ""
    if text != only and (mark := next((one for one in (";", "\t", "|") if one in only), None)):
        raise BadInput(f"{field}: the file's columns are separated by {mark!r}: save it with commas.")
    if text is not None:
        if text not in features:
            raise BadInput(f"{field}: there is no column '{text}'.{did_you_mean(text, features)}")
        if not is_text(features[text]):
            raise BadInput(f"{field}: column '{text}' holds no texts; {listed(features)}.")
        return text
    labels = (label,) if isinstance(label, str) else tuple(label or ())
    found = [name for name, kind in features.items() if is_text(kind) and name not in labels and not is_unnamed(name)]
    if len(found) > 1:
        found = [name for name in found if name in TEXT_NAMES] or found
    if len(found) != 1:
        how_many = "no column holds texts" if not found else f"{', '.join(found)} may all be the texts"
        if not found and any(isinstance(kind, dict) for kind in features.values()):
            how_many += " of their own, only records within records (export them flat: CSV, or JSON with one level)"
        pairs = f" Two that belong together are read as pairs: {field}: [FIRST, SECOND]." if found else ""
        raise BadInput(f"{how_many}: name one with {field}; {listed(features)}.{pairs}")
    return found[0]


def read_texts(rows: datasets.Dataset, column: str | tuple[str, str], split: str) -> Sequence[Text]:
    """Every text (or pair) of a split, "" where there is none. Raises ``BadInput`` naming the row and byte that are no
    UTF-8."""
    if isinstance(column, tuple):
        return list(zip(*(_read_column(rows, side, split) for side in column), strict=True))
    return _read_column(rows, column, split)


def cells_of(rows: datasets.Dataset, column: str) -> list[tuple[int, object]]:
    values = rows.select_columns([column]).with_format("arrow")[:][column]  # pyright: ignore
    return list(enumerate(values.to_pylist()))  # pyright: ignore


def is_text(kind: object) -> bool:
    return isinstance(kind, datasets.Value) and kind.dtype in ("string", "large_string")


def inner_of(kind: object) -> object | None:
    """What a column of lists holds; None for any other."""
    return kind.feature if isinstance(kind, (datasets.List, datasets.LargeList)) else None


def _read_column(rows: datasets.Dataset, column: str, split: str) -> list[str]:
    values: pyarrow.ChunkedArray = rows.select_columns([column]).with_format("arrow")[:][column]  # pyright: ignore
    try:
        return [value or "" for value in values.to_pylist()]
    except UnicodeDecodeError:
        pass  # Arrow does not say where
    texts = []
    for row, value in enumerate(values.cast(pyarrow.large_binary()).to_pylist()):
        try:
            texts.append((value or b"").decode())
        except UnicodeDecodeError as error:
            raise BadInput(
                f"split '{split}', row {row} (counted from 0): the text is not UTF-8 (byte {error.start} is 0x{value[error.start]:02x}, "
                f"{error.reason}): save it as UTF-8, or take it out."
            ) from error
    return texts
