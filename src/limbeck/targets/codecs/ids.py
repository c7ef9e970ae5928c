"""Class ids in as few bytes as the number of classes allows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .base import Column

IDS = "ids"  # the name of a column of class ids, in every codec that has one


def bytes_of_an_id(classes: int) -> int:
    """1, 2 or 3. Raises ``ValueError`` beyond 2²⁴ classes."""
    if classes > 1 << 24:
        raise ValueError(f"at most {1 << 24} classes can be numbered in 3 bytes, and there are {classes}")
    return 1 if classes <= 1 << 8 else 2 if classes <= 1 << 16 else 3


def id_column(number: int, classes: int) -> Column:
    """The column :data:`IDS`: ``number`` ids in a row, each as its bytes, the lowest first: uint8, (N, number · bytes).

    Bytes throughout, for no library has integers of three, and torch hardly knows unsigned ones of two.
    """
    return Column(IDS, np.dtype(np.uint8), number * bytes_of_an_id(classes))


def pack(ids_Nk: Tensor, classes: int) -> Tensor:
    """Ids in [0, C) as bytes: (N, k) -> uint8 (N, k · bytes)."""
    size = bytes_of_an_id(classes)
    planes = torch.stack([(ids_Nk >> (8 * place)) & 255 for place in range(size)], dim=-1)
    return planes.to(torch.uint8).reshape(len(ids_Nk), ids_Nk.shape[1] * size)


def unpack(bytes_NW: Tensor, classes: int) -> Tensor:
    """What :func:`pack` was given: int64 (N, k)."""
    size = bytes_of_an_id(classes)
    planes = bytes_NW.reshape(len(bytes_NW), bytes_NW.shape[1] // size, size).to(torch.int64)
    ids_Nk = planes[..., 0]
    for place in range(1, size):
        ids_Nk = ids_Nk | (planes[..., place] << (8 * place))
    return ids_Nk
