"""Where ids stand in a long sorted list, in constant time. B asked for, N in the list."""

from __future__ import annotations

import numpy as np


class Lookup:
    """The places of ids in ``ids`` (N,): int64, ascending, no two alike, N at least 1.

    A table over equal parts of the ids' range tells the first place in each part. Example ids are random bits, and parts
    are two to four times as many as ids, so that most stand alone in theirs; so do those of a list without gaps. The rest
    is sought by bisection, as are all of a list that clusters.
    """

    def __init__(self, ids: np.ndarray) -> None:
        self._ids = ids
        span = int(ids[-1]) - int(ids[0])
        self._shift = max(0, span.bit_length() - (2 * len(ids) - 1).bit_length())
        self._before = int(ids[0]) >> self._shift  # parts of the range below the first id; none for random bits
        part_N = self._parts(ids)
        counts = np.bincount(part_N)
        first = np.cumsum(counts) - counts
        self._first = first.astype(np.int32 if len(ids) < 1 << 31 else np.int64)

    def places(self, ids_B: np.ndarray) -> np.ndarray | None:
        """The place of each (B,), int64; None where one of them is not in the list."""
        # "clip" gives ids out of range some place as well: it is a first guess
        place_B = self._first.take(self._parts(ids_B), mode="clip").astype(np.int64)
        (lost_L,) = (self._ids.take(place_B, mode="clip") != ids_B).nonzero()
        if len(lost_L):
            lost_ids_L = ids_B.take(lost_L)
            found_L = self._ids.searchsorted(lost_ids_L)
            if np.count_nonzero(self._ids.take(found_L, mode="clip") != lost_ids_L):
                return None
            place_B[lost_L] = found_L
        return place_B

    def _parts(self, ids_B: np.ndarray) -> np.ndarray:
        """In which part of the range each stands."""
        part_B = ids_B >> self._shift
        if self._before:
            part_B -= self._before
        return part_B
