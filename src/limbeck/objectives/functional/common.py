"""What all functions on logits share: which positions count, the mean over them, and how little memory it takes.

Rows: the leading dimensions of logits ``(..., C)`` flattened, so N rows of C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...interfaces import IGNORED
from .closed_form import Closed, Found, Values, by_others, closed_form, may_look

__all__ = [
    "IGNORED",
    "Values",
    "at_least_float32",
    "counted",
    "labelled",
    "log_probabilities",
    "mean_of",
    "mean_over",
    "silenced",
    "total_of",
]

# Below so many logits a chunk's overhead shows and its memory does not matter: they are taken in one piece.
WHOLE = 2**22
# Up to this temperature T² times float32's rounding is not seen.
_MILD = 30
# Elements of a chunk: its temporaries should stay in the processor's cache. A GPU wants more work in a launch.
CHUNK = {"cpu": 2**18, "cuda": 2**24}


def mean_of(
    values_of: Values,
    student_logits: Tensor,
    *others: Tensor,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean of ``values_of`` over the positions that count; 0, with a graph, where none does.

    Args:
        values_of: gives (N,) values from student rows (N, C) and the rows of ``others``.
        student_logits: (..., C).
        others: (...) or (..., K): teacher's logits, labels, what else ``values_of`` takes. Nothing of them is detached
            here.
        labels: (...) or (..., C): positions without a label do not count. Passed to ``values_of`` only if among others.
        mask: (...) bool: true where a position counts.
    """
    counts, positions = counted(student_logits, labels, mask), student_logits.shape[:-1]
    if counts is not None and counts.shape == positions:
        counts = unless_all(counts)
    if counts is None:
        number = positions.numel()
    elif may_look(counts):
        number = int(counts.sum())
    else:
        return total_of(values_of, student_logits, *others, counts=counts) / counts.sum().clamp(min=1)
    return total_of(values_of, student_logits, *others, counts=counts, share=1 / max(number, 1))


def total_of(
    values_of: Values, student_logits: Tensor, *others: Tensor, counts: Tensor | None = None, share: float = 1.0
) -> Tensor:
    """``share`` times the sum of ``values_of`` over the positions that count, (...) bool; None: all of them.

    Where only the student's logits need a gradient, and they are many or ``values_of`` has a closed form, the gradient is
    worked out along with the value. Many logits are taken a few rows at a time: beside them there is then one tensor of
    their size, the gradient itself. Derivatives of any order are had by way of ``values_of``.

    What stands at positions that do not count (NaN, rows of -inf) reaches neither value nor gradient; ``values_of`` sees
    zeros there, in integer tensors as well, so an ignored label does no harm.
    """
    positions = student_logits.shape[:-1]
    for tensor in (*others, *(() if counts is None else (counts,))):
        if tensor.shape[: len(positions)] != positions:
            raise ValueError(
                f"{tuple(tensor.shape)} does not fit logits of shape {tuple(student_logits.shape)}: "
                f"the leading dimensions must be {tuple(positions)}"
            )
    student_NC, rows = student_logits, list(others)
    counts_N = None if counts is None else unless_all(counts.reshape(-1))
    if len(positions) != 1:
        student_NC = student_logits.reshape(-1, student_logits.shape[-1])
        rows = [tensor.reshape(student_NC.shape[0], *tensor.shape[len(positions) :]) for tensor in others]
    few = student_NC.numel() <= WHOLE
    closed = closed_form(values_of, few=few)
    by_autograd = few and (closed is None or not (torch.is_grad_enabled() and student_NC.requires_grad))
    if by_autograd or by_others() or (torch.is_grad_enabled() and any(other.requires_grad for other in others)):
        return _times(_sum(values_of, student_NC, rows, counts_N), share)
    return _WithGradient.apply(_Forms(values_of, closed, share), counts_N, student_NC, *rows)


def _times(total: Tensor, share: float) -> Tensor:
    return total if share == 1 else total * share


def _sum(values_of: Values, student_NC: Tensor, others: Sequence[Tensor], counts_N: Tensor | None) -> Tensor:
    if counts_N is None:
        return values_of(student_NC, *others).sum()
    values_N = values_of(silenced(student_NC, counts_N), *(_silenced_rows(other, counts_N) for other in others))
    # masked_fill and not a product: a masked position may hold NaN or inf
    return values_N.masked_fill(~counts_N, 0.0).sum()


def _silenced_rows(tensor: Tensor, counts_N: Tensor) -> Tensor:
    return tensor.masked_fill(~counts_N.view(-1, *([1] * (tensor.dim() - 1))), 0)


class _Forms(NamedTuple):
    """What is summed: as a formula for autograd and, where there is one, in closed form."""

    values_of: Values
    closed: Closed | None
    share: float


