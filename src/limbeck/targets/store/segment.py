"""Which answers a store holds: sets of examples, each with a run of their views.

A store grows by segments: more views of some examples, or more examples, are segments of their own, and nothing that
is there is touched. The views of an example always run from 0 without a gap. N examples, V views.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..codecs import Column
from . import shard
from .manifest import ids_metadata

_IDS = (Column("id", np.dtype(np.int64), None),)


@dataclass(frozen=True, eq=False)
class Segment:
    """Some views of some examples: ``ids`` (n,) int64, ascending."""

    ids: np.ndarray
    views: range

    @cached_property
    def digest(self) -> str:
        """Names the set of examples."""
        return sha256_ids(self.ids)

    @property
    def entry(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {"ids": self.digest, "examples": len(self.ids), "views": [self.views.start, self.views.stop]}


class Place(NamedTuple):
    """One shard of a store: a view of a block of a segment's examples."""

    segment: Segment
    view: int
    block: int

    @property
    def name(self) -> str:
        """Its path inside the store."""
        return shard_name(self.segment.digest, self.view, self.block)

    def ids(self, block_size: int) -> np.ndarray:
        """Its examples."""
        return self.segment.ids[self.block * block_size : (self.block + 1) * block_size]


def ids_name(digest: str) -> str:
    """The path, inside a store, of the ids of a set of examples."""
    return f"ids-{digest[:16]}/ids.arrow"


def shard_name(digest: str, view: int, block: int) -> str:
    """The path of a shard inside its store; ``digest`` is of its segment's ids."""
    return f"ids-{digest[:16]}/view-{view:04d}/block-{block:05d}.arrow"


def file_names(entry: Mapping[str, Any], block_size: int) -> set[str]:
    """The files of a segment, from what the manifest says of it; digest files left out."""
    blocks = range(-(-entry["examples"] // block_size))
    return {ids_name(entry["ids"])} | {
        shard_name(entry["ids"], view, block) for view in range(*entry["views"]) for block in blocks
    }


def places(segments: Iterable[Segment], block_size: int) -> Iterator[Place]:
    """Every shard of some segments."""
    for segment in segments:
        for view in segment.views:
            for block in range(-(-len(segment.ids) // block_size)):
                yield Place(segment, view, block)


def normal(segments: Iterable[Segment]) -> list[Segment]:
    """The same answers in the one order that stores have, runs of views of the same examples joined."""
    joined: dict[str, Segment] = {}
    apart: list[Segment] = []
    for segment in sorted(segments, key=lambda one: (one.views.start, one.digest)):
        before = joined.get(segment.digest)
        if before is not None and before.views.stop == segment.views.start:
            segment = Segment(segment.ids, range(before.views.start, segment.views.stop))
        elif before is not None:
            apart.append(before)
        joined[segment.digest] = segment
    return sorted([*joined.values(), *apart], key=lambda one: (one.views.start, one.digest))


def missing(segments: Sequence[Segment], ids: np.ndarray, views: int) -> list[Segment]:
    """What is to be added so that every one of ``ids`` (ascending) has views 0 to ``views`` - 1."""
    count_N = np.zeros(len(ids), np.int64)
    for segment in segments:
        there_N = np.isin(ids, segment.ids, assume_unique=True)
        count_N[there_N] = np.maximum(count_N[there_N], segment.views.stop)
    return [Segment(ids[count_N == n], range(int(n), views)) for n in np.unique(count_N) if n < views]


def totals(segments: Sequence[Segment]) -> dict[str, Any]:
    """What the manifest says of all segments together."""
    ids = all_ids(segments)
    return {
        "examples": len(ids),
        "ids": sha256_ids(ids),  # also the pairing set of mixes
        "view_count": max(segment.views.stop for segment in segments),
        "targets": sum(len(segment.ids) * len(segment.views) for segment in segments),
    }


def all_ids(segments: Sequence[Segment]) -> np.ndarray:
    """Every example's id once, ascending."""
    if len(segments) == 1:
        return segments[0].ids
    return np.unique(np.concatenate([segment.ids for segment in segments]))


def read_segments(root: Path, entries: Iterable[Mapping[str, Any]]) -> list[Segment]:
    """The segments that a manifest names. Raises :class:`BadInput` where a file of ids is not what it should be."""
    ids = {}
    for entry in entries:
        if entry["ids"] not in ids:
            path, about = root / ids_name(entry["ids"]), ids_metadata(entry["ids"])
            # copied: a file of ids may be replaced by an equal one
            ids[entry["ids"]] = np.array(shard.read(path, _IDS, entry["examples"], about).columns["id"])
    return [Segment(ids[entry["ids"]], range(*entry["views"])) for entry in entries]


def write_ids(root: Path, segment: Segment) -> None:
    """Writes a segment's ids, unless they are there."""
    path, about = root / ids_name(segment.digest), ids_metadata(segment.digest)
    content = shard.Content({"id": segment.ids})
    if not path.exists() or not shard.holds(path, content, about):
        shard.write(path, content, about)


def sha256_ids(ids_N: np.ndarray) -> str:
    """The digest of sorted example ids, as 64-bit little-endian integers."""
    return hashlib.sha256(np.ascontiguousarray(ids_N, dtype="<i8").tobytes()).hexdigest()
