"""Asking the teacher again, about a few stored answers, and comparing.

Shapes: N examples, R replayed answers, B batch, P rows (as many, or all their positions where ragged).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .. import randomness
from ..errors import BadInput
from ..interfaces import Hypotheses, Sampled, Values
from ..interfaces.task import Ask
from .codecs import Rows, answer_width
from .codecs.base import CHUNK, wide
from .codecs.sample import SampleCodec
from .store.as_logits import distribution, reencoded
from .store.store import Store
from .teacher_pass import flat, rows_of

ROUNDING = 1e-3  # of a probability: what another batch size, machine or version may change
MOST = 0.05  # a codec that loses much, or draws, is still held to this


@dataclass(frozen=True)
class Replay:
    """What came of it, in the order of example and view.

    ``difference`` is the total variation distance between what is stored and what would be stored now: half the sum of
    the absolute differences of probabilities, 0 where they are equal and 1 where they have nothing in common; where classes
    were drawn, how far the draws are from being the teacher's (:func:`replay`); of a regression the largest difference of
    a number, as a share of that number's root mean square in the store's sample. Of a
    sequence it is that of the position where it is largest, and 1 where the sequence has another length now.
    """

    ids: np.ndarray  # (R,) int64
    view: np.ndarray  # (R,) int64
    difference: np.ndarray  # (R,) float64
    allowed: float
    seed: int
    of: int  # how many answers the store holds

    @property
    def differing(self) -> np.ndarray:
        """Positions (D,) of the answers that differ by more than is allowed, the worst first."""
        worst_first = np.argsort(-self.difference, kind="stable")
        # "not at most", so that NaN differs
        return worst_first[~(self.difference[worst_first] <= self.allowed)]


def replay(store: Store, ask: Ask, ids_N: Tensor, count: int, seed: int, batch_size: int = 512) -> Replay:
    """Asks about ``count`` random answers of the store again; ``ask`` and ``ids_N`` as in :func:`cast`.

    The teacher's new answer goes through the store's codec before it is compared, so that a codec which keeps little is
    held to what it does keep. What is left is rounding: allowed are ``ROUNDING`` and, for a codec whose rounding can tip
    over, its own measured error as a total variation distance (Pinsker: at most sqrt(KL / 2)), at most ``MOST``.

    Where classes were drawn, the last bit of an answer can have another one drawn. So there the difference is how far a
    count is from its share beyond one draw, or, if that is more, by how much more than ``MOST`` the stored draws are
    farther from the teacher's distribution than new ones.
    """
    sorted_N, order_N = ids_N.cpu().sort()
    count_N = torch.as_tensor(store.view_counts(torch.from_numpy(store.ids))).cpu().expand(len(store))
    end_N = count_N.cumsum(0)
    total = int(end_N[-1])
    chosen_R = _draw(total, count, seed)
    row_R = torch.searchsorted(end_N, chosen_R, right=True)
    view_R, ids_R = chosen_R - (end_N - count_N)[row_R], torch.from_numpy(store.ids)[row_R]
    gone_R = ids_R[~torch.isin(ids_R, sorted_N)]
    if len(gone_R):
        raise BadInput(f"{store.path} answers example id {int(gone_R[0])}, which is not among the data.")
    difference_R = torch.empty(len(chosen_R), dtype=torch.float64)
    for view in view_R.unique().tolist():
        of_view = (view_R == view).nonzero()[:, 0]
        for part_B in of_view.split(batch_size):
            ids_B = ids_R[part_B]
            answer = ask(order_N[torch.searchsorted(sorted_N, ids_B)], view)
            logits_PC, lengths_B = flat(answer, len(ids_B), answer_width(store.codec, store.classes), store.ragged)
            difference_R[part_B] = _differences(store, logits_PC.cpu(), lengths_B, ids_B, view)
    return Replay(ids_R.numpy(), view_R.numpy(), difference_R.numpy(), allowed(store), seed, total)


def _differences(store: Store, logits_PC: Tensor, lengths_B: Tensor, ids_B: Tensor, view: int) -> Tensor:
    """How far the stored answers are from what these logits would be stored as: float64 (B,)."""
    stored = store.encoded(ids_B, torch.full_like(ids_B, view))
    stored_lengths_B = lengths_B if stored.length_B is None else stored.length_B
    alike_B = lengths_B == stored_lengths_B
    rows = rows_of(ids_B, view, lengths_B)
    now_P = alike_B.repeat_interleave(lengths_B).nonzero()[:, 0]
    then_P = alike_B.repeat_interleave(stored_lengths_B).nonzero()[:, 0]
    difference_P = torch.empty(len(now_P), dtype=torch.float64)
    for here in torch.arange(len(now_P)).split(max(1, CHUNK // store.classes)):
        now, at = now_P[here], then_P[here]
        asked = reencoded(store, logits_PC[now], Rows(rows.ids_N[now], view, rows.position_N[now]))
        kept = store.codec.decode({name: column[at] for name, column in stored.columns.items()}, store.classes)
        if isinstance(kept, Values) and isinstance(asked, Values):
            difference_P[here] = _of_numbers(kept, asked, _of_each(store))
        elif isinstance(kept, Hypotheses) and isinstance(asked, Hypotheses):
            difference_P[here] = _of_transcripts(kept, asked)
        elif isinstance(store.codec, SampleCodec) and isinstance(kept, Sampled):
            difference_P[here] = _of_draws(store.codec, logits_PC[now], kept, asked)
        else:
            difference_P[here] = _apart(distribution(asked, store.classes), distribution(kept, store.classes))
    example_P = torch.arange(len(ids_B)).repeat_interleave(lengths_B)[now_P]
    return (~alike_B).double().scatter_reduce(0, example_P, difference_P, "amax")


def _of_transcripts(kept: Hypotheses, asked: Hypotheses) -> Tensor:
    """The total variation between the weights of transcripts, each of its symbols: float64 (P,)."""

    def weighed(of: Hypotheses, p: int) -> dict[tuple[int, ...], float]:
        rows = zip(of.symbols[p].tolist(), of.lengths[p].tolist(), of.weights[p].tolist(), strict=True)
        return {tuple(symbols[:size]): weight for symbols, size, weight in rows if size >= 0}

    found = []
    for p in range(len(kept.lengths)):
        then, now = weighed(kept, p), weighed(asked, p)
        found.append(sum(abs(then.get(one, 0.0) - now.get(one, 0.0)) for one in {*then, *now}) / 2)
    return torch.tensor(found, dtype=torch.float64)


def _of_numbers(kept: Values, asked: Values, of_D: Sequence[Mapping[str, float]]) -> Tensor:
    """The largest difference of a number, or of its deviation, as a share of that number's size: float64 (P,)."""
    size_D = torch.tensor([_size(one) for one in of_D], dtype=torch.float64)
    off_PD = (asked.values - kept.values).abs()
    if asked.spread is not None and kept.spread is not None:
        off_PD = torch.maximum(off_PD, (asked.spread - kept.spread).abs())
    return (off_PD.double() / size_D).amax(1)


