"""Where a data set is found: with scikit-learn, in a folder, among local mirrors, on the Hugging Face hub.

Every source comes out as named splits of encoded rows; nothing is decoded here.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image

from limbeck import hub
from limbeck.errors import BadInput
from limbeck.files import near

from .reading import Rows, own_splits, read
from .split_names import canonical
from .tables import read_tables, tables_below

_IMAGE_SUFFIXES = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])
_TABLE_SUFFIXES = frozenset([".arrow", ".csv", ".jsonl", ".parquet", ".tar", ".tsv", ".zip"])
# No data set of the hub is called so, and many a misspelt file is.
_FILE_SUFFIXES = frozenset([".csv", ".tsv", ".json", ".jsonl", ".parquet", ".txt"])


def open_source(
    name: str,
    config: str | None,
    field: str = "data.name",
    *,
    labelled: bool = True,
    read_folder: Callable[[Path, str | None, str, bool], Rows] | None = None,
) -> Rows:
    """The splits of the data set called ``name``: ``digits``, a folder, a mirror, or a name on the hub.

    ``LIMBECK_DATA`` names a folder of mirrors, where the last part of ``name`` is looked for before the hub.
    Where labels are not needed (``labelled`` is false), a folder may hold images directly. ``read_folder`` gets folder,
    configuration, ``field`` and ``labelled``; None: it looks for images and tables.
    Raises ``BadInput``, naming ``field``, where there is no such data set or it cannot be read.
    """
    read_folder = read_folder or _folder
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
    return {"train": _table(cells, bunch.target.tolist(), names)}  # pyright: ignore


def _table(images: list, labels: list[int] | None, names: list[str]) -> datasets.Dataset:
    features: dict[str, Any] = {"image": datasets.Image()}
    columns: dict[str, list] = {"image": images}
    if labels is not None:
        features["label"] = datasets.ClassLabel(names=names)
        columns["label"] = labels
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def _folder(path: Path, config: str | None, field: str, labelled: bool) -> Rows:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        saved = read(lambda: datasets.load_from_disk(str(path)), str(path), field)
        return own_splits(saved if isinstance(saved, Mapping) else {"train": saved})
    has_images = False
    for _, folders, files in os.walk(path, followlinks=True):
        folders[:] = sorted(inner for inner in folders if not inner.startswith("."))
        suffixes = {os.path.splitext(file)[1].lower() for file in files if not file.startswith(".")}
        if suffixes & _TABLE_SUFFIXES:
            return read_tables(path, config, tables_below(path, _TABLE_SUFFIXES), field)
        has_images = has_images or bool(suffixes & _IMAGE_SUFFIXES)
    if has_images:
        return own_splits(_image_folder(path, field, labelled))
    raise BadInput(
        f"{field}: {path} holds neither images nor data files: it should hold parquet files, or one "
        "sub-folder of images for each class."
    )


def _image_folder(path: Path, field: str, labelled: bool) -> Rows:
    """``path/CLASS/*.png`` or ``path/SPLIT/CLASS/*.png``."""
    if not labelled and not _folders(path):
        return {"train": _table([{"bytes": None, "path": image} for image in _images(path)], None, [])}
    inner = [entry for entry in _folders(path) if canonical(entry.name)]
    # A class may be called train too; a split holds folders rather than images.
    if not inner or not all(_folders(entry) for entry in inner if _split_of(entry) == "train"):
        return {"train": _classes_of(path, path, field, None)}
    # The training classes number the others' labels, so that a class they lack keeps its place.
    inner.sort(key=lambda entry: _split_of(entry) != "train")
    names: list[str] | None = None
    rows: dict[str, datasets.Dataset] = {}
    for entry in inner:
        split = _split_of(entry)
        if split in rows:
            raise BadInput(f"{field}: {path} has two folders for split '{split}': keep one of them.")
        rows[split] = _classes_of(entry, path, field, names)
        names = names or rows[split].features["label"].names
    return rows


def _classes_of(path: Path, root: Path, field: str, known: list[str] | None) -> datasets.Dataset:
    """One folder for each class, numbered as in ``known``, else in the order of their names."""
    names = [entry.name for entry in _folders(path)]
    loose = [entry.name for entry in sorted(path.iterdir()) if entry.suffix.lower() in _IMAGE_SUFFIXES]
    if loose or not names:
        what = f"{loose[0]} lies directly in {path}" if loose else f"{path} has no sub-folders"
        raise BadInput(f"{field}: {what}: a folder of images has one sub-folder for each class.")
    if known is not None and (other := sorted(set(names) - set(known))):
        raise BadInput(
            f"{field}: class '{other[0]}' of {path} is missing from the training split of {root}: each class "
            "needs training examples."
        )
    images, labels = [], []
    classes = known or names
    for name in names:
        found = _images(path / name)
        images += [{"bytes": None, "path": image} for image in found]
        labels += [classes.index(name)] * len(found)
    return _table(images, labels, classes)


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _split_of(folder: Path) -> str:
    return canonical(folder.name) or folder.name


def _images(path: Path) -> list[str]:
    """Every image below a folder, in a fixed order."""
    images = []
    for folder, inner, files in os.walk(path, followlinks=True):
        inner.sort()
        found = (file for file in sorted(files) if not file.startswith("."))
        images += [os.path.join(folder, file) for file in found if Path(file).suffix.lower() in _IMAGE_SUFFIXES]
    return images


def _hub(name: str, config: str | None, field: str) -> Rows:
    def reading() -> Rows:
        return datasets.load_dataset(name, config)  # pyright: ignore[reportReturnType]

    with hub.asked():
        return own_splits(read(reading, name, field))
