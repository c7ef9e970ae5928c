"""The hypervolume that the benchmarks of the search print, held to a count of cells."""

import itertools
import math
import random

import pytest

from benchmarks.fronts import covered, front, hypervolume, normalised, standing


def cells(points: list[tuple[float, ...]], reference: tuple[float, ...], side: int) -> int:
    """How many unit cells above the reference some point covers."""
    corners = itertools.product(*(range(int(zero), side) for zero in reference))
    return sum(any(all(at > low for at, low in zip(point, corner)) for point in points) for corner in corners)


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_the_hypervolume_is_that_of_the_cells_that_are_covered(axes: int) -> None:
    draw, side = random.Random(axes), 6
    for count in (0, 1, 2, 5, 12):
        for zero in (0, 2):
            points = [tuple(float(draw.randint(0, side)) for _ in range(axes)) for _ in range(count)]
            reference = (float(zero),) * axes
            assert hypervolume(points, reference) == cells(points, reference, side)


def test_points_that_others_beat_add_nothing() -> None:
    draw = random.Random(7)
    points = [tuple(draw.random() for _ in range(3)) for _ in range(40)]
    best = [points[place] for place in front(points)]
    assert len(best) < len(points)
    assert math.isclose(hypervolume(best, (0.0,) * 3), hypervolume(points, (0.0,) * 3), rel_tol=1e-12)
    without = best[1:]
    assert hypervolume(without, (0.0,) * 3) < hypervolume(best, (0.0,) * 3)


def test_axes_run_from_the_worst_to_the_best() -> None:
    costs = [1.0, 10.0, 100.0]
    points = [standing(quality, {"ms": ms}, ["ms"], 1) for quality, ms in zip([0.5, 0.8, 0.9], costs)]
    assert [[round(at, 12) for at in one] for one in normalised(points, points)] == [
        [0, 1],
        [0.75, 0.5],
        [1, 0],
    ]
    assert math.isclose(covered(points, points), 0.375)  # the middle one alone is better than the worst in both
    assert math.isclose(covered(points, points, quality=0.5), 0.125)
    errors = [standing(error, {"ms": 1.0}, ["ms"], -1) for error in (0.5, 0.1)]
    assert covered(errors, errors) == 1  # all cost the same: quality alone counts
