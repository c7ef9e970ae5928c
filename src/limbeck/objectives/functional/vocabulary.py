"""Few passes over a large vocabulary: what objectives read of the student's logits, read together.

An objective on a sparse teacher, and cross-entropy with a class id, need a handful of the student's logits at a position
and the log-sum-exp of the others. Those of one temperature share a pass forward and a pass backward over (..., C).
Rows: the leading dimensions of logits ``(..., C)`` flattened, so N rows of C; k classes apart, m classes named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import common
from .common import at_least_float32, check_temperature, rows_of_a_chunk, silenced, unless_all

__all__ = ["Reading", "totals_of"]


class Seen(NamedTuple):
    """Logits over T at N rows, each less the row's largest: nothing that is lost by rounding is a matter of a constant."""

    kept_Nk: Tensor  # at the classes apart; -inf for padding
    rest_N: Tensor  # log-sum-exp over all classes but those; -inf where there are none
    named_Nm: Tensor  # at the classes named

    @property
    def log_sum_N(self) -> Tensor:
        """Log-sum-exp over all classes."""
        if not self.kept_Nk.shape[1]:
            return self.rest_N
        return torch.cat([self.kept_Nk, self.rest_N[:, None]], dim=1).logsumexp(1)


@dataclass(frozen=True)
class Reading:
    """What an objective reads of the student's logits, and what it makes of them.

    Tensors have the leading dimensions of the logits. Where ``counts`` is false nothing is read of the logits, and what
    ``values_of`` captured must be harmless there (:func:`harmless`).
    """

    temperature: float
    values_of: Callable[[Seen], Tensor]  # -> (N,)
    named: Tensor  # (..., m) classes; negative: read as class 0
    apart: Tensor | None = None  # (..., k) classes whose mass is not in the rest; negative: padding
    counts: Tensor | None = None  # (...) bool: the positions that count; None: all


def harmless(tensor: Tensor, counts: Tensor | None, dims: int) -> Tensor:
    """The tensor with 0 where ``counts``, (...) of so many dims, is false; it may have dimensions more."""
    if counts is None:
        return tensor
    if counts.dim() != dims or counts.shape != tensor.shape[:dims]:
        raise ValueError(f"mask {tuple(counts.shape)} must have one value a position: {tuple(tensor.shape[:dims])}")
    return tensor.masked_fill(~counts.reshape(*counts.shape, *([1] * (tensor.dim() - dims))), 0)


def totals_of(student_logits: Tensor, readings: Sequence[Reading]) -> list[Tensor]:
    """The sum over the positions that count of each reading's values; those that can share a pass do."""
    positions = student_logits.shape[:-1]
    totals: dict[int, Tensor] = {}
    while len(totals) < len(readings):
        left = [place for place in range(len(readings)) if place not in totals]
        group = [place for place in left if readings[place].temperature == readings[left[0]].temperature]
        # at most one set of classes can stand apart
        apart = next((readings[place].apart for place in group if readings[place].apart is not None), None)
        group = [place for place in group if readings[place].apart is None or readings[place].apart is apart]
        for place, values_N in zip(group, _values(student_logits, [readings[place] for place in group], apart)):
            counts = readings[place].counts
            values = values_N.reshape(positions)
            # masked_fill and not a product: a masked position may hold inf
            totals[place] = (values if counts is None else values.masked_fill(~counts, 0.0)).sum()
    return [totals[place] for place in range(len(readings))]


def values_of(student_logits: Tensor, reading: Reading) -> Tensor:
    """A reading's values at every position: (...)."""
    return _values(student_logits, [reading], reading.apart)[0].reshape(student_logits.shape[:-1])


