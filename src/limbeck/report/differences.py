"""The examples on which teacher and student differ most, of any kind of answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .shown import Shown

SHOWN = 6  # examples in a group


def most_different(
    score_N: np.ndarray, show: Callable[[int], Shown] | None, *, shown: int = SHOWN
) -> list[tuple[int, Shown | None]]:
    """Positions of the largest scores, and what is shown of each, the largest first.

    Of examples that say the same only the first is shown, of ties the first in storage order, and none of a score of
    zero or below.
    """
    found: list[tuple[int, Shown | None]] = []
    seen: set[Shown] = set()
    ranked: list[int] = np.argsort(-score_N, kind="stable").tolist()
    for position in ranked:
        # NaN, from answers that are no numbers, compares false and is left out as well.
        if len(found) == shown or not score_N[position] > 0:
            break
        example = show(position) if show is not None else None
        if example is not None:
            if example in seen:
                continue
            seen.add(example)
        found.append((position, example))
    return found