class _WithGradient(torch.autograd.Function):
    """The sum, with its gradient worked out in the forward pass."""

    @staticmethod
    def forward(ctx: Any, forms: _Forms, counts_N: Tensor | None, student_NC: Tensor, *others: Tensor) -> Tensor:
        ctx.given = forms, counts_N
        ctx.save_for_backward(student_NC, *others)
        total, ctx.gradient = _both(forms, counts_N, student_NC, others, ctx.needs_input_grad[2])
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None or torch.is_grad_enabled():
            gradient = _WithGradient.anew(ctx, upstream)
        elif gradient.numel() <= WHOLE or not may_look(upstream) or upstream.item() != 1:
            gradient.mul_(upstream)
        return None, None, gradient, *([None] * (len(ctx.needs_input_grad) - 3))

    @staticmethod
    def anew(ctx: Any, upstream: Tensor) -> Tensor:
        """The gradient for a second backward pass, the first having scaled it in place, or one with a graph."""
        (forms, counts_N), (student_NC, *others) = ctx.given, ctx.saved_tensors
        if torch.is_grad_enabled():
            total = _times(_sum(forms.values_of, student_NC, others, counts_N), forms.share)
            return torch.autograd.grad(total, student_NC, upstream, create_graph=True)[0]
        _, gradient = _both(forms, counts_N, student_NC, others, True)
        assert gradient is not None
        return gradient.mul_(upstream)


def _both(
    forms: _Forms, counts_N: Tensor | None, student_NC: Tensor, others: Sequence[Tensor], wanted: bool
) -> tuple[Tensor, Tensor | None]:
    """Total and gradient; of many logits a few rows at a time. Called without a graph."""
    if student_NC.numel() <= WHOLE:
        total, slope, factor = _part(forms, counts_N, student_NC, others, wanted)
        return total, slope if slope is None or factor == 1 else slope.mul_(factor)
    step = rows_of_a_chunk(student_NC)
    gradient = torch.empty_like(student_NC) if wanted else None
    total = torch.zeros((), dtype=wide(student_NC), device=student_NC.device)
    for low in range(0, len(student_NC), step):
        here = slice(low, low + step)
        counts = None if counts_N is None else unless_all(counts_N[here])
        value, slope, factor = _part(forms, counts, student_NC[here], [other[here] for other in others], wanted)
        if gradient is not None and slope is not None:
            torch.mul(slope, factor, out=gradient[here])
        total += value
    return total.to(at_least_float32(student_NC[:0]).dtype), gradient


def _part(
    forms: _Forms, counts_N: Tensor | None, student_NC: Tensor, others: Sequence[Tensor], wanted: bool
) -> tuple[Tensor, Tensor | None, float]:
    """Total and gradient of some rows, the latter but for a factor."""
    rows: list[Tensor] = [at_least_float32(student_NC.detach()), *others]
    if counts_N is not None:
        rows = [_silenced_rows(tensor, counts_N) for tensor in rows]
    found = None if forms.closed is None else forms.closed(*rows, wanted=wanted)
    if found is None:
        with torch.enable_grad() if wanted else torch.no_grad():
            student = rows[0].requires_grad_(wanted)
            values_N = forms.values_of(student, *rows[1:])
            slope_NC = torch.autograd.grad(values_N.sum(), student)[0] if wanted else None
        found = Found(values_N.detach(), slope_NC)
    values_N, slope_NC, value_factor, slope_factor = found
    if counts_N is not None:
        # masked_fill and not a product: a masked position may hold NaN or inf
        values_N = values_N.masked_fill(~counts_N, 0.0)
        slope_NC = None if slope_NC is None else _silenced_rows(slope_NC, counts_N)
    factor, total = value_factor * forms.share, values_N.sum()
    slope_factor *= forms.share
    if slope_NC is not None and student_NC.dtype == torch.float16:
        slope_NC = _fitting(slope_NC, slope_factor)
    return total if factor == 1 else total.mul_(factor), slope_NC, slope_factor


def _fitting(slope_NC: Tensor, factor: float) -> Tensor:
    """Rows as long as they are, but for those whose slope, times the factor, float16 could not hold: these are shortened.

    Where a slope is as good as infinite (a constant row that is standardised) its direction is all that it says.
    """
    most = torch.finfo(torch.float16).max / 16  # a weight, or a sum of terms, comes on top
    largest_N1 = slope_NC.abs().amax(dim=-1, keepdim=True) * abs(factor)
    return slope_NC.mul_((most / largest_N1).clamp_(max=1))


