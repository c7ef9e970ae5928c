"""Small image data sets, written as people write them."""

import io
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from limbeck.errors import BadInput
from limbeck.modalities.image.load import load
from limbeck.modalities.image.recipe import Data


def picture(seed: int, size=(6, 6), mode="L") -> Image.Image:
    depth = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, *depth), dtype=np.uint8))


def png(seed: int, size=(6, 6), mode="L") -> dict:
    file = io.BytesIO()
    picture(seed, size, mode).save(file, format="png")
    return {"bytes": file.getvalue(), "path": f"{seed}.png"}


CORRUPT = {"bytes": b"\x89PNG\r\n\x1a\n and nothing more", "path": "broken.png"}


CLASSES = datasets.ClassLabel(names=["cat", "dog"])


def split(cells: list, labels: list, kind=CLASSES, **more) -> datasets.Dataset:
    columns = {"image": cells, "label": labels, **{name: value for name, (value, _) in more.items()}}
    features = {
        "image": datasets.Image(),
        "label": kind,
        **{name: feature for name, (_, feature) in more.items()},
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def write(folder: Path, **splits: datasets.Dataset) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in splits.items():
        rows.to_parquet(folder / f"{name}-00000-of-00001.parquet")
    return str(folder)


def many(count=80, start=0) -> datasets.Dataset:
    return split([png(start + seed) for seed in range(count)], [seed % 2 for seed in range(count)])


def write_image_folder(root: Path, classes=("cat", "dog"), count=40, start=0) -> str:
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(start + 1000 * number + index).save(root / name / f"{index:03d}.png")
    return str(root)


# Bad input


def refused(pattern: str, **data) -> None:
    with pytest.raises(BadInput, match=pattern) as caught:
        load(Data(**data))
    message = str(caught.value)
    assert message.endswith((".", "?"))
    assert "\n" not in message
