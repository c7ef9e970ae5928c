"""Which examples are carved off into a split: by a hash of each, and within classes where that would misrepresent one.

What must not be parted is a unit: examples that are alike, and with them whole groups. A draw for each unit, a fixed
function of its content (or of its groups), decides. Where the draws leave a class out, or give it a share that chance
does not explain, every class gives its own share instead, those units first whose draws are the smallest. Either way the
order of the rows changes nothing.

Shapes: N examples, U units, K classes, P pairs of a unit and a class that it holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .ids import carve, carving_draws

BEYOND_CHANCE = 4.0
"""Standard deviations of its draws by which a class's share may be off before it counts as misrepresented."""
_MOST = 0.25


@dataclass(frozen=True)
class Units:
    """What stays together: ``of`` (N,) is each example's unit, ``key`` (U,) int64 a hash of what each unit is."""

    of: np.ndarray
    key: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """Examples in each unit (U,)."""
        return np.bincount(self.of, minlength=len(self.key))


@dataclass(frozen=True)
class Carving:
    """What is carved off: ``chosen`` (N,) bool, and what a person should know of how.

    ``within``: whether each class gave a share of its own; ``left_out``, ``misjudged``: the classes (numbers) for whose
    sake, which the draws alone would have left out of one side, or given a share beyond chance; ``crowded``: whether the
    draws stand although they leave classes out, because one example of each would have taken too much of train.
    """

    chosen: Tensor
    within: bool = False
    left_out: tuple[int, ...] = ()
    misjudged: tuple[int, ...] = ()
    crowded: bool = False


def units_of(alike_N: Tensor, groups_N: Tensor | None = None) -> Units:
    """Examples with equal ``alike`` (N,) int64 together, and where ``groups`` (N,) int64 are given, all of a group.

    A group that shares an example with another is joined with it. A unit's key is its ``alike``, or the smallest of its
    groups' hashes.
    """
    alike, alike_at = np.unique(alike_N.numpy(), return_inverse=True)
    if groups_N is None:
        return Units(alike_at, alike)
    from scipy.sparse import coo_matrix  # slow to import, and needed for groups alone
    from scipy.sparse.csgraph import connected_components

    group, group_at = np.unique(groups_N.numpy(), return_inverse=True)
    nodes = len(alike) + len(group)
    edges = coo_matrix((np.ones(len(alike_at)), (alike_at, len(alike) + group_at)), shape=(nodes, nodes))
    count, unit_of_node = connected_components(edges, directed=False)
    key = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(key, unit_of_node[len(alike) :], group)
    return Units(unit_of_node[alike_at], key)


def carving_of(
    units: Units, labels: Tensor, classes: int, fraction: float, salt: str, *, steady: bool = False
) -> Carving:
    """About ``fraction`` of the examples, by draws that are independent for each ``salt``.

    The draws alone decide where every class that has two units or more is on both sides, no class of one unit is carved
    off whole, and no class's share is more than :data:`BEYOND_CHANCE` standard deviations of the draws away from
    ``fraction``; with ``steady``, which is for units of unequal sizes, where the split is neither under half its share of
    all examples nor over twice it, too. Else it is done within classes, the rarest first: units are taken, those of
    smaller draws first, where that brings the class nearer to its share; at least one of a class that has several, never
    all. One of each may be too much where most classes are rare: where it would take more than twice ``fraction`` and a
    quarter of all, the draws stand, but for one unit of each class that train would lack.

    ``labels`` are class numbers (N,), or (N, K) of 0 and 1 where an example may have several.
    """
    key = torch.from_numpy(units.key)
    draw, drawn = carving_draws(key, salt).numpy(), carve(key, fraction, salt).numpy()
    held = _Held.of(units, labels, classes)
    left_out, misjudged = (
        tuple(label for label in found.tolist() if label < classes)
        for found in (held.left_out(drawn), held.misjudged(drawn, fraction))
    )
    size = units.size
    share = size[drawn].sum() / size.sum()
    if not left_out and not misjudged and not (steady and not fraction / 2 <= share <= 2 * fraction):
        return Carving(torch.from_numpy(drawn[units.of]))
    within = held.within(draw, fraction)
    taken = size[within].sum() / size.sum()
    if taken > max(2 * fraction, _MOST):
        kept = held.with_every_class_left(drawn, draw)
        if kept.any() and size[kept].sum() / size.sum() <= taken:
            return Carving(torch.from_numpy(kept[units.of]), False, left_out, misjudged, crowded=True)
    return Carving(torch.from_numpy(within[units.of]), True, left_out, misjudged)


