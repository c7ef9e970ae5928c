"""CSV and TSV looked at before they are read: what pandas would shift, cut off or guess is refused with its line, or noted."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import BadInput

SUFFIXES = frozenset([".csv", ".tsv"])
_NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*")
# At most 15 digits, which a float holds exactly: pandas makes floats of whole numbers, too.
_PLAIN = re.compile(r"\s*(0|-?[1-9]\d{0,14})(\.0*)?\s*")
_INFINITE = re.compile(r"\s*[+-]?inf(inity)?\s*", re.IGNORECASE)
_MARKS = (";", "\t", "|", ",")
# A first line is an example where this share of the rows, and two of them, have the same in one of its columns.
_ALIKE = 0.005
Headings = Callable[[Sequence[str]], Collection[str]]


def looked_at(path: Path, field: str, labels: Headings) -> tuple[dict[str, Any], list[str]]:
    """What the ``csv`` builder is to be told of a file that is UTF-8, and notes for a person; it is gone through once.

    ``labels`` tells from the headings which columns hold labels: those are read as they are spelt, such that 01 and 1, or
    1E2 and 100, stay two classes, but where all are plain numbers or some are quantities.

    Columns without heading and content are left out. Where a row has fewer fields than there are headings, what is
    missing is taken for empty. Both are noted.

    Raises ``BadInput``, naming ``field``, file and line: for a row with more fields than headings, a quote that is never
    closed or ends within a field, and headings that come a second time; for columns separated by another mark, two
    headings that are the same, and a first line that is an example.
    """
    mark = "\t" if path.suffix.lower() == ".tsv" else ","
    rows = _rows(path, mark, field)
    headings = next(rows, (0, []))[1]
    _check_headings(headings, mark, path, field)
    columns = _Columns(headings, labels(headings))
    for line, row in rows:
        if row == headings:
            raise BadInput(
                f"{field}: {path}, line {line} has the headings a second time: take it out (of files that are put together "
                "only the first keeps them)."
            )
        if any(cell.strip() for cell in row[len(headings) :]):
            raise BadInput(
                f"{field}: {path}, line {line} has {len(row)} fields and there are {len(headings)} headings "
                f"({', '.join(headings)}): a text with {_called(mark)} in it has to stand in quotes."
            )
        columns.add(line, row)
    columns.check_first_line(path, field)
    settings: dict[str, Any] = {"keep_default_na": False, "encoding": "utf-8-sig"}
    if mark == "\t":
        settings["sep"] = mark
    if spelt := columns.spelt():
        settings["converters"] = dict.fromkeys(spelt, str)
    notes = []
    blank = columns.blank()
    if blank or columns.most > len(headings):
        # A name for every field: pandas takes the first columns for an index where there are more fields than names.
        names = [
            headings[at] if at < len(headings) and headings[at].strip() else unnamed(at) for at in range(columns.most)
        ]
        kept = [at for at in range(len(headings)) if at not in blank]
        settings |= {"names": names, "header": 0, "usecols": kept}
        notes.append(f"{path.name}: fields that have no heading and hold nothing are left out.")
    if columns.short:
        count = f"{columns.short} row{' has' if columns.short == 1 else 's have'}"
        notes.append(
            f"{path.name}: {count} fewer fields than the {len(headings)} headings, the first on line "
            f"{columns.first_short}; what is missing is taken for empty."
        )
    return settings, notes


def unnamed(at: int) -> str:
    """What pandas calls the column at that place where it has no heading."""
    return f"Unnamed: {at}"


def is_unnamed(column: str) -> bool:
    """Whether a column had no heading."""
    return re.fullmatch(r"Unnamed: \d+", column) is not None


def _rows(path: Path, mark: str, field: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line it begins on, counted from 1."""
    before = csv.field_size_limit(sys.maxsize)  # texts may be longer than the usual 128 KiB
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=mark, strict=True)
            began = 1
            try:
                for row in reader:
                    if len(row) > 1 or (row and row[0].strip()):
                        yield began, row
                    began = reader.line_num + 1
            except csv.Error as error:
                if "end of data" in str(error):
                    raise BadInput(f"{field}: {path}, line {began}: a quote is opened that is never closed.") from error
                raise BadInput(
                    f"{field}: {path}, line {reader.line_num}: a field that begins with a quote goes on after the quote is "
                    f'closed ({error}); quotes within quotes are doubled, as in "say ""so""".'
                ) from error
    finally:
        csv.field_size_limit(before)


