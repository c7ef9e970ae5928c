"""Stable names for examples, made of what they are, and splits carved by those names.

An example's id does not depend on where it is stored, so soft targets, orders and splits survive reordering,
renaming and growth of a data set. Shapes: N examples.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from limbeck.errors import BadInput
from limbeck.randomness import bits

_POSITIVE = (1 << 63) - 1


def content_ids(images: Tensor) -> Tensor:
    """A hash (N,) int64, at least 0, of each image, by type, shape and pixels (N, C, H, W)."""
    head = f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape[1:])}".encode()
    started = hashlib.blake2b(head, digest_size=8)
    content = torch.empty(len(images), dtype=torch.int64)
    pixels = images.numpy()
    for row in range(len(images)):
        hashed = started.copy()
        hashed.update(pixels[row].tobytes())
        content[row] = int.from_bytes(hashed.digest(), "little") & _POSITIVE
    return content


def example_ids(content_N: Tensor, labels: Tensor | None) -> Tensor:
    """Ids (N,) int64 that tell duplicates apart by an ordinal: by label first, then in storage order.

    Raises ``BadInput`` in the all but impossible case that two ids still clash.
    """
    by_label = torch.arange(len(content_N)) if labels is None else torch.argsort(labels, stable=True)
    order = by_label[torch.argsort(content_N[by_label], stable=True)]
    sorted_content = content_N[order]
    place = torch.arange(len(order))
    first = torch.ones(len(order), dtype=torch.bool)
    first[1:] = sorted_content[1:] != sorted_content[:-1]
    # Where a group of equals starts, carried forward: place minus that is the ordinal.
    start = torch.cummax(torch.where(first, place, 0), 0).values if len(order) else place
    ordinal = torch.empty_like(place)
    ordinal[order] = place - start
    ids = bits(0, content_N, ordinal, "example id")
    if len(torch.unique(ids)) != len(ids):
        raise BadInput(
            "two different examples hash to the same 63-bit id: leave one of them out (a chance of "
            "less than one in a million for ten million examples)."
        )
    return ids


def carve(content_N: Tensor, fraction: float, salt: str) -> Tensor:
    """Which examples (N,) bool fall into a split of about ``fraction`` of all.

    A fixed function of each example's content alone: others that come, go or move change nothing, and
    duplicates fall on the same side. Different salts carve independently.
    """
    return bits(0, content_N, 0, f"carve {salt}") < int(fraction * 2.0**63)
