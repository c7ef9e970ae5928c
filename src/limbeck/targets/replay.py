"""Asking the teacher again, about a few stored answers, and comparing.

Shapes: N examples, R replayed answers, B batch, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import randomness
from ..errors import BadInput
from .answers import difference, gathered, reencoded
from .asking import Ask
from .store import Store

ROUNDING = 1e-3  # of a probability: what another batch size, machine or version may change
MOST = 0.05  # a codec that loses much is still held to this


@dataclass(frozen=True)
class Replay:
    """What came of it, in the order of example and view.

    ``difference`` is the total variation distance between what is stored and what would be stored now
    (:func:`limbeck.targets.answers.difference`): 0 where they are equal and 1 where they have nothing in common.
    """

    ids: np.ndarray  # (R,) int64
    view: np.ndarray  # (R,) int64
    difference: np.ndarray  # (R,) float64
    allowed: float
    seed: int
    of: int  # how many answers the store holds

    @property
    def differing(self) -> np.ndarray:
        """Positions (D,) of the answers that differ by more than is allowed, the worst first."""
        worst_first = np.argsort(-self.difference, kind="stable")
        # "not at most", so that NaN differs
        return worst_first[~(self.difference[worst_first] <= self.allowed)]


def replay(store: Store, ask: Ask, ids_N: Tensor, count: int, seed: int, batch_size: int = 512) -> Replay:
    """Asks about ``count`` random answers of the store again; ``ask`` and ``ids_N`` as in :func:`cast`.

    The teacher's new answer goes through the store's codec before it is compared, so that a codec which keeps little is
    held to what it does keep. What is left is rounding: allowed are ``ROUNDING`` and, for a codec whose rounding can tip
    over, its own measured error as a total variation distance (Pinsker: at most sqrt(KL / 2)), at most ``MOST``.
    """
    ids_N = ids_N.cpu()
    sorted_N, order_N = ids_N.sort()
    chosen_R = _draw(store.views * len(store), count, seed)
    view_R, row_R = chosen_R // len(store), chosen_R % len(store)
    ids_R = torch.from_numpy(store.ids)[row_R]
    store.require(ids_R)
    difference_R = torch.empty(len(chosen_R), dtype=torch.float64)
    for view in view_R.unique().tolist():
        of_view = (view_R == view).nonzero()[:, 0]
        for part_B in of_view.split(batch_size):
            ids_B = ids_R[part_B]
            index_B = order_N[torch.searchsorted(sorted_N, ids_B)]
            logits_BC = ask(index_B, view)
            if not isinstance(logits_BC, Tensor):
                raise BadInput(f"{store.path} holds sequences, and those cannot be replayed yet.")
            logits_BC = logits_BC.detach().cpu()
            now, then = reencoded(store, logits_BC, ids_B, view), gathered(store, ids_B, view)
            difference_R[part_B] = difference(now, then, store.classes).cpu()
    return Replay(ids_R.numpy(), view_R.numpy(), difference_R.numpy(), allowed(store), seed, store.views * len(store))


def allowed(store: Store) -> float:
    """The total variation distance between two castings of one answer that rounding can account for."""
    error = store.manifest["codec"]["error"].get("p99_kl") or 0.0
    return ROUNDING + min(MOST, math.sqrt(max(error, 0.0) / 2))


def _draw(total: int, count: int, seed: int) -> Tensor:
    """``count`` different numbers below ``total``, ascending; all of them where there are no more."""
    if count >= total:
        return torch.arange(total)
    drawn, size = torch.empty(0, dtype=torch.int64), count
    while len(drawn) < count:
        size *= 2
        # one word below a large total by its remainder: favoured by less than total / 2**63
        words = randomness.bits(seed, torch.arange(size), 0, "targets.replay") % total
        seen = set[int]()
        first = [word for word in words.tolist() if not (word in seen or seen.add(word))]
        drawn = torch.tensor(first[:count])
    return drawn.sort().values
