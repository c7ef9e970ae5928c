"""Where texts are found: folders and files of CSV, TSV, JSONL, JSON, plain lines or parquet, mirrors, the hub.

Every source comes out as named splits of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import datasets

from ..data.delimited import Headings
from ..data.reading import Rows, own_splits, read
from ..data.sources import open_source
from ..data.tables import BINARY, BUILDERS, WRITTEN, read_file, read_tables, tables_below
from ..errors import BadInput


def open_texts(name: str, config: str | None, field: str = "data.name", *, labels: Headings = lambda _: ()) -> Rows:
    """The splits of the data set called ``name``: a file, a folder, a mirror, or a name on the hub.

    As :func:`limbeck.data.sources.open_source`, with folders read for what texts come in; the rows of a single file
    are its split ``train``. ``labels`` tells from the headings of CSV and TSV which columns hold labels, which are read as
    they are spelt (:func:`limbeck.modalities.text.columns.label_headings`). Raises ``BadInput``, naming ``field``, where there is no such data set, where it cannot be
    read, and where a file is not UTF-8 (with the line and the byte).
    """
    path = Path(name).expanduser()
    if not path.is_file():
        return open_source(name, config, field, partial(_folder, labels=labels))
    if path.suffix.lower() not in BUILDERS:
        raise BadInput(f"{field}: {name} is no table of texts: its name should end in {', '.join(sorted(BUILDERS))}.")
    return read_file(path, field, labels)


def _folder(path: Path, config: str | None, field: str, *, labels: Headings) -> Rows:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        saved = read(lambda: datasets.load_from_disk(str(path)), str(path), field)
        return own_splits(saved if isinstance(saved, Mapping) else {"train": saved})
    files = tables_below(path, WRITTEN | BINARY)
    if not files:
        raise BadInput(f"{field}: {path} holds no texts: it should hold CSV, JSONL or parquet files.")
    return read_tables(path, config, files, field, labels)
