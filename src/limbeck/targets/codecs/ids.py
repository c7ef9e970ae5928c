"""Class ids in as few bits as the number of classes allows, or a byte each where 256 classes or fewer do.

Shapes: N rows, k ids, W bytes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from .base import Column

IDS = "ids"  # the name of a column of class ids, in every codec that has one
MOST_CLASSES = 1 << 24
_SPAN = 4  # bytes that an id of up to 24 bits can touch


def bits_of_an_id(classes: int) -> int:
    """8 to 24. Raises ``ValueError`` beyond 2²⁴ classes."""
    if classes > MOST_CLASSES:
        raise ValueError(f"at most {MOST_CLASSES} classes can be numbered in 3 bytes, and there are {classes}")
    return max(8, (classes - 1).bit_length())


def id_column(number: int, classes: int) -> Column:
    """The column :data:`IDS`: ``number`` ids in a row, one after another without a gap, the lowest bits first: uint8, (N, W)."""
    return Column(IDS, np.dtype(np.uint8), _bytes_of(number, classes))


def ids_in(width: int, classes: int) -> int:
    """How many ids a column of so many bytes has: what it has too many of is less than a byte, and so less than an id."""
    return width * 8 // bits_of_an_id(classes)


def pack(ids_Nk: Tensor, classes: int) -> Tensor:
    """Ids in [0, C) as bytes: (N, k) -> uint8 (N, W)."""
    number, bits = ids_Nk.shape[1], bits_of_an_id(classes)
    first_k, shift_k = _places(number, bits, ids_Nk.device)
    shifted_Nk = (ids_Nk.to(torch.int64) & ((1 << bits) - 1)) << shift_k
    width = _bytes_of(number, classes)
    bytes_NW = shifted_Nk.new_zeros(len(ids_Nk), width + _SPAN)
    for place in range(_SPAN):  # no two ids share a bit, so that a sum puts them together
        bytes_NW.index_add_(1, first_k + place, (shifted_Nk >> (8 * place)) & 255)
    return bytes_NW[:, :width].to(torch.uint8)


def unpack(bytes_NW: Tensor, classes: int) -> Tensor:
    """What :func:`pack` was given: int64 (N, k)."""
    bits = bits_of_an_id(classes)
    if bits == 8:
        return bytes_NW.to(torch.int64)
    first_k, shift_k = _places(ids_in(bytes_NW.shape[1], classes), bits, bytes_NW.device)
    last = bytes_NW.shape[1] - 1
    ids_Nk = bytes_NW.index_select(1, first_k).to(torch.int64)
    for place in range(1, _SPAN):
        # the byte after the last belongs to none, and is masked away with whatever stands there
        ids_Nk = ids_Nk | (bytes_NW.index_select(1, (first_k + place).clamp(max=last)).to(torch.int64) << (8 * place))
    return (ids_Nk >> shift_k) & ((1 << bits) - 1)


def _bytes_of(number: int, classes: int) -> int:
    return math.ceil(number * bits_of_an_id(classes) / 8)


def _places(number: int, bits: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The byte (k,) that each id begins in, and at which of its bits."""
    start_k = torch.arange(number, device=device) * bits
    return start_k >> 3, start_k & 7