@dataclass(frozen=True)
class _Held:
    """How many examples of each class a unit holds, as pairs, sorted by class."""

    unit: np.ndarray  # (P,)
    label: np.ndarray  # (P,)
    count: np.ndarray  # (P,)
    units: int
    classes: int

    @staticmethod
    def of(units: Units, labels: Tensor, classes: int) -> _Held:
        if labels.ndim == 2:
            # examples without any label are a class of their own, the last, which gives its share too
            row, label = torch.cat([labels, labels.sum(1, keepdim=True) == 0], dim=1).numpy().nonzero()
            classes += 1
        else:
            row, label = np.arange(len(labels)), labels.numpy()
        number = len(units.key)
        pair, count = np.unique(label * number + units.of[row], return_counts=True)
        return _Held(pair % number, pair // number, count, number, classes)

    def _per_class(self, of_pair: np.ndarray) -> np.ndarray:
        return np.bincount(self.label, weights=of_pair, minlength=self.classes)

    def left_out(self, drawn: np.ndarray) -> np.ndarray:
        """Classes that stand on one side alone though they have units for two, or are all carved off."""
        has, taken = self._per_class(np.ones_like(self.unit)), self._per_class(drawn[self.unit])
        return (((has >= 2) & (taken == 0)) | ((has >= 1) & (taken == has))).nonzero()[0]

    def misjudged(self, drawn: np.ndarray, fraction: float) -> np.ndarray:
        """Classes of several units whose share among what is drawn is not explained by chance."""
        has = self._per_class(np.ones_like(self.unit))
        off = self._per_class(self.count * (drawn[self.unit] - fraction))
        variance = fraction * (1 - fraction) * self._per_class(self.count.astype(np.float64) ** 2)
        return ((has >= 2) & (np.abs(off) > BEYOND_CHANCE * np.sqrt(variance))).nonzero()[0]

    def within(self, draw: np.ndarray, fraction: float) -> np.ndarray:
        """Which units (U,) bool are carved off where each class gives its share."""
        has = self._per_class(np.ones_like(self.unit)).astype(int).tolist()
        rows = self._per_class(self.count).tolist()
        order = np.lexsort((draw[self.unit], self.label))
        of_class: list[list[tuple[int, int]]] = [[] for _ in range(self.classes)]
        of_unit: list[list[tuple[int, int]]] = [[] for _ in range(self.units)]
        for at in order.tolist():
            unit, label, count = int(self.unit[at]), int(self.label[at]), int(self.count[at])
            of_class[label].append((unit, count))
            of_unit[unit].append((label, count))
        chosen, decided = np.zeros(self.units, dtype=bool), np.zeros(self.units, dtype=bool)
        left, taken = list(has), [0] * self.classes

        def take(unit: int) -> None:
            chosen[unit] = True
            for label, count in of_unit[unit]:
                left[label] -= 1
                taken[label] += count

        def may_go(unit: int) -> bool:
            return not decided[unit] and not chosen[unit] and all(left[label] > 1 for label, _ in of_unit[unit])

        for label in sorted(range(self.classes), key=lambda label: (has[label], label)):
            share = fraction * rows[label]
            for unit, count in of_class[label]:
                if abs(taken[label] + count - share) < abs(taken[label] - share) and may_go(unit):
                    take(unit)
            if not taken[label]:
                small = [(count, at) for at, (unit, count) in enumerate(of_class[label]) if may_go(unit)]
                if small:
                    take(of_class[label][min(small)[1]][0])
            for unit, _ in of_class[label]:
                decided[unit] = True
        return chosen

    def with_every_class_left(self, drawn: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """What is drawn, less the unit of the largest draw of each class that would be carved off whole."""
        kept = drawn.copy()
        order = np.lexsort((draw[self.unit], self.label))
        last = order[np.append(self.label[order][1:] != self.label[order][:-1], True)]
        whole = self._per_class(~drawn[self.unit]) == 0
        for at in last[whole[self.label[last]]].tolist():
            kept[self.unit[at]] = False
        return kept
