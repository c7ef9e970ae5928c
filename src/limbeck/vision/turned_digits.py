"""The digits of scikit-learn, each turned by an angle that follows from its pixels: a number to be told from a picture.

Shapes: N images, H rows, W columns.
"""

from __future__ import annotations

import io
from typing import Any

import datasets
import numpy as np
import torch
from PIL import Image

from .. import randomness
from ..data.reading import Rows
from .inputs import content_ids

SIDE = 16
MOST_DEGREES = 45.0


def turned_digits() -> Rows:
    """1,797 digits, 16x16 grey, with the columns ``image``, ``angle`` (degrees, counter-clockwise, within ±45) and ``digit``.

    The angle is a pure function of the example's id, which is that of the digit as it came: uniform between the two ends.
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    plain_NHW = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    ids_N = content_ids(torch.from_numpy(plain_NHW)[:, None])
    angle_N = angles(ids_N)
    cells = []
    for image_HW, angle in zip(plain_NHW, angle_N.tolist(), strict=True):
        file = io.BytesIO()
        Image.fromarray(turned(image_HW, angle)).save(file, format="png")
        cells.append({"bytes": file.getvalue(), "path": None})
    features = {
        "image": datasets.Image(),
        "angle": datasets.Value("float32"),
        "digit": datasets.ClassLabel(names=[str(digit) for digit in range(10)]),
    }
    columns = {"image": cells, "angle": angle_N.tolist(), "digit": bunch.target.tolist()}
    return {"train": datasets.Dataset.from_dict(columns, features=datasets.Features(features))}


def angles(ids_N: torch.Tensor) -> torch.Tensor:
    """Degrees (N,) float32, uniform between -45 and 45; a pure function of each id."""
    return (randomness.uniform(0, ids_N, 0, "turned digits") * 2 - 1) * MOST_DEGREES


def turned(image_HW: np.ndarray, degrees: float, side: int = SIDE) -> np.ndarray:
    """The picture enlarged to ``side`` and turned counter-clockwise about its centre, on black: uint8 (side, side).

    Each pixel is read once, bilinearly, from where it comes from; no library's rotation is asked, so that the same pixels
    come of every version.
    """
    height, width = image_HW.shape
    # so large that the picture's content, a disc about its centre, stays whole at every angle
    scale = max(height, width) * 1.2 / side
    middle = (side - 1) / 2
    y_HW, x_HW = np.mgrid[0:side, 0:side] - middle
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    from_x_HW = (cos * x_HW - sin * y_HW) * scale + (width - 1) / 2
    from_y_HW = (sin * x_HW + cos * y_HW) * scale + (height - 1) / 2
    padded = np.pad(image_HW.astype(np.float64), 1)
    x_HW, y_HW = from_x_HW.clip(-1, width) + 1, from_y_HW.clip(-1, height) + 1
    left_HW, top_HW = np.minimum(x_HW.astype(int), width), np.minimum(y_HW.astype(int), height)
    across_HW, down_HW = x_HW - left_HW, y_HW - top_HW
    upper_HW = padded[top_HW, left_HW] * (1 - across_HW) + padded[top_HW, left_HW + 1] * across_HW
    lower_HW = padded[top_HW + 1, left_HW] * (1 - across_HW) + padded[top_HW + 1, left_HW + 1] * across_HW
    return np.rint(upper_HW * (1 - down_HW) + lower_HW * down_HW).astype(np.uint8)
