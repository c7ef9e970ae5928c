"""Matching a teacher that was kept in part: its k largest logits and the mass of the rest, or a sample of its answers.

The teacher is never expanded to the vocabulary: beside the student's logits everything is (..., k). What is kept may be
ragged, with negative ids as padding. Ids must not repeat within a position; that is not checked, for it would cost a sort.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from .common import at_least_float32, check_temperature, log_probabilities, mean_of, weighted_gap


def sparse_kl(
    student_logits: Tensor,
    ids: Tensor,
    logits: Tensor,
    log_rest: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """``T² KL(p_T || q_T)`` over k classes and one bucket for all others, from the teacher's top k.

    Both distributions are coarsened alike, the student's mass outside the k classes being its bucket, and neither is
    renormalised. So it is a divergence: 0 where the k probabilities agree, never negative, never more than
    :func:`~limbeck.objectives.functional.kd`, and equal to it at k = C. (Without the bucket, top-k KL is either biased
    or negative: Anshumann et al. 2025, "Sparse Logit Sampling".) The factor T² keeps the scale of the gradient
    as T changes, as in ``kd``. Infinite where the student rules out a class, or the whole rest, that the teacher allows.

    ``sparse_kl(student_logits, *top_k(teacher_logits, 50, temperature=2), temperature=2)`` asks a live teacher.

    Args:
        student_logits: (..., C).
        ids: (..., k) integers in [0, C), no two alike at a position; negative: padding, whose logits are ignored. Where
            all are padding the value is 0.
        logits: (..., k), the teacher's logits at ``ids``; no gradient reaches it. A constant c may be added to a row if
            c / T is added to ``log_rest``.
        log_rest: (...), the log-sum-exp, over all classes not in ``ids``, of the teacher's logits divided by this T;
            -inf where nothing is left.
        labels: (...) class ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.
        temperature: T > 0.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes do not fit, ids are not integers, or the temperature is not positive.
    """
    _check_ids(student_logits, ids, logits=logits)
    _check_rest(ids, log_rest)
    values_of = partial(sparse_kl_positions, temperature=temperature)
    teacher = (ids, logits.detach(), log_rest.detach())
    return mean_of(values_of, student_logits, *teacher, labels=labels, mask=mask)


def sparse_kl_positions(
    student_logits: Tensor, ids: Tensor, logits: Tensor, log_rest: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """:func:`sparse_kl` at every position: (..., C), (..., k), (..., k), (...) -> (...)."""
    _check_ids(student_logits, ids, logits=logits)
    _check_rest(ids, log_rest)
    check_temperature(temperature)
    scaled = (at_least_float32(logits.detach()) / temperature).masked_fill(ids < 0, -torch.inf)
    kept_and_rest = torch.cat([scaled, log_rest.detach().to(scaled.dtype).unsqueeze(-1)], dim=-1)
    teacher_log_probs = log_probabilities(kept_and_rest)
    student_log_probs = _coarsened(log_probabilities(student_logits, temperature), ids)
    return temperature**2 * weighted_gap(teacher_log_probs.exp(), teacher_log_probs, student_log_probs)


def top_k(teacher_logits: Tensor, k: int, *, temperature: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """What :func:`sparse_kl` takes of a teacher: ids (..., k), logits (..., k) and log_rest (...) at this temperature.

    Args:
        teacher_logits: (..., C); the results carry no gradient.
        k: how many of the largest logits to keep, 1 to C.
        temperature: T > 0, at which ``log_rest`` holds.

    Raises:
        ValueError: k is not between 1 and C, or the temperature is not positive.
    """
    check_temperature(temperature)
    classes = teacher_logits.shape[-1]
    if not 1 <= k <= classes:
        raise ValueError(f"k must be between 1 and the number of classes, {classes}, not {k}")
    full = at_least_float32(teacher_logits.detach())
    logits, ids = full.topk(k, dim=-1)
    log_rest = (full / temperature).scatter(-1, ids, -torch.inf).logsumexp(dim=-1)
    return ids, logits, log_rest


def sampled_cross_entropy(
    student_logits: Tensor,
    ids: Tensor,
    counts: Tensor,
    *,
    weights: Tensor | None = None,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """``-T² Σ (c_i / N) log q_T,i`` over the classes i that N draws from the teacher gave, c_i times each.

    Random sampling knowledge distillation: Anshumann et al. 2025, "Sparse Logit Sampling: Accelerating Knowledge
    Distillation in LLMs". For ids drawn from the teacher's probabilities at T it is an unbiased estimate of T²
    times the cross-entropy, so its gradient is one of the gradient of :func:`~limbeck.objectives.functional.kd`. The
    value is that of ``kd`` plus T² times the teacher's entropy, which a sample does not tell: it is not 0 where student
    equals teacher. Infinite where the student rules out a class that was drawn.

    Args:
        student_logits: (..., C).
        ids: (..., n) integers in [0, C): the classes drawn; negative: padding. A class may stand more than once.
        counts: (..., n): how often each was drawn; those of padding are ignored. A position without a draw does not
            count.
        weights: (..., n), importance weights p_T,i / r_i, where the ids were drawn from r and not from p_T. They are not
            normalised, which would be biased.
        labels: (...) class ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.
        temperature: T > 0, the one that the ids were drawn at (or that ``weights`` hold for).

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes do not fit, ids are not integers, or the temperature is not positive.
    """
    check_temperature(temperature)
    shares = _shares(student_logits, ids, counts, weights)
    drawn = ((ids >= 0) & (counts > 0)).any(dim=-1)
    values_of = partial(_expected, temperature=temperature)
    if mask is not None:
        if mask.shape != drawn.shape:
            raise ValueError(f"mask {tuple(mask.shape)} must have one value a position: {tuple(drawn.shape)}")
        drawn = drawn & mask
    return mean_of(values_of, student_logits, ids, shares, labels=labels, mask=drawn)


def sampled_cross_entropy_positions(
    student_logits: Tensor, ids: Tensor, counts: Tensor, *, weights: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """:func:`sampled_cross_entropy` at every position: (..., C), (..., n), (..., n) -> (...); 0 without a draw."""
    check_temperature(temperature)
    return _expected(student_logits, ids, _shares(student_logits, ids, counts, weights), temperature=temperature)


def _expected(student_logits: Tensor, ids: Tensor, shares: Tensor, *, temperature: float) -> Tensor:
    """``-T² Σ share log q``, where a class of share 0 adds nothing."""
    log_probs = log_probabilities(student_logits, temperature).gather(-1, ids.long().clamp(min=0))
    # 0 times -inf is NaN, in the value and in the gradient alike
    return -(temperature**2) * (shares * log_probs.masked_fill(shares == 0, 0.0)).sum(dim=-1)


def _shares(student_logits: Tensor, ids: Tensor, counts: Tensor, weights: Tensor | None) -> Tensor:
    """The estimated probabilities of the drawn classes, (..., n); all 0 where nothing was drawn."""
    columns = {"counts": counts} if weights is None else {"counts": counts, "weights": weights}
    _check_ids(student_logits, ids, **columns)
    dtype = torch.float64 if student_logits.dtype == torch.float64 else torch.float32
    there = ids >= 0
    drawn = counts.detach().to(dtype).masked_fill(~there, 0.0)
    number = drawn.sum(dim=-1, keepdim=True)
    shares = drawn / number.masked_fill(number == 0, 1.0)
    return shares if weights is None else shares * weights.detach().to(dtype).masked_fill(~there, 0.0)


def _coarsened(log_probs: Tensor, ids: Tensor) -> Tensor:
    """Log-probabilities (..., C) of the classes in ids (..., k), and of all others together: (..., k + 1)."""
    largest = ids.amax(dim=-1, keepdim=True)
    # padding stands for another id of its position, so that it takes no class out of the rest
    index = ids.where(ids >= 0, largest).long().clamp(min=0)
    kept = log_probs.gather(-1, index)
    # A finite floor in place of -inf: of nothing but -inf, log-sum-exp has a NaN gradient. A position that is all padding
    # puts back what was there.
    floor = torch.finfo(log_probs.dtype).min
    rest = log_probs.scatter(-1, index, kept.detach().masked_fill(largest >= 0, floor)).logsumexp(dim=-1)
    rest = rest.masked_fill(rest < floor / 2, -torch.inf)
    # once more made to sum to 1, so that a bucket that holds everything holds 1 and not 1 up to rounding
    return log_probabilities(torch.cat([kept.masked_fill(ids < 0, -torch.inf), rest.unsqueeze(-1)], dim=-1))


def _check_ids(student_logits: Tensor, ids: Tensor, **columns: Tensor) -> None:
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(f"ids must be integers, not {ids.dtype}")
    if ids.dim() != student_logits.dim() or ids.shape[:-1] != student_logits.shape[:-1] or not ids.shape[-1]:
        raise ValueError(
            f"ids {tuple(ids.shape)} must be (..., k) with k of 1 or more and the leading dimensions of the student "
            f"logits, {tuple(student_logits.shape[:-1])}"
        )
    for name, column in columns.items():
        if column.shape != ids.shape:
            raise ValueError(f"{name} {tuple(column.shape)} and ids {tuple(ids.shape)} must have the same shape")


def _check_rest(ids: Tensor, log_rest: Tensor) -> None:
    if log_rest.shape != ids.shape[:-1]:
        raise ValueError(f"log_rest {tuple(log_rest.shape)} must have one value a position: {tuple(ids.shape[:-1])}")
