"""The digits, as they are or turned, and what a folder of images or tables holds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from PIL import Image
from pyarrow import ArrowInvalid

from ..data.folders import Layout, is_of_classes, layout_of, read_classes, read_unlabelled, table
from ..data.reading import Rows, own_splits, read
from ..data.sources import open_source
from ..data.tables import BESIDE_IMAGES, read_tables, says_itself, tables_below
from ..data.tree import Folder, listed, scan
from ..errors import BadInput
from .image_files import IMAGES
from .metadata_table import Numbers, read_beside_images
from .turned_digits import turned_digits

_TABLE_SUFFIXES = frozenset([".arrow", ".csv", ".jsonl", ".parquet", ".tar", ".tsv", ".zip"])


def open_images(
    name: str,
    config: str | None,
    field: str = "data.name",
    *,
    labelled: bool = True,
    label: str | None = None,
    numbers: Numbers | None = None,
) -> Rows:
    """The splits of the images called ``name``: ``digits``, ``digits_turned``, a folder, a mirror, or a name on the hub.

    As :func:`limbeck.data.sources.open_source`. Where labels are not needed (``labelled`` is false), a folder may hold images
    directly; ``label`` is the column of them that a recipe names, and ``numbers`` finds a regression's by the columns' types.
    """
    if name == "digits":
        return digits()
    if name == "digits_turned":
        return turned_digits()
    return open_source(name, config, field, partial(read_folder, labelled=labelled, label=label, numbers=numbers))


def digits() -> Rows:
    """The 1,797 handwritten digits that come with scikit-learn: 8x8, grey 0 to 16, brought to 0 to 255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    cells = []
    for image in np.rint(bunch.images * (255 / 16)).astype(np.uint8):  # pyright: ignore
        file = io.BytesIO()
        Image.fromarray(image).save(file, format="png")
        cells.append({"bytes": file.getvalue(), "path": None})
    names = [str(digit) for digit in range(10)]
    return {"train": table(IMAGES, cells, bunch.target.tolist(), names)}  # pyright: ignore


def read_folder(
    path: Path,
    config: str | None,
    field: str,
    labelled: bool,
    label: str | None = None,
    numbers: Numbers | None = None,
) -> Rows:
    """The splits of a folder of images or of tables with images in them."""
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        saved = read(lambda: datasets.load_from_disk(str(path)), str(path), field)
        return own_splits(saved if isinstance(saved, Mapping) else {"train": saved})
    tables = tables_below(path, _TABLE_SUFFIXES)
    if any(file.name.lower() in BESIDE_IMAGES for file in tables):
        # An archive's images, and splits that a description tells of, are the library's to find.
        if config is not None or says_itself(path) or any(file.suffix.lower() == ".zip" for file in tables):
            return read_tables(path, config, tables, field)
        return read_beside_images(path, tables, field, label, labelled, numbers)
    tree = scan(path, field, IMAGES)
    if tree.count():
        layout = (
            layout_of(tree, field, labelled=labelled) if not labelled or not tables else _layout_beside(tree, field)
        )
        with_images = [file for file in tables if _holds_images(path / file)]
        if layout is not None and not (with_images and says_itself(path)):
            if with_images:
                raise BadInput(
                    f"{field}: {path} holds folders of images ({listed([one.name for one in tree.with_files])}) and tables with "
                    f"images inside ({listed([str(file) for file in with_images])}): name the folder that holds one of them alone."
                )
            if not labelled:
                return read_unlabelled(layout, _TABLE_SUFFIXES)
            return read_classes(layout, field, _TABLE_SUFFIXES)
    if tables:
        return read_tables(path, config, tables, field)
    if ending := next(iter(tree.unreadable()), None):
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
