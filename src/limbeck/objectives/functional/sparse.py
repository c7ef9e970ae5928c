"""Matching a teacher that was kept in part: its k largest logits and the mass of the rest, or a sample of its answers.

The teacher is never expanded to the vocabulary: beside the student's logits everything is (..., k). What is kept may be
ragged, with negative ids as padding. Ids must not repeat within a position; that is not checked, for it would cost a sort.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .common import at_least_float32, check_temperature, counted, log_probabilities, weighted_gap
from .vocabulary import Reading, Seen, harmless, totals_of, values_of

__all__ = [
    "label_reading",
    "sampled_cross_entropy",
    "sampled_cross_entropy_positions",
    "sampled_reading",
    "sparse_kl",
    "sparse_kl_positions",
    "sparse_reading",
    "top_k",
]


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
    counts = counted(student_logits, labels, mask)
    return _mean(student_logits, sparse_reading(ids, logits, log_rest, counts=counts, temperature=temperature))


def sparse_kl_positions(
    student_logits: Tensor, ids: Tensor, logits: Tensor, log_rest: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """:func:`sparse_kl` at every position: (..., C), (..., k), (..., k), (...) -> (...)."""
    _check_ids(student_logits, ids, logits=logits)
    return values_of(student_logits, sparse_reading(ids, logits, log_rest, temperature=temperature))


def sparse_reading(
    ids: Tensor, logits: Tensor, log_rest: Tensor, *, counts: Tensor | None = None, temperature: float = 1.0
) -> Reading:
    """:func:`sparse_kl` as a reading, which can share its pass over the student's logits with others.

    ``counts``: (...) bool, the positions that count. Raises ``ValueError`` as :func:`sparse_kl` does.
    """
    if log_rest.shape != ids.shape[:-1]:
        raise ValueError(f"log_rest {tuple(log_rest.shape)} must have one value a position: {tuple(ids.shape[:-1])}")
    check_temperature(temperature)
    dims = ids.dim() - 1
    silent = (harmless(part.detach(), counts, dims) for part in (ids, at_least_float32(logits), log_rest))
    apart, kept, rest = (part.reshape(-1, *part.shape[dims:]) for part in silent)
    kept = (kept / temperature).masked_fill(apart < 0, -torch.inf)
    teacher_log_probs = log_probabilities(torch.cat([kept, rest.to(kept.dtype).unsqueeze(-1)], dim=-1))

    def kl(seen: Seen) -> Tensor:
        student = torch.cat([seen.kept_Nk, seen.rest_N[:, None]], dim=1)
        # once more made to sum to 1, so that a bucket that holds everything holds 1 and not 1 up to rounding
        student_log_probs = log_probabilities(student)
        return temperature**2 * weighted_gap(teacher_log_probs.exp(), teacher_log_probs, student_log_probs)

    return Reading(temperature, kl, named=ids[..., :0], apart=harmless(ids, counts, dims), counts=counts)


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
    shares = _shares(student_logits, ids, counts, weights)
    drawn = ((ids >= 0) & (counts > 0)).any(dim=-1)
    labelled = counted(student_logits, labels, mask)
    if labelled is not None:
        if labelled.shape != drawn.shape:
            raise ValueError(f"mask {tuple(labelled.shape)} must have one value a position: {tuple(drawn.shape)}")
        drawn = drawn & labelled
    return _mean(student_logits, _sampled(ids, shares, drawn, temperature))


def sampled_cross_entropy_positions(
    student_logits: Tensor, ids: Tensor, counts: Tensor, *, weights: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """:func:`sampled_cross_entropy` at every position: (..., C), (..., n), (..., n) -> (...); 0 without a draw."""
    shares = _shares(student_logits, ids, counts, weights)
    drawn = ((ids >= 0) & (counts > 0)).any(dim=-1)
    return values_of(student_logits, _sampled(ids, shares, None, temperature)).masked_fill(~drawn, 0.0)


def sampled_reading(
    student_logits: Tensor,
    ids: Tensor,
    draws: Tensor,
    *,
    weights: Tensor | None = None,
    counts: Tensor | None = None,
    temperature: float = 1.0,
) -> Reading:
    """:func:`sampled_cross_entropy` as a reading, which can share its pass over the student's logits with others.

    ``draws`` says how often each of ``ids`` was drawn, ``counts``, (...) bool, which positions count; one without a draw
    gives 0. Raises ``ValueError`` as :func:`sampled_cross_entropy` does.
    """
    return _sampled(ids, _shares(student_logits, ids, draws, weights), counts, temperature)


def _sampled(ids: Tensor, shares: Tensor, counts: Tensor | None, temperature: float) -> Reading:
    """``-T² Σ share log q``, where a class of share 0 adds nothing."""
    check_temperature(temperature)
    dims = ids.dim() - 1
    shares = harmless(shares, counts, dims)
    shares_Nn = shares.reshape(-1, shares.shape[-1])

    def expected(seen: Seen) -> Tensor:
        log_probs = seen.named_Nm - seen.log_sum_N[:, None]
        # 0 times -inf is NaN, in the value and in the gradient alike
        return -(temperature**2) * (shares_Nn * log_probs.masked_fill(shares_Nn == 0, 0.0)).sum(dim=1)

    return Reading(temperature, expected, named=harmless(ids, counts, dims), counts=counts)


def label_reading(labels: Tensor, *, counts: Tensor | None = None) -> Reading:
    """Cross-entropy with class ids (...) as a reading; ``counts`` must leave out positions without a label."""
    dims = labels.dim()

    def negative_log_likelihood(seen: Seen) -> Tensor:
        return seen.log_sum_N - seen.named_Nm[:, 0]

    return Reading(1.0, negative_log_likelihood, named=harmless(labels, counts, dims).unsqueeze(-1), counts=counts)


def _mean(student_logits: Tensor, reading: Reading) -> Tensor:
    (total,) = totals_of(student_logits, [reading])
    if reading.counts is None:
        return total / max(student_logits.shape[:-1].numel(), 1)
    return total / reading.counts.sum().clamp(min=1)


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
