"""What was said beside what should have been said: the fewest edits from one to the other (Levenshtein 1966), and which they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

Symbol = TypeVar("Symbol")


class Edits(NamedTuple):
    """How many of each kind turn what should have been said into what was said."""

    insertions: int
    deletions: int
    substitutions: int

    @property
    def all(self) -> int:
        """All of them."""
        return sum(self)


def aligned(told: Sequence[Symbol], wanted: Sequence[Symbol]) -> list[tuple[Symbol | None, Symbol | None]]:
    """Pairs of what was said and what should have been, in order, with as few edits as there can be.

    (a, a) is right, (a, b) a substitution, (a, None) an insertion, (None, b) a deletion. Of several ways that are as short it is
    the one that has, from the end on, a pair before a deletion, and that before an insertion.
    """
    rows = [list(range(len(wanted) + 1))]
    for i, one in enumerate(told, 1):
        before, here = rows[-1], [i]
        for j, other in enumerate(wanted, 1):
            pair = before[j - 1] + (one != other)
            edit = min(before[j], here[-1]) + 1
            here.append(pair if pair <= edit else edit)
        rows.append(here)
    pairs: list[tuple[Symbol | None, Symbol | None]] = []
    i, j = len(told), len(wanted)
    while i or j:
        if i and j and rows[i][j] == rows[i - 1][j - 1] + (told[i - 1] != wanted[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((told[i], wanted[j]))
        elif j and rows[i][j] == rows[i][j - 1] + 1:
            j -= 1
            pairs.append((None, wanted[j]))
        else:
            i -= 1
            pairs.append((told[i], None))
    return pairs[::-1]


def edits(told: Sequence[Symbol], wanted: Sequence[Symbol]) -> Edits:
    """The edits of :func:`aligned`, counted."""
    pairs = aligned(told, wanted)
    insertions, deletions = (sum(pair[side] is None for pair in pairs) for side in (1, 0))
    return Edits(insertions, deletions, sum(a != b for a, b in pairs) - insertions - deletions)


def words(symbols: Sequence[Symbol], between: Symbol) -> list[tuple[Symbol, ...]]:
    """Symbols as words: what lies between those that part them, and is not empty."""
    found: list[list[Symbol]] = [[]]
    for one in symbols:
        if one == between:
            found.append([])
        else:
            found[-1].append(one)
    return [tuple(word) for word in found if word]