def _values(student_logits: Tensor, group: Sequence[Reading], apart: Tensor | None) -> list[Tensor]:
    counts: Tensor | None = None
    if all(reading.counts is not None for reading in group):
        counts = torch.stack([reading.counts for reading in group if reading.counts is not None]).any(0)
        counts = unless_all(counts.reshape(-1))
    rows_NC = student_logits.reshape(-1, student_logits.shape[-1])
    named = [reading.named.reshape(len(rows_NC), reading.named.shape[-1]) for reading in group]
    ids = named[0][:, :0] if apart is None else apart.reshape(len(rows_NC), apart.shape[-1])
    seen = see(rows_NC, ids, torch.cat(named, dim=1), temperature=group[0].temperature, counts_N=counts)
    parts = seen.named_Nm.split([one.shape[1] for one in named], dim=1)
    return [reading.values_of(Seen(seen.kept_Nk, seen.rest_N, part)) for reading, part in zip(group, parts)]


def see(
    logits_NC: Tensor, ids_Nk: Tensor, named_Nm: Tensor, *, temperature: float, counts_N: Tensor | None = None
) -> Seen:
    """What readings are given of rows of logits: at classes apart, of the rest together, and at classes named.

    Small inputs go through plain autograd. Large ones are read a few rows at a time: beside the logits there is one
    tensor of their size, which holds a softmax until it becomes the gradient.

    Args:
        logits_NC: the student's logits.
        ids_Nk: classes that stand apart, no two alike in a row; negative: padding.
        named_Nm: any classes; negative: read as class 0.
        temperature: T > 0.
        counts_N: bool; nothing is read of the other rows, which may hold NaN and give 0.
    """
    check_temperature(temperature)
    real_Nk = ids_Nk >= 0
    # padding stands for another id of its row, so that it takes no class out of the rest
    index_Nk = ids_Nk.where(real_Nk, ids_Nk.amax(1, keepdim=True)).long().clamp(min=0) if ids_Nk.shape[1] else ids_Nk
    some_N1 = real_Nk.any(1, keepdim=True)
    named_Nm = named_Nm.long().clamp(min=0)
    one_pass = logits_NC.numel() > common.WHOLE
    see_rows = _InOnePass.apply if one_pass else _plainly
    kept_Nk, rest_N, values_Nm = see_rows(logits_NC, index_Nk.long(), some_N1, named_Nm, counts_N, temperature)
    return Seen(kept_Nk.masked_fill(~real_Nk, -torch.inf), rest_N, values_Nm)


