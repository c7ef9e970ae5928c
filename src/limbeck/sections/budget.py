"""What a student may cost: the costs that a budget names, and the field that holds one. No torch"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from ..errors import did_you_mean


@dataclass(frozen=True)
class Cost:
    """How a cost is spoken of: ``words`` says what it is, ``unit`` follows its number, ``whole`` numbers count things."""

    words: str
    unit: str
    whole: bool = False


COSTS: dict[str, Cost] = {
    "latency_ms": Cost("median latency of one example on one thread", "ms"),
    "size_kb": Cost("size of the file", "KB"),
    "memory_mb": Cost("memory that loading and running it adds", "MB"),
    "energy_mj": Cost("energy of one example, by the machine's counters", "mJ"),
    "macs": Cost("multiply-accumulates of one example", "MACs", whole=True),
    "parameters": Cost("learned numbers", "parameters", whole=True),
}
"""Costs of an exported student, by the names that budgets have for them (1 KB = 1000 B, 1 MB = 1000 KB)."""


def _known(budget: dict[str, float]) -> dict[str, float]:
    for name in budget:
        if name not in COSTS:
            raise ValueError(f"no cost is called '{name}'.{did_you_mean(name, COSTS)}".removesuffix("."))
    return budget


Budget = Annotated[dict[str, Annotated[float, Field(gt=0, le=1e15)]], AfterValidator(_known)]
"""The most that a student may cost, by the names in :data:`COSTS`."""
