"""Where a data set is found: with scikit-learn, in a folder, among local mirrors, on the Hugging Face hub.

Every source comes out as named splits of encoded rows; nothing is decoded here.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from PIL import Image
from pyarrow import ArrowInvalid

from limbeck import hub
from limbeck.errors import BadInput
from limbeck.files import near

from .image_folder import Layout, is_of_classes, layout_of, read_classes, read_unlabelled, table
from .image_metadata import read_beside_images
from .image_tree import Folder, listed, scan
from .reading import Rows, own_splits, read
from .tables import BESIDE_IMAGES, read_tables, says_itself, tables_below

_TABLE_SUFFIXES = frozenset([".arrow", ".csv", ".jsonl", ".parquet", ".tar", ".tsv", ".zip"])
# No data set of the hub is called so, and many a misspelt file is.
_FILE_SUFFIXES = frozenset([".csv", ".tsv", ".json", ".jsonl", ".parquet", ".txt"])


def open_source(
    name: str,
    config: str | None,
    field: str = "data.name",
    *,
    labelled: bool = True,
    label: str | None = None,
    read_folder: Callable[[Path, str | None, str, bool], Rows] | None = None,
) -> Rows:
    """The splits of the data set called ``name``: ``digits``, a folder, a mirror, or a name on the hub.

    ``LIMBECK_DATA`` names a folder of mirrors, where the last part of ``name`` is looked for before the hub.
    Where labels are not needed (``labelled`` is false), a folder may hold images directly; ``label`` is the column of them
    that a recipe names. ``read_folder`` gets folder,
    configuration, ``field`` and ``labelled``; None: it looks for images and tables.
    Raises ``BadInput``, naming ``field``, where there is no such data set or it cannot be read.
    """
    read_folder = read_folder or partial(_folder, label=label)
    if name == "digits":
        return _digits()
    if not name.strip():
        raise BadInput(f"{field} is empty: name a folder, a Hugging Face data set, or digits.")
    path = Path(name).expanduser()
    if path.is_dir():
        return read_folder(path, config, field, labelled)
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
            return read_folder(inner if inner.is_dir() else mirror, None, field, labelled)
    return _hub(name, config, field)


def _digits() -> Rows:
    """The 1,797 handwritten digits that come with scikit-learn: 8x8, grey 0 to 16, brought to 0 to 255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    cells = []
    for image in np.rint(bunch.images * (255 / 16)).astype(np.uint8):  # pyright: ignore
        file = io.BytesIO()
        Image.fromarray(image).save(file, format="png")
        cells.append({"bytes": file.getvalue(), "path": None})
    names = [str(digit) for digit in range(10)]
    return {"train": table(cells, bunch.target.tolist(), names)}  # pyright: ignore


def _folder(path: Path, config: str | None, field: str, labelled: bool, label: str | None = None) -> Rows:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        saved = read(lambda: datasets.load_from_disk(str(path)), str(path), field)
        return own_splits(saved if isinstance(saved, Mapping) else {"train": saved})
    tables = tables_below(path, _TABLE_SUFFIXES)
    if any(file.name.lower() in BESIDE_IMAGES for file in tables):
        # An archive's images, and splits that a description tells of, are the library's to find.
        if config is not None or says_itself(path) or any(file.suffix.lower() == ".zip" for file in tables):
            return read_tables(path, config, tables, field)
        return read_beside_images(path, tables, field, label, labelled)
    tree = scan(path, field)
    if tree.image_count():
        layout = (
            layout_of(tree, field, labelled=labelled) if not labelled or not tables else _layout_beside(tree, field)
        )
        with_images = [file for file in tables if _holds_images(path / file)]
        if layout is not None and not (with_images and says_itself(path)):
            if with_images:
                raise BadInput(
                    f"{field}: {path} holds folders of images ({listed([one.name for one in tree.with_images])}) and tables with "
                    f"images inside ({listed([str(file) for file in with_images])}): name the folder that holds one of them alone."
                )
            if not labelled:
                return read_unlabelled(layout, _TABLE_SUFFIXES)
            return read_classes(layout, field, _TABLE_SUFFIXES)
    if tables:
        return read_tables(path, config, tables, field)
    if ending := next(iter(tree.unreadable_pictures()), None):
        raise BadInput(
            f"{field}: {path} holds {ending} files, which Pillow does not read: convert them (to PNG or JPEG)."
        )
    raise BadInput(
        f"{field}: {path} holds neither images nor data files: it should hold parquet files, or one "
        "sub-folder of images for each class."
    )


def _layout_beside(tree: Folder, field: str) -> Layout | None:
    """The class folders that lie beside tables; None where there are none, so that the tables are what is to be read."""
    layout = layout_of(tree, field)
    return layout if is_of_classes(layout) else None


def _holds_images(file: Path) -> bool:
    """Whether a table has encoded images in a column of its own."""
    if file.suffix.lower() != ".parquet":
        return False
    try:
        schema = parquet.read_schema(file)
    except (OSError, ArrowInvalid):  # whoever reads it says what is wrong
        return False
    return any(
        pa.types.is_binary(kind) or (pa.types.is_struct(kind) and {"bytes", "path"} <= {one.name for one in kind})
        for kind in schema.types
    )


def _hub(name: str, config: str | None, field: str) -> Rows:
    def reading() -> Rows:
        return datasets.load_dataset(name, config)  # pyright: ignore[reportReturnType]

    with hub.asked():
        return own_splits(read(reading, name, field))