def _plainly(
    logits_NC: Tensor, index_Nk: Tensor, some_N1: Tensor, named_Nm: Tensor, counts_N: Tensor | None, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    scaled_NC = at_least_float32(silenced(logits_NC, counts_N)) / temperature
    largest_N1 = scaled_NC.detach().amax(1, keepdim=True)
    scaled_NC = scaled_NC - largest_N1.masked_fill(largest_N1 == -torch.inf, 0.0)
    kept_Nk = scaled_NC.gather(1, index_Nk)
    # A finite floor in place of -inf: of nothing but -inf, log-sum-exp has a NaN gradient. Of a row that is all padding
    # nothing stands apart.
    floor = torch.finfo(scaled_NC.dtype).min
    others_NC = scaled_NC.scatter(1, index_Nk, floor).where(some_N1, scaled_NC) if index_Nk.shape[1] else scaled_NC
    rest_N = others_NC.logsumexp(1)
    return kept_Nk, rest_N.masked_fill(rest_N < floor / 2, -torch.inf), scaled_NC.gather(1, named_Nm)


class _InOnePass(torch.autograd.Function):
    """The same for large inputs. The softmax of a row's rest becomes the gradient's row, where the types allow it."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        logits_NC: Tensor,
        index_Nk: Tensor,
        some_N1: Tensor,
        named_Nm: Tensor,
        counts_N: Tensor | None,
        temperature: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        keeps = ctx.needs_input_grad[0] and at_least_float32(logits_NC[:0]).dtype == logits_NC.dtype
        ctx.shares_NC = torch.empty_like(logits_NC) if keeps else None
        parts = []
        for here in _chunks(logits_NC):
            out = None if ctx.shares_NC is None else ctx.shares_NC[here]
            scaled_nC = _scaled(logits_NC[here], temperature)
            kept_nk, most_n1, shares_nC = _rest(scaled_nC, index_Nk[here], some_N1[here], out)
            largest_n1 = torch.cat([most_n1, kept_nk], dim=1).amax(1, keepdim=True)
            largest_n1 = largest_n1.masked_fill(largest_n1 == -torch.inf, 0.0)
            # The share of the largest says what log-sum-exp is: two maxima, where its index would be a slow search.
            rest_n1 = most_n1 - largest_n1 - shares_nC.amax(1, keepdim=True).log()
            rest_n1 = rest_n1.masked_fill(most_n1 == -torch.inf, -torch.inf)
            named_nm = scaled_nC.gather(1, named_Nm[here]) - largest_n1
            parts.append((kept_nk - largest_n1, rest_n1, named_nm))
        kept_Nk, rest_N1, values_Nm = (torch.cat(columns) for columns in zip(*parts))
        if counts_N is not None:
            kept_Nk, rest_N1, values_Nm = (
                part.masked_fill(~counts_N[:, None], 0.0) for part in (kept_Nk, rest_N1, values_Nm)
            )
        ctx.save_for_backward(logits_NC, index_Nk, some_N1, named_Nm, counts_N)
        ctx.temperature = temperature
        return kept_Nk, rest_N1[:, 0], values_Nm

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, of_kept_Nk: Tensor, of_rest_N: Tensor, of_named_Nm: Tensor
    ) -> tuple[Tensor | None, ...]:
        logits_NC, index_Nk, some_N1, named_Nm, counts_N = ctx.saved_tensors
        # Taken out: a second backward pass works the shares out anew.
        shares_NC, ctx.shares_NC = ctx.shares_NC, None
        gradient_NC = torch.empty_like(logits_NC) if shares_NC is None else shares_NC
        for here in _chunks(logits_NC):
            index_nk, some_n1 = index_Nk[here], some_N1[here]
            slopes_nC = gradient_NC[here]
            if shares_NC is None:
                scaled_nC = _scaled(logits_NC[here], ctx.temperature)
                out = slopes_nC if slopes_nC.dtype == scaled_nC.dtype else None
                slopes_nC = _rest(scaled_nC, index_nk, some_n1, out)[2]
            slopes_nC *= of_rest_N[here, None] / ctx.temperature
            if index_nk.shape[1]:
                slopes_nC.scatter_(1, index_nk, slopes_nC.gather(1, index_nk).masked_fill(some_n1, 0.0))
                slopes_nC.scatter_add_(1, index_nk, of_kept_Nk[here].to(slopes_nC.dtype) / ctx.temperature)
            slopes_nC.scatter_add_(1, named_Nm[here], of_named_Nm[here].to(slopes_nC.dtype) / ctx.temperature)
            if counts_N is not None:
                slopes_nC.masked_fill_(~counts_N[here, None], 0.0)
            if slopes_nC.dtype != gradient_NC.dtype:
                gradient_NC[here] = slopes_nC
        return gradient_NC, None, None, None, None, None


def _chunks(logits_NC: Tensor) -> list[slice]:
    step = rows_of_a_chunk(logits_NC)
    return [slice(low, low + step) for low in range(0, len(logits_NC), step)]


def _scaled(logits_nC: Tensor, temperature: float) -> Tensor:
    logits_nC = at_least_float32(logits_nC)
    return logits_nC if temperature == 1 else logits_nC / temperature


def _rest(scaled_nC: Tensor, index_nk: Tensor, some_n1: Tensor, out: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Logits at the classes apart; the largest of the others; and the softmax of the others, into ``out``.

    Of a row without others the largest is -inf, and the classes apart share alike, for softmax knows no row of -inf.
    """
    kept_nk, others_nC = scaled_nC.gather(1, index_nk), scaled_nC
    if not index_nk.shape[1]:
        return kept_nk, others_nC.amax(1, keepdim=True), torch.softmax(others_nC, 1, out=out)
    filled_nk = kept_nk.masked_fill(some_n1, -torch.inf)
    others_nC = scaled_nC.scatter(1, index_nk, filled_nk)
    most_n1 = others_nC.amax(1, keepdim=True)
    others_nC.scatter_(1, index_nk, filled_nk.masked_fill(most_n1 == -torch.inf, 0.0))
    return kept_nk, most_n1, torch.softmax(others_nC, 1, out=out)
