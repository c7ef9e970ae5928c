"""Batches of texts of like length, so that little is padding.

Shapes: N examples, S steps of an epoch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..randomness import bits, order


def edges(count: int, steps: int) -> Tensor:
    """Where the batches of an epoch begin and end: (S + 1,) int64; sizes are equal to within one example."""
    return count * torch.arange(steps + 1) // steps


def bucketed_order(seed: int, epoch: int, ids_N: Tensor, length_N: Tensor, batch_size: int, chunk: int) -> Tensor:
    """The epoch's order, (N,) int64 positions: every example once, batch after batch.

    The examples are shuffled, cut into chunks of ``chunk`` batches, sorted by length within each and cut into batches,
    and the batches are shuffled, except that with ``chunk`` 1 they stay as the shuffle made them. A batch may be smaller
    than others by one example: batch k stands at ``edges(N, S)[k : k + 2]``. A pure function of seed, epoch and the set
    of ids with their lengths, however they are stored.
    """
    order_N = order(seed, epoch, ids_N)
    if chunk == 1:
        return order_N
    count, steps = len(ids_N), -(-len(ids_N) // batch_size)
    edge = edges(count, steps).tolist()
    batches: list[Tensor] = []
    for first in range(0, steps, chunk):
        last = min(first + chunk, steps)
        part = order_N[edge[first] : edge[last]]
        part = part[torch.argsort(length_N[part], stable=True)]
        batches += [part[edge[k] - edge[first] : edge[k + 1] - edge[first]] for k in range(first, last)]
    if not batches:
        return order_N
    # the batches that are longer by one stand wherever the shuffle puts them
    shuffled = torch.argsort(bits(seed, torch.arange(steps), epoch, "batch order"), stable=True).tolist()
    return _in_place(batches, shuffled, edge)


def _in_place(batches: list[Tensor], shuffled: list[int], edge: list[int]) -> Tensor:
    """The batches in the shuffled order, each moved only among places of its own size."""
    sizes = [len(batch) for batch in batches]
    waiting: dict[int, list[int]] = {}
    for k in reversed(shuffled):
        waiting.setdefault(sizes[k], []).append(k)
    return torch.cat([batches[waiting[edge[place + 1] - edge[place]].pop()] for place in range(len(batches))])
