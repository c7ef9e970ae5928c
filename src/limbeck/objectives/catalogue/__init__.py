"""What there is to match, and when: every objective with its paper, formula, needs and defaults. Needs no torch."""

from __future__ import annotations

from .divergences import DIVERGENCES
from .entry import Entry
from .features import FEATURE_OBJECTIVES
from .regression import REGRESSION
from .responses import RESPONSES
from .sequences import PARTS_AND_SEVERAL, SEQUENCES
from .transformers import TRANSFORMER_OBJECTIVES

GROUPS: dict[str, tuple[Entry, ...]] = {
    "Answers": RESPONSES,
    "Divergences": DIVERGENCES,
    "Numbers": REGRESSION,
    "Features and relations": FEATURE_OBJECTIVES,
    "Transformers": TRANSFORMER_OBJECTIVES,
    "Sequences": SEQUENCES,
    "Sparse teachers and several teachers": PARTS_AND_SEVERAL,
}
"""The entries by heading, in the order in which they are listed."""

CATALOGUE: dict[str, Entry] = {entry.name: entry for entries in GROUPS.values() for entry in entries}
"""The entries by name."""

__all__ = ["CATALOGUE", "GROUPS", "Entry"]
