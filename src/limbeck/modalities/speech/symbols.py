"""From logits of frames to symbols: the likeliest path, and a search over what paths have in common. Stands alone.

Shapes: L frames, V symbols, of which 0 is the blank.
"""

from __future__ import annotations

import numpy as np

from ...models.exported import softmax

_UNLIKELY = -7.0  # natural logarithm: symbols of under a thousandth open no prefix


def path_of(logits_LV: np.ndarray) -> list[tuple[int, int]]:
    """The symbols of the likeliest path, each with the frame at which it begins: equal neighbours are one, blanks none."""
    best = logits_LV.argmax(axis=1)
    begins = np.flatnonzero(np.append(True, best[1:] != best[:-1])[: len(best)])
    return [(int(best[at]), int(at)) for at in begins if best[at]]


def beam(logits_LV: np.ndarray, width: int) -> list[tuple[tuple[int, ...], float]]:
    """The likeliest sequences of symbols with the natural logarithm of their probability over all paths, best first, ``width`` at most.

    Prefix search (Hannun et al. 2014, "First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs"),
    in which a prefix that ends in a blank and the same one that ends in its last symbol are counted apart.
    """
    log_LV = np.log(np.maximum(softmax(logits_LV), 1e-300))
    nothing = -np.inf
    prefixes: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, nothing)}
    for log_V in log_LV:
        grown: dict[tuple[int, ...], tuple[float, float]] = {}

        def add(prefix: tuple[int, ...], blank: float, symbol: float, into: dict = grown) -> None:
            was = into.get(prefix, (nothing, nothing))
            into[prefix] = (float(np.logaddexp(was[0], blank)), float(np.logaddexp(was[1], symbol)))

        likely = [int(v) for v in np.flatnonzero(log_V > _UNLIKELY) if v]
        for prefix, (blank, symbol) in prefixes.items():
            either = float(np.logaddexp(blank, symbol))
            add(prefix, either + log_V[0], symbol + log_V[prefix[-1]] if prefix else nothing)
            for v in likely:
                # the same symbol once more is another one after a blank alone
                before = blank if prefix and prefix[-1] == v else either
                if before > nothing:
                    add((*prefix, v), nothing, before + log_V[v])
        best = sorted(grown, key=lambda prefix: -np.logaddexp(*grown[prefix]))[:width]
        prefixes = {prefix: grown[prefix] for prefix in best}
    return [(prefix, float(np.logaddexp(*scores))) for prefix, scores in prefixes.items()]
