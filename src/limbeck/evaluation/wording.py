"""Words that sentences about results are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import printable
from .figure import Figure


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


def articled(title: str) -> str:
    """A figure's title with its article: ``an accuracy``, ``an RMSE``."""
    letter = title[0] in "AEFHILMNORSX" if title[:2].isupper() else title[0] in "aeiou"
    return f"{'an' if letter else 'a'} {title}"


def over_seeds(figure: Figure, found: Mapping[str, Any]) -> str:
    """A figure over seeds, as sentences say it, without its unit: ``97.9 ± 0.2``; shares with one digit."""
    digits = 1 if figure.share else figure.decimals(found["mean"])
    spread = f" ± {figure.number(found['sd'], digits)}" if found["sd"] is not None else ""
    return f"{figure.number(found['mean'], digits)}{spread}"


def short_of(parity: Mapping[str, Any], named: Sequence[Figure], example: str) -> str:
    """Which limits the file of a format misses, as its ``parity`` in the results has them; empty where it meets them all."""
    if parity.get("passed") is not False:
        return ""
    said, limits = [], parity["limits"]
    if parity["agreement"] < (least := limits.get("agreement", 0)):
        said.append(
            f"the answer is the trained student's on {100 * parity['agreement']:.1f} % (at least {100 * least:.0f} %)"
        )
    for one in named:
        if one.name in limits and not parity[one.name] <= limits[one.name]:
            most = limits[one.name]
            said.append(f"{one.title} is {one.number(parity[one.name])} (at most {one.number(most)})")
    where = f"on {counted(parity['n'], f'validation {example}')}"
    return f"{where} {listed(said)}" if said else f"{where} it answers otherwise than the trained student"


def what_of(results: Mapping[str, Any]) -> str:
    """What one example is called: ``image``."""
    return (results.get("data") or {}).get("example") or "example"
