"""Several stores of one teacher as one: the union of what they hold.

The result is the store that one cast of all of it would have made, byte for byte, but for what was measured.
Shapes: B examples of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import BadInput
from ..codecs import Column
from . import shard
from .manifest import differences, libraries
from .mapped_files import Piece, collect, content_of
from .segment import Segment, normal, totals
from .store import Store
from .writer import begin, fill, finish, manifest_of


def merge(paths: Sequence[Path], out: Path, progress: Callable[[int], object] | None = None) -> Store:
    """Writes the union of finished stores under ``out``, and opens it; the stores are left as they are.

    Of one store, the same with its segments as few as they can be. Resumable, and shared between processes, as
    :func:`limbeck.targets.cast.cast` is; ``progress`` as there. The codec's error is that of the store with the
    largest mean KL.

    Raises :class:`BadInput` where a store is damaged, where they are of different teachers, data, views, codecs ...
    (it says what differs), where they disagree about an (example, view) (it names the first), or where ``out`` holds
    something else.
    """
    if not paths:
        raise BadInput("name at least one store to merge.")
    stores = [Store.open(path) for path in paths]
    plan = stores[0].plan
    wanted = {key: value for key, value in plan.items() if key != "block_size"}
    for store in stores[1:]:
        unequal = differences(store.plan, wanted)
        if unequal:
            raise BadInput(
                f"{store.path} cannot be merged with {stores[0].path}: {'; '.join(unequal)} ('here' is {stores[0].path})."
            )
    segments = _union(stores)
    plan = begin(out, plan, totals(segments))
    fill(out, plan, segments, partial(_content, stores), progress)
    measured = max((store.manifest["codec"] for store in stores), key=_mean_kl)
    recorded = [store.manifest["libraries"] for store in stores]
    finish(out, manifest_of(plan, segments, measured, libraries(recorded)))
    return Store.open(out, expect={**plan, **totals(segments)})


def _union(stores: Sequence[Store]) -> list[Segment]:
    """As few segments as hold every store's answers: one for each number of views that examples have."""
    ids = np.unique(np.concatenate([store.ids for store in stores]))
    count_N = np.zeros(len(ids), np.int64)
    for store in stores:
        at = np.searchsorted(ids, store.ids)
        count_N[at] = np.maximum(count_N[at], np.asarray(store.view_counts(torch.from_numpy(store.ids))))
    return normal(Segment(ids[count_N == n], range(int(n))) for n in np.unique(count_N))


def _content(stores: Sequence[Store], ids: np.ndarray, view: int) -> shard.Content:
    """One shard, each example's answer from the first store that has it; all that have it must agree."""
    layout, ragged = stores[0].codec.layout(stores[0].classes), stores[0].ragged
    pieces, held = [], []
    unowned_B = np.ones(len(ids), bool)
    for store in stores:
        has_B = store.has(torch.from_numpy(ids), torch.full((len(ids),), view)).numpy()
        here = content_of(store.encoded(torch.from_numpy(ids[has_B]), torch.full((int(has_B.sum()),), view)))
        pieces.append(Piece(here, np.flatnonzero(unowned_B[has_B]), np.flatnonzero(has_B & unowned_B)))
        held.append((store, np.flatnonzero(has_B), here))
        unowned_B &= ~has_B
    whole = content_of(collect(pieces, len(ids), layout, ragged))
    for store, at, here in held:
        if not _same(whole, at, here, np.arange(len(at)), layout):
            first = next(i for i in range(len(at)) if not _same(whole, at[i : i + 1], here, np.array([i]), layout))
            other = next(one for one, theirs, _ in held if at[first] in theirs)
            raise BadInput(
                f"{store.path} and {other.path} disagree about example id {ids[at[first]]}, view {view}: the same "
                "teacher gave another answer there (another precision, device or version?). Cast one of them anew."
            )
    return whole


def _same(
    one: shard.Content, at: np.ndarray, other: shard.Content, where: np.ndarray, layout: Sequence[Column]
) -> bool:
    """Whether answers ``at`` of one are answers ``where`` of the other, to the bit."""
    ragged = one.offsets is not None
    some, others = (
        content_of(collect([Piece(content, rows, np.arange(len(rows)))], len(rows), layout, ragged))
        for content, rows in ((one, at), (other, where))
    )
    if ragged and not np.array_equal(some.offsets, others.offsets):  # pyright: ignore[reportArgumentType]
        return False
    return all(some.columns[name].tobytes() == others.columns[name].tobytes() for name in some.columns)


def _mean_kl(codec: dict[str, Any]) -> float:
    return codec["error"].get("mean_kl", 0.0) if codec["error"] else 0.0
