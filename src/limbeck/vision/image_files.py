"""Files of images: which are read, by Pillow as it is installed, and which have to be converted first."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import datasets
from PIL import Image

from ..data.tree import Kind, ending_of

# Pillow knows these formats by name, and needs another program or another library for their pixels.
_NOT_BY_PILLOW = frozenset(["BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"])
# Pictures that have to be converted first.
_PICTURES_ELSEWHERE = frozenset(
    [
        ".arw",
        ".cr2",
        ".cr3",
        ".dcm",
        ".dng",
        ".eps",
        ".exr",
        ".hdr",
        ".heic",
        ".heif",
        ".hif",
        ".jxl",
        ".mat",
        ".nef",
        ".nii",
        ".npy",
        ".npz",
        ".orf",
        ".pdf",
        ".raf",
        ".raw",
        ".rw2",
        ".svg",
    ]
)


def is_image(path: Path) -> bool:
    """Whether Pillow, as installed, reads it: by its ending, or by its first bytes where it has none."""
    ending = ending_of(path.name)
    return ending in readable() if ending else _begins_as_image(path)


@cache
def readable() -> frozenset[str]:
    """The endings of the formats that Pillow, as installed, reads."""
    Image.init()
    formats = Image.OPEN.keys() - _NOT_BY_PILLOW | {"MPO"}  # which the reader of JPEG reads
    return frozenset(ending for ending, name in Image.registered_extensions().items() if name in formats)


def _begins_as_image(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.format not in _NOT_BY_PILLOW
    # A decoder fed with arbitrary bytes may raise anything at all.
    except Exception:
        return False


IMAGES = Kind("image", "images", "Pillow", "PNG or JPEG", "image", datasets.Image(), _PICTURES_ELSEWHERE, is_image)
"""What folders of images hold."""
