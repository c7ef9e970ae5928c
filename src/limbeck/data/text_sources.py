"""Where texts are found: folders and files of CSV, TSV, JSONL, JSON, plain lines or parquet, mirrors, the hub.

Every source comes out as named splits of rows, read by ``datasets.load_dataset``.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets

from limbeck.errors import BadInput

from .sources import Rows, open_source, read

_DELIMITED = frozenset([".csv", ".tsv"])
_WRITTEN = _DELIMITED | frozenset([".json", ".jsonl", ".txt"])
_BINARY = frozenset([".arrow", ".parquet", ".tar", ".zip"])
_BUILDERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".txt": "text", ".parquet": "parquet"}
_CHUNK = 1 << 20


def open_texts(name: str, config: str | None, field: str = "data.name") -> Rows:
    """The splits of the data set called ``name``: a file, a folder, a mirror, or a name on the hub.

    As :func:`limbeck.data.sources.open_source`, with folders read for what texts come in; the rows of a single file
    are its split ``train``. Raises ``BadInput``, naming ``field``, where there is no such data set, where it cannot be
    read, and where a file is not UTF-8 (with the line and the byte).
    """
    path = Path(name).expanduser()
    if not path.is_file():
        return open_source(name, config, field, read_folder=_folder)
    suffix = path.suffix.lower()
    if suffix not in _BUILDERS:
        raise BadInput(f"{field}: {name} is no table of texts: its name should end in {', '.join(sorted(_BUILDERS))}.")
    if suffix in _WRITTEN:
        _check_utf8(path, field)
    settings = {**_settings({suffix}), **({"sep": "\t"} if suffix == ".tsv" else {})}
    files = {"train": str(path)}
    return read(lambda: datasets.load_dataset(_BUILDERS[suffix], data_files=files, **settings), str(path), field)


def _folder(path: Path, config: str | None, field: str, labelled: bool) -> Rows:
    del labelled  # no folder of texts has its labels in the names of folders
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        saved = read(lambda: datasets.load_from_disk(str(path)), str(path), field)
        return saved if isinstance(saved, Mapping) else {"train": saved}
    found: set[str] = set()
    for folder, inner, files in os.walk(path, followlinks=True):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for file in sorted(files):
            suffix = Path(file).suffix.lower()
            if file.startswith(".") or suffix not in _WRITTEN | _BINARY:
                continue
            found.add(suffix)
            if suffix in _WRITTEN:
                _check_utf8(Path(folder) / file, field)
    if not found:
        raise BadInput(f"{field}: {path} holds no texts: it should hold CSV, JSONL or parquet files.")
    return read(lambda: datasets.load_dataset(str(path), config, **_settings(found)), str(path), field)


def _settings(suffixes: set[str]) -> dict[str, Any]:
    """What CSV is read with: a text that says NA, or nothing, is a text and not a missing value."""
    return {"keep_default_na": False, "encoding": "utf-8-sig"} if suffixes <= _DELIMITED else {}


def _check_utf8(path: Path, field: str) -> None:
    """Raises ``BadInput`` naming file, line and byte of the first byte that is no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = line = 0
    with path.open("rb") as file:
        while True:
            block = file.read(_CHUNK)
            waiting = decoder.getstate()[0]  # bytes of a character that the last block began
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                here = waiting + block
                number = line + here.count(b"\n", 0, error.start) + 1
                place = offset - len(waiting) + error.start
                raise BadInput(
                    f"{field}: {path} is not UTF-8: line {number}, byte {place} is 0x{here[error.start]:02x} "
                    f"({error.reason}); save it as UTF-8 (from Latin-1: iconv -f latin1 -t utf-8)."
                ) from error
            if not block:
                return
            offset, line = offset + len(block), line + block.count(b"\n")
