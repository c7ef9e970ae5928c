"""What the zeros of a sparse student save once its files are compressed, and what they cost"""

from __future__ import annotations

from typing import Any

from ..evaluation.figure import Figure
from ..evaluation.wording import counted
from . import figures, formats
from .formats import dig, figure

SIZES = ("bytes", "gzip", "zstd")


def content(results: dict[str, Any], first: Figure | None) -> dict[str, Any] | None:
    """``lead``, ``rows`` of (file, zeros, sizes with their shares) and sentences ``said``; None where no weights were to be zero."""
    found = dig(results, "sparsity")
    if not found:
        return None
    zeros, weights, epochs = (dig(found, name) for name in ("zeros", "weights", "epochs"))
    share = formats.percent(zeros / weights if zeros is not None and weights else None, 1)
    lead = (
        f"Of the student's {formats.count(weights)} weights {formats.count(zeros)} are zero ({share}), set once it was trained; it then went "
        f"on for {counted(int(epochs or 0), 'epoch')}, taught as before, with them held."
    )
    whole = figure(dig(found, "dense", "bytes"))
    rows = [("float32, before", dig(found, "dense")), *(dig(found, "files") or {}).items()]
    said = []
    if first is not None:
        before, after = (figures.value(first, dig(found, "validation", at)) for at in ("before", "after"))
        said.append(
            f"On validation its {first.title} was {before} before and is {after} now. The controls went on likewise."
        )
    said.append(_time(dig(found, "time_over_dense")))
    return {"lead": lead, "rows": [(name, _zeros(one), _sizes(one, whole)) for name, one in rows], "said": said}


def _zeros(one: Any) -> str:
    return formats.percent(dig(one, "zeros"), 1)


def _sizes(one: Any, whole: float | None) -> list[tuple[str, str]]:
    told = []
    for name in SIZES:
        size = figure(dig(one, name))
        told.append((formats.size(size), f"{size / whole:.2f}" if size is not None and whole else ""))
    return told


def _time(found: Any) -> str:
    ratio, low, high = (figure(dig(found, name)) for name in ("ratio", "low", "high"))
    said = "Zeros are multiplied like any other number, so that it is no faster"
    if ratio is None or low is None or high is None:
        return f"{said}."
    busy = ", on a busy machine" if dig(found, "disturbed") else ""
    return (
        f"{said}: its float32 file took {ratio:.2f} times as long as that of the student before (95 % interval {low:.2f} to {high:.2f}), "
        f"in turns{busy}."
    )
