"""What a CTC teacher heard: its most probable transcripts, by prefix beam search (Hannun et al. 2014, algorithm 1).

Shapes: B utterances, L frames, V symbols with the blank as class 0, K transcripts, T symbols of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..interfaces import DenseLogits, Hypotheses, RaggedLogits, TopK

BLANK = 0
BEST, BEAM = 4, 16  # transcripts that are looked for where nothing else is said, and how many beginnings are kept
LEAST = 1e-4  # probability of a symbol at a frame, below which it begins no other transcript


class Heard(NamedTuple):
    """One transcript, and the probability of all alignments of it that the search kept."""

    symbols: tuple[int, ...]
    probability: float


def best_of(probabilities_LV: Sequence[Sequence[float]], best: int, beam: int, least: float = LEAST) -> list[Heard]:
    """The most probable transcripts, the best first; of two that are alike the one that sorts first.

    ``beam`` prefixes are kept at each frame. With as many as there are, and ``least`` 0, probabilities are exact. They are relative to
    the best one's: of a long recording all of them are too small for a float.
    """
    kept: dict[tuple[int, ...], tuple[float, float]] = {
        (): (1.0, 0.0)
    }  # of alignments that end with a blank, and of others
    for frame_V in probabilities_LV:
        said = [symbol for symbol, chance in enumerate(frame_V) if symbol != BLANK and chance > least]
        found: dict[tuple[int, ...], list[float]] = {}
        for prefix, (blank, other) in kept.items():
            last = prefix[-1] if prefix else BLANK
            here = found.setdefault(prefix, [0.0, 0.0])
            here[0] += (blank + other) * frame_V[BLANK]
            if prefix:
                here[1] += other * frame_V[last]
            for symbol in said:
                # after the same symbol only a blank lets another one begin
                chance = (blank if symbol == last else blank + other) * frame_V[symbol]
                if chance > 0:
                    found.setdefault((*prefix, symbol), [0.0, 0.0])[1] += chance
        ranked = sorted(found.items(), key=lambda one: (-sum(one[1]), one[0]))[:beam]
        most = sum(ranked[0][1]) or 1.0
        kept = {prefix: (blank / most, other / most) for prefix, (blank, other) in ranked}
    return [Heard(prefix, blank + other) for prefix, (blank, other) in list(kept.items())[:best] if blank + other > 0]


def hypotheses_of(answer: RaggedLogits, best: int, beam: int) -> Hypotheses:
    """Of each utterance the ``best`` transcripts that a search finds, weighted by their probabilities, which add up to 1."""
    rows = answer.logits.detach().to("cpu", torch.float64).softmax(-1).split(answer.lengths.tolist())
    return packed([best_of(row_LV.tolist(), best, beam) for row_LV in rows], best)


def packed(heard: Sequence[Sequence[Heard]], best: int) -> Hypotheses:
    """Transcripts of utterances as tensors on the CPU: (B, K, T), T the longest, 1 at least."""
    longest = max((len(one.symbols) for of in heard for one in of), default=0)
    symbols_BKT = torch.zeros(len(heard), best, max(longest, 1), dtype=torch.int64)
    lengths_BK = torch.full((len(heard), best), -1)
    weights_BK = torch.zeros(len(heard), best)
    for b, of in enumerate(heard):
        total = sum(one.probability for one in of)
        for k, one in enumerate(of):
            symbols_BKT[b, k, : len(one.symbols)] = torch.tensor(one.symbols, dtype=torch.int64)
            lengths_BK[b, k], weights_BK[b, k] = len(one.symbols), one.probability / total
    return Hypotheses(symbols_BKT, lengths_BK, weights_BK)


def ragged(answer: DenseLogits | TopK, lengths_B: Tensor, classes: int) -> RaggedLogits:
    """A padded answer (B, L, ...) as logits one frame after another; classes that are not kept share what is left evenly."""
    logits_BLV = answer.logits if isinstance(answer, DenseLogits) else _all_classes(answer, classes)
    there_BL = torch.arange(logits_BLV.shape[1], device=logits_BLV.device) < lengths_B[:, None]
    return RaggedLogits(logits_BLV[there_BL], lengths_B.cpu())


def _all_classes(answer: TopK, classes: int) -> Tensor:
    others = max(classes - answer.ids.shape[-1], 1)
    rest = answer.log_rest[..., answer.temperatures.index(min(answer.temperatures, key=lambda one: abs(one - 1))), None]
    each = (rest - torch.tensor(float(others)).log()).expand(*answer.ids.shape[:-1], classes)
    return each.scatter(-1, answer.ids, answer.logits)
