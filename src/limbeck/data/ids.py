"""Stable names for examples, made of what they are, and splits carved by those names.

An example's id does not depend on where it is stored, so soft targets, orders and splits survive reordering,
renaming and growth of a data set. Shapes: N examples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import BadInput
from ..randomness import bits

Text = str | tuple[str, str]
"""A text, or the two sides of a pair."""


_POSITIVE = (1 << 63) - 1


def example_ids(content_N: Tensor, labels: Tensor | None) -> Tensor:
    """Ids (N,) int64 that tell duplicates apart by an ordinal: by label first, then in storage order.

    ``labels`` are (N,), or (N, K), of 0 and 1 or of numbers, which are ordered as words are, the first class first.

    Raises ``BadInput`` in the all but impossible case that two ids still clash.
    """
    if labels is not None and labels.ndim == 2:
        labels = torch.unique(labels, dim=0, return_inverse=True)[1]
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
    return carving_draws(content_N, salt) < int(fraction * 2.0**63)


def carving_draws(content_N: Tensor, salt: str) -> Tensor:
    """What decides: a number (N,) int64, at least 0, for each; the smallest are carved off first."""
    return bits(0, content_N, 0, f"carve {salt}")


def number(hashed: hashlib.blake2b) -> int:
    return int.from_bytes(hashed.digest(), "little") & _POSITIVE


def text_ids(texts: Sequence[Text], split: str) -> Tensor:
    """A hash (N,) int64, at least 0, of each text, or of both sides of each pair in their order.

    A pair has the hash of no text. Raises ``BadInput`` naming the row of a text that is no Unicode.
    """
    content = torch.empty(len(texts), dtype=torch.int64)
    for row, text in enumerate(texts):
        try:
            sides = [side.encode() for side in ((text,) if isinstance(text, str) else text)]
        except UnicodeEncodeError as error:
            raise BadInput(
                f"split '{split}', row {row} (counted from 0): the text is no valid Unicode (a lone surrogate at character {error.start}): "
                "mend it or take it out."
            ) from error
        if len(sides) == 1:
            content[row] = number(hashlib.blake2b(sides[0], digest_size=8))
        else:  # how long the first side is says where it ends
            framed = b"%d %s%s" % (len(sides[0]), *sides)
            content[row] = number(hashlib.blake2b(framed, digest_size=8, person=b"pair of texts"))
    return content
