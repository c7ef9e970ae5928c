"""Words that sentences about results are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import printable


def listed(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def counted(count: int, thing: str) -> str:
    """``1 group``, ``2,000 groups``."""
    return f"{count:,} {thing}{'s' * (count != 1)}"


def quoted(name: Any) -> str:
    """A name from the data, in quotes, short, with what cannot be seen made visible."""
    text = printable(str(name))
    return f"'{text if len(text) <= 40 else text[:39] + '…'}'"