def _check_headings(headings: list[str], mark: str, path: Path, field: str) -> None:
    if len(headings) == 1 and (other := next((one for one in _MARKS if one in headings[0] and one != mark), None)):
        right = "commas" if mark == "," else "tabs"
        raise BadInput(f"{field}: {path}: the file's columns are separated by {other!r}: save it with {right}.")
    twice = next((name for at, name in enumerate(headings) if name.strip() and name in headings[:at]), None)
    if twice is not None:
        raise BadInput(f"{field}: {path}: two columns have the heading '{twice}': call one of them otherwise.")


class _Spelling:
    """How the labels of a column are spelt."""

    def __init__(self) -> None:
        self._plain = self._numbers = True
        self._fraction = False

    def add(self, cell: str) -> None:
        if _PLAIN.fullmatch(cell):
            return
        self._plain = False
        infinite = _INFINITE.fullmatch(cell) is not None
        if not infinite and ("," in cell or not _NUMBER.fullmatch(cell)):
            self._numbers = False
        elif infinite or not float(cell).is_integer():
            self._fraction = True

    def matters(self) -> bool:
        """Whether they are neither plain numbers, nor quantities (which are no labels)."""
        return not self._plain and not (self._numbers and self._fraction)


class _Columns:
    """What is seen of each column, row by row."""

    def __init__(self, headings: list[str], labels: Collection[str]) -> None:
        self.headings = headings
        self.most = len(headings)  # fields of the longest row
        self.short = self.first_short = self.rows = 0
        self._filled = [bool(name.strip()) for name in headings]
        self._alike = [0] * len(headings)  # cells that say what the heading says
        self._labels = {at: _Spelling() for at, name in enumerate(headings) if name in labels}
        self._numbers = [bool(_NUMBER.fullmatch(name)) for name in headings]

    def add(self, line: int, row: list[str]) -> None:
        self.rows += 1
        self.most = max(self.most, len(row))
        if len(row) < len(self.headings):
            self.short += 1
            self.first_short = self.first_short or line
        for at, (cell, heading) in enumerate(zip(row, self.headings)):
            if cell == heading:
                self._alike[at] += 1
            if not self._filled[at] and cell.strip():
                self._filled[at] = True
            if at in self._labels:
                self._labels[at].add(cell)
            if self._numbers[at] and not _NUMBER.fullmatch(cell):
                self._numbers[at] = False

    def blank(self) -> set[int]:
        """The columns that have no heading and no content."""
        return {at for at, filled in enumerate(self._filled) if not filled}

    def spelt(self) -> list[str]:
        """The columns of labels that pandas would read otherwise than they are spelt."""
        return [self.headings[at] for at, spelling in self._labels.items() if spelling.matters()]

    def check_first_line(self, path: Path, field: str) -> None:
        named = [at for at, name in enumerate(self.headings) if name.strip()]
        example = any(self._alike[at] > max(1, _ALIKE * self.rows) for at in named)
        if example or (self.rows > 1 and any(self._numbers[at] for at in named)):
            shown = ", ".join(repr(name if len(name) <= 40 else f"{name[:37]}...") for name in self.headings)
            raise BadInput(
                f"{field}: {path}: the first line ({shown}) looks like an example and not like headings: put a line of "
                "headings on top, such as text,label, or call these headings otherwise."
            )


def _called(mark: str) -> str:
    return "a comma" if mark == "," else "a tab"
