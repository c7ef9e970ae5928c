"""How a store is written, by any number of processes at once, killed and taken up again at any moment.

A shard is a pure function of (view, block of ids), whether a teacher is asked for it or other stores are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput
from ...files import write_text
from ..codecs import Codec
from . import shard
from .check import expected_files
from .lock import Claims, alone
from .manifest import (
    KIND,
    MANIFEST,
    PLAN,
    SCHEMA_VERSION,
    SEAL,
    TARGETS_VERSION,
    Seal,
    StoreIdentity,
    differences,
    json_text,
    publish,
    read_json,
    read_seal,
    sealed_file,
    shard_metadata,
    write_seal,
)
from .segment import Place, Segment, normal, places, totals, write_ids

Make = Callable[[np.ndarray, int], shard.Content]  # of (ids ascending, view)


def plan_of(identity: StoreIdentity, codec: Codec, ragged: bool, block_size: int) -> dict[str, Any]:
    """What all shards of a store agree in."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "targets_version": TARGETS_VERSION,
        **identity,
        "codec": {"name": codec.name, "settings": dict(codec.settings)},
        "ragged": ragged,
        "block_size": block_size,
    }


def begin(path: Path, plan: Mapping[str, Any], holding: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the plan where there is none; otherwise holds what is there against it. Returns the plan that rules.

    ``holding``: :func:`segment.totals` of what is to be stored; what a manifest says must agree. Raises
    :class:`BadInput` where the folder holds something else, or cannot be written.
    """
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    taken = sorted(name for name in names if name in (MANIFEST, SEAL) or name.startswith("ids-"))
    if taken and PLAN not in names:
        raise BadInput(f"{path} holds '{taken[0]}' but no {PLAN}, so nothing says whose it is: name a new folder.")
    # what begins with a point is a lock, or was left by a writer that died
    others = sorted(name for name in names if not name.startswith("."))
    if others and PLAN not in names:
        raise BadInput(
            f"{path} holds something that is no store of soft targets ('{others[0]}'): name a new folder, or empty this one."
        )
    with alone(path) as held:
        if held:
            _sweep(path)
        if not (path / PLAN).exists():
            write_text(path / PLAN, json_text(plan))
        there = read_json(path / PLAN)
        unequal = differences(there, plan)
        if not unequal and (path / MANIFEST).exists():
            unequal = differences(read_json(path / MANIFEST), holding)
        if unequal:
            raise BadInput(
                f"{path} holds {'' if (path / SEAL).exists() else 'unfinished '}soft targets of another kind: "
                f"{'; '.join(unequal)}. Name another folder, or delete this one."
            )
    return there


def fill(
    path: Path,
    plan: Mapping[str, Any],
    segments: Sequence[Segment],
    make: Make,
    progress: Callable[[int], object] | None = None,
) -> None:
    """Writes every shard that is not whole; those that another process is at are left to it while there are others.

    A shard is written in a thread while the next one is made, so that nobody waits for the disk. A kill costs the shard
    that is being made and the one that is being written.
    """
    size: int = plan["block_size"]
    for segment in segments:
        with alone(path):
            write_ids(path, segment)
    tell = progress or (lambda number: None)
    left = list(places(segments, size))

    def about(place: Place) -> dict[str, str]:
        return shard_metadata(plan, place.segment.digest, place.view, place.block)

    def is_whole(place: Place) -> bool:
        return shard.is_whole(path / place.name, about(place))

    def write(place: Place, content: shard.Content) -> int:
        with alone(path):
            if not is_whole(place):
                shard.write_with_digest(path / place.name, content, about(place))
        claims.release(place.name)
        return len(place.ids(size))

    # Where something is raised, the thread ends what it is at, and then all claims are given up.
    with Claims(path) as claims, ThreadPoolExecutor(1, "limbeck-writing") as thread:
        under_way: Future[int] | None = None
        for wait in (False, True):
            later = []
            for place in left:
                if wait and under_way is not None:
                    # the system lets no two processes wait for what the other has claimed, even where a thread would end it
                    tell(under_way.result())
                    under_way = None
                if is_whole(place):
                    tell(len(place.ids(size)))
                elif not claims.claim(place.name, wait):
                    later.append(place)
                elif is_whole(place):  # another writer was quicker
                    claims.release(place.name)
                    tell(len(place.ids(size)))
                else:
                    content = make(place.ids(size), place.view)
                    if under_way is not None:
                        tell(under_way.result())
                    under_way = thread.submit(write, place, content)
            left = later
        if under_way is not None:
            tell(under_way.result())


def finish(path: Path, manifest: Mapping[str, Any], over: Mapping[str, Any] | None = None) -> bool:
    """Publishes a manifest whose files are all there; False where the store is not ``over`` (None: unfinished)."""
    with alone(path) as held:
        there = read_json(path / MANIFEST) if (path / SEAL).exists() else None
        if there != over:
            return False
        if held:
            _sweep(path)
        publish(path, manifest, expected_files(manifest))
    return True


def settle(path: Path) -> None:
    """Ends what a process left that was killed between replacing the manifest and taking leave of the one before."""
    with alone(path) as held:
        seal = read_seal(path)
        if seal.previous and sealed_file(path / MANIFEST) == seal.files[MANIFEST]:
            if held:
                _sweep(path)
            write_seal(path, Seal(seal.files))


def manifest_of(
    plan: Mapping[str, Any], segments: Iterable[Segment], codec: Mapping[str, Any], libraries: Mapping[str, str]
) -> dict[str, Any]:
    """The manifest of a store of these segments; ``codec``: name, settings, and what was measured."""
    kept = normal(segments)
    entries = [segment.entry for segment in kept]
    return {**plan, **totals(kept), "codec": dict(codec), "libraries": dict(libraries), "segments": entries}


def _sweep(path: Path) -> None:
    """Removes what killed writers left half-written; the living write only while they hold the lock."""
    for pattern in (".*.json.*.part", "ids-*/.*.part", "ids-*/view-*/.*.part"):
        for left in path.glob(pattern):
            left.unlink(missing_ok=True)