def _of_each(store: Store) -> Sequence[Mapping[str, float]]:
    """What is known of the size of each number; of a store of an earlier version, of all together."""
    error = store.manifest["codec"]["error"]
    return error.get("per_number") or [error]


def _size(number: Mapping[str, float]) -> float:
    """What a number's differences are shares of: its root mean square in the store's sample."""
    return float(number["rms"]) or 1.0


def _of_draws(codec: SampleCodec, logits_PC: Tensor, then: Sampled, now: Sampled) -> Tensor:
    """How far draws are from being some of these logits': float64 (P,)."""
    classes = logits_PC.shape[1]
    drawn_from_PC = (wide(logits_PC) / (codec.proposal or codec.temperature)).softmax(1).cpu()
    asked_for_PX = torch.nn.functional.pad(drawn_from_PC, (0, 1))
    far_P, far_now_P = (_apart(distribution(one, classes), asked_for_PX) for one in (then, now))
    counted = codec.counted(classes)
    ids_PK, counts_PK = then.ids[:, :counted], then.counts[:, :counted].double()
    share_PK = drawn_from_PC.gather(1, ids_PK.clamp(min=0)).masked_fill(ids_PK < 0, 0.0)
    off_PK = (counts_PK / codec.draws - share_PK).abs() - 1 / codec.draws  # less than one draw is chance
    off_P = torch.nn.functional.pad(off_PK, (0, 1)).amax(1)
    return torch.maximum(off_P, far_P - far_now_P - MOST) if counted < classes else off_P


def _apart(one_PX: Tensor, other_PX: Tensor) -> Tensor:
    """The total variation distance of each row (P,)."""
    return (one_PX - other_PX).abs().sum(-1) / 2


def allowed(store: Store) -> float:
    """The difference between two castings of one answer that rounding can account for."""
    measured = store.manifest["codec"]["error"] or {}
    if store.codec.kind is Values:  # one rounding may tip over into the next number
        return ROUNDING + 2 * max(one["max_difference"] / _size(one) for one in _of_each(store))
    error = measured.get("p99_kl") or 0.0
    return ROUNDING + min(MOST, math.sqrt(max(error, 0.0) / 2))


def _draw(total: int, count: int, seed: int) -> Tensor:
    """``count`` different numbers below ``total``, ascending; all of them where there are no more."""
    if count >= total:
        return torch.arange(total)
    drawn, size = torch.empty(0, dtype=torch.int64), count
    while len(drawn) < count:
        size *= 2
        # one word below a large total by its remainder: favoured by less than total / 2**63
        words = randomness.bits(seed, torch.arange(size), 0, "targets.replay") % total
        seen = set[int]()
        first = [word for word in words.tolist() if not (word in seen or seen.add(word))]
        drawn = torch.tensor(first[:count])
    return drawn.sort().values
