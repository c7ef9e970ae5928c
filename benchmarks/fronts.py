"""What benchmarks of the search share about fronts: where a student stands, and how much of the space a front covers. No torch.

More is better on every axis: quality with its sign, and of each cost the logarithm, taken negative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Point = tuple[float, ...]


def standing(quality: float, cost: Mapping[str, float], names: Sequence[str], sign: int) -> Point:
    """A student as a point; ``sign`` is -1 where less of the quality is better."""
    return (sign * quality, *(-math.log(max(cost[name], 1e-12)) for name in names))


def normalised(points: Sequence[Point], among: Sequence[Point]) -> list[Point]:
    """Each axis from 0, the worst of ``among``, to 1, the best; an axis on which all of these are alike is 1."""
    ends = [(min(axis), max(axis)) for axis in zip(*among, strict=True)]
    return [
        tuple((at - low) / (high - low) if high > low else 1.0 for at, (low, high) in zip(point, ends, strict=True))
        for point in points
    ]


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume of all that is better than the reference in everything, and that a point is at least as good as. Exact.

    By slices along the last axis (While et al. 2006, "A faster algorithm for calculating hypervolume", section III): between
    two neighbouring heights the points that reach the upper one cover what they cover with one axis less.
    """
    inside = [point for point in points if all(at > zero for at, zero in zip(point, reference, strict=True))]
    if not inside:
        return 0.0
    if len(reference) == 1:
        return max(point[0] for point in inside) - reference[0]
    heights = sorted({point[-1] for point in inside}, reverse=True)
    return sum(
        (upper - lower) * hypervolume([point[:-1] for point in inside if point[-1] >= upper], reference[:-1])
        for upper, lower in zip(heights, [*heights[1:], reference[-1]], strict=True)
    )


def covered(points: Sequence[Point], among: Sequence[Point], quality: float = 0.0) -> float:
    """The hypervolume of normalised points. The reference is the worst of ``among`` on every axis; of quality, this much above it."""
    return hypervolume(normalised(points, among), (quality, *(0.0 for _ in among[0][1:])))


def front(points: Sequence[Point]) -> list[int]:
    """The places of the points that no other beats: none is at least as good on every axis, and another point."""
    return [
        place
        for place, point in enumerate(points)
        if not any(other != point and all(a >= b for a, b in zip(other, point, strict=True)) for other in points)
    ]
