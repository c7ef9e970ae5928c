"""Asking the teacher once: every view of every example, block by block, into a store; and more of them later.

A shard is a pure function of (view, block of sorted ids), so casting can stop anywhere, go on anywhere, and
be done by several processes at once. Shapes: N examples, B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import BadInput
from ..interfaces.task import Ask
from .codecs import Codec, Dense
from .store.check import lacks_a_file
from .store.lock import alone
from .store.manifest import MANIFEST, SEAL, StoreIdentity, libraries, read_json
from .store.segment import Segment, missing, read_segments, totals
from .store.store import Store
from .store.writer import begin, fill, finish, manifest_of, plan_of, settle
from .teacher_pass import Asking

Progress = Callable[[int], object]
BLOCK_SIZE = 4096
"""Examples in a shard where nothing else is said."""


def cast(
    path: Path,
    identity: StoreIdentity,
    ids_N: Tensor,
    views: int,
    ask: Ask,
    *,
    codec: Codec | None = None,
    ragged: bool = False,
    block_size: int = BLOCK_SIZE,
    batch_size: int = 512,
    measured: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Store:
    """Stores the teacher's answer to every view of every example under ``path``, and opens the store.

    ids_N: distinct int64 ids in any order. ``ask(index_B, view)`` returns logits (B, C) for positions in
    ``ids_N``, on any device; where ``ragged``, :class:`RaggedLogits`. ``measured``: further figures
    for the manifest. ``progress`` is called with the number of
    targets done, those found done included. A finished store is opened as it is, an unfinished one is finished, and
    several processes share the work; neither order, nor batch size, nor interruption changes a byte as long as the
    teacher answers each example alike.

    Raises :class:`BadInput` where ``path`` holds another store (it says what differs), where ids repeat or a
    count is not positive, where the teacher's answer does not fit the classes, is NaN or +inf, or has nothing
    finite; :class:`LimbeckError` where the disk is full or the folder cannot be written.
    """
    path, codec = Path(path), codec or Dense()
    if not len(ids_N) or min(views, block_size, batch_size) < 1:
        raise BadInput("soft targets need at least one example, one view, and positive block and batch sizes.")
    asking = Asking(ask, ids_N, codec, identity["classes"], ragged, batch_size)
    plan = plan_of(identity, codec, ragged, block_size)
    whole = [Segment(asking.ids, range(views))]
    holding = totals(whole)
    if (path / SEAL).exists() and not lacks_a_file(path):
        store = Store.open(path, expect={**plan, **holding})
        if progress:
            progress(holding["targets"])
        return store
    plan = begin(path, plan, holding)
    segments = _begun(path, holding) or whole
    with alone(path):
        if (path / SEAL).exists() and lacks_a_file(path):  # a sealed store that lacks a file is an unfinished one
            (path / SEAL).unlink()
    asking.measure_on(segments[0].ids[:block_size])
    fill(path, plan, segments, asking.content, progress)
    finish(path, manifest_of({**plan, **(measured or {})}, segments, asking.measured(), libraries()))
    return Store.open(path, expect={**plan, **holding})


def extend(
    path: Path,
    ids_N: Tensor,
    views: int,
    ask: Ask,
    *,
    expect: Mapping[str, Any] | None = None,
    batch_size: int = 512,
    progress: Progress | None = None,
) -> Store:
    """Adds to a finished store what it lacks of views 0 to ``views`` - 1 of the examples ``ids_N``, and opens it.

    What is there is neither touched nor asked again; until all is there, and wherever this is killed, the store stays
    what it was. Arguments as in :func:`cast`; ``progress`` counts every target of these examples and views, those found
    done included. ``expect``: what the store must agree with (:class:`StoreIdentity` or a part of it), so that no other
    teacher's answers are added. Raises :class:`BadInput` as :func:`cast` and :meth:`Store.open` do.
    """
    path, told = Path(path), 0
    if not len(ids_N) or min(views, batch_size) < 1:
        raise BadInput("soft targets need at least one example, one view, and a positive batch size.")

    def tell(number: int) -> None:
        nonlocal told
        number = min(number, len(ids_N) * views - told)  # where what is lacking is determined again
        told += number
        if progress and number:
            progress(number)

    while True:
        store = Store.open(path, expect)
        base, plan = store.manifest, store.plan
        asking = Asking(ask, ids_N, store.codec, store.classes, store.ragged, batch_size)
        added = missing(store.segments, asking.ids, views)
        if not added:
            tell(len(ids_N) * views)
            settle(path)
            return store
        if not told:
            tell(len(ids_N) * views - sum(len(one.ids) * len(one.views) for one in added))
        fill(path, plan, added, asking.content, tell)
        manifest = manifest_of(plan, [*store.segments, *added], base["codec"], libraries([base["libraries"]]))
        # Where another process has changed the store meanwhile, nothing is published, and what is lacking is
        # determined again.
        finish(path, manifest, over=base)


def _begun(path: Path, holding: Mapping[str, Any]) -> list[Segment] | None:
    """The segments of a store that was finished before; None where it was not, or their ids are lost."""
    try:
        segments = read_segments(path, read_json(path / MANIFEST)["segments"])
        return segments if totals(segments) == holding else None
    except (BadInput, ArithmeticError, LookupError, TypeError, ValueError):  # no seal vouches for the manifest
        return None