def rows_of_a_chunk(logits_NC: Tensor) -> int:
    """How many rows are worked on at a time."""
    device = logits_NC.device.type
    return max(1, CHUNK[device if device in CHUNK else "cuda"] // logits_NC.shape[1])


def wide(logits: Tensor) -> torch.dtype:
    """For the sum of many small sums: float64 where that costs nothing."""
    return torch.float64 if logits.device.type == "cpu" else at_least_float32(logits[:0]).dtype


def counted(student_logits: Tensor, labels: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """Which positions count, (...) bool; None where all do. Raises ``ValueError`` where labels and mask do not fit."""
    here = labelled(labels, student_logits.dim()) if labels is not None else None
    if mask is None:
        return here
    if here is not None and mask.shape != here.shape:
        raise ValueError(f"a mask {tuple(mask.shape)} does not fit labels for positions {tuple(here.shape)}")
    return mask if here is None else mask & here


def unless_all(counts: Tensor | None) -> Tensor | None:
    """``counts``, or None where it is seen to leave nothing out, which spares the rows' being masked."""
    return None if counts is None or (may_look(counts) and counts.all()) else counts


def labelled(labels: Tensor, logits_dim: int) -> Tensor:
    """Which positions have a label: (...) bool, from class ids (...) or probabilities (..., C)."""
    if labels.dim() == logits_dim:
        return labels.sum(dim=-1) != 0
    return labels != IGNORED


def silenced(logits: Tensor, counts: Tensor | None) -> Tensor:
    """Logits (..., C) with 0 at the positions that do not count.

    What stands there, NaN and rows of -inf included, would otherwise reach the gradient: 0 times NaN is NaN.
    """
    if counts is None or counts.shape != logits.shape[:-1]:
        return logits  # a shape that does not fit is for the objective to refuse
    return logits.masked_fill(~counts.unsqueeze(-1), 0.0)


def mean_over(values: Tensor, counts: Tensor | None) -> Tensor:
    """Mean of values (...) where counts (...) is true; 0, with a graph, where it never is."""
    if counts is None:
        return values.mean() if values.numel() else values.sum()
    # masked_fill and not a product: a masked position may hold NaN or inf
    return values.masked_fill(~counts, 0.0).sum() / counts.sum().clamp(min=1)


def at_least_float32(logits: Tensor) -> Tensor:
    """The tensor itself, or a float32 copy of a narrower one."""
    return logits if logits.dtype == torch.float64 else logits.float()


def full_precision(tensor: Tensor) -> torch.autocast:
    """A context in which a surrounding autocast does not round products: it would undo a conversion to float32."""
    return torch.autocast(tensor.device.type, enabled=False)


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(logits / T) over the last dimension, at least float32."""
    logits = at_least_float32(logits)
    return (logits if temperature == 1 else logits / temperature).log_softmax(dim=-1)


def by_doubles(logits: Tensor, temperature: float) -> bool:
    """Whether float64 is needed inside: softened so much, all probabilities are alike, and T² magnifies their rounding."""
    return temperature > _MILD and logits.dtype != torch.float64 and logits.device.type != "mps"


def check_same_shape(student_logits: Tensor, teacher_logits: Tensor) -> None:
    """Raises ``ValueError`` where the two differ in shape, with the way out where it is the number of classes."""
    student, teacher = tuple(student_logits.shape), tuple(teacher_logits.shape)
    if student == teacher:
        return
    text = f"student logits {student} and teacher logits {teacher} must have the same shape"
    if student[:-1] == teacher[:-1]:
        text += (
            f": {student[-1]} and {teacher[-1]} classes. If the longer one is padded, cut it to the classes both know "
            "(logits[..., :C]); if the vocabularies differ, use uld, which compares sorted probabilities"
        )
    raise ValueError(text)


def check_class_ids(labels: Tensor, classes: int) -> None:
    """Raises ``ValueError`` naming the first label that is none of ``classes``; not on an accelerator, which is not waited for.

    Positions that are masked are to be silenced before.
    """
    if not may_look(labels):
        return
    labels = labels.reshape(-1)
    wrong = (labels != IGNORED) & ((labels < 0) | (labels >= classes))
    if wrong.any():
        at = int(wrong.nonzero()[0])
        raise ValueError(
            f"the label at position {at} is {int(labels[at])}: class ids of {classes} classes lie in 0 to {classes - 1}, and "
            f"{IGNORED} is for positions without a label"
        )


def check_temperature(temperature: float) -> None:
    """Raises ``ValueError`` unless T > 0."""
    if not temperature > 0:  # NaN is refused too
        raise ValueError(f"temperature must be positive, not {temperature}")


def weighted_gap(weights: Tensor, log_first: Tensor, log_second: Tensor) -> Tensor:
    """``Σ w (log a - log b)`` over classes, (..., C) -> (...), where a class of weight 0 adds nothing.

    Both logarithms may be -inf at such a class, so their difference is replaced before the product: filling afterwards
    would leave 0 times NaN in the gradient of the weights.
    """
    gap = (log_first - log_second).masked_fill_(weights == 0, 0.0)
    return (weights * gap).sum(dim=-1)
