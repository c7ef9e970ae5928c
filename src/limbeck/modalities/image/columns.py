"""Which columns hold the images and the labels."""

from __future__ import annotations

from dataclasses import dataclass

import datasets

from ...data.columns import likely_labels
from ...data.labels import can_be_label, listed
from ...errors import BadInput, did_you_mean


@dataclass(frozen=True)
class Columns:
    """Names of the two columns."""

    image: str
    label: str


def find_image(features: datasets.Features, image: str | None, field: str = "data.image") -> str:
    """The column of images: the one asked for, or the only one of its type. ``BadInput`` lists them."""
    if image is not None:
        if image not in features:
            raise BadInput(f"{field}: there is no column '{image}'.{did_you_mean(image, features)}")
        if not _can_be_image(features[image]):
            raise BadInput(f"{field}: column '{image}' holds no images; {listed(features)}.")
        return image
    found = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    if len(found) != 1:
        how_many = "no column holds images" if not found else f"{len(found)} columns hold images"
        files = any(isinstance(kind, datasets.Value) and "string" in kind.dtype for kind in features.values())
        hint = "" if found or not files else (
            " A table that names image files is read together with them where it is called metadata.csv and that column "
            "file_name."
        )  # fmt: skip
        raise BadInput(f"{how_many}: name one with {field}; {listed(features)}.{hint}")
    return found[0]


def find_columns(features: datasets.Features, image: str | None, label: str | None) -> Columns:
    """The columns of images and labels: those asked for, or those found by type.

    A ``ClassLabel`` column is taken before a column of integers or texts, and that before one of floats. Raises ``BadInput`` listing the
    columns where there is none or more than one.
    """
    image = find_image(features, image)
    if label is not None:
        if label not in features:
            raise BadInput(f"data.label: there is no column '{label}'.{did_you_mean(label, features)}")
        if not can_be_label(features[label]):
            raise BadInput(f"data.label: column '{label}' holds no labels; {listed(features)}.")
        return Columns(image, label)
    found = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if not found:
        found = likely_labels(
            [name for name, kind in features.items() if name != image and can_be_label(kind)], features
        )
    if len(found) != 1:
        how_many = "no column holds labels" if not found else f"{', '.join(found)} may all be labels"
        raise BadInput(f"{how_many}: name one with data.label; {listed(features)}.")
    return Columns(image, found[0])


def _can_be_image(kind: object) -> bool:
    if isinstance(kind, datasets.Value):
        return kind.dtype in ("binary", "large_binary", "string", "large_string")
    return isinstance(kind, datasets.Image) or (isinstance(kind, dict) and {"bytes", "path"} <= kind.keys())
