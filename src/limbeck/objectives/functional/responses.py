"""What a student is asked to match of a teacher's answer to one example: temperature, targets, classes.

The first-published and most used objectives; see :mod:`limbeck.objectives.functional` for the common form.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ...interfaces import IGNORED
from . import common
from .closed_form import Found, may_look, seen_finite, with_slope
from .common import (
    at_least_float32,
    check_class_ids,
    check_same_shape,
    counted,
    log_probabilities,
    mean_of,
    total_of,
    unless_all,
)
from .divergences import closed_kl, forward_kl_positions
from .log_and_prob import both_softened, softened

__all__ = ["cross_entropy", "cross_entropy_positions", "kd", "kd_positions", "weighted_labels"]


def kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """``T² KL(p_T || q_T)``, p the teacher's and q the student's probabilities softened by T.

    Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", section 2. The factor T² keeps the
    scale of the gradient as T changes; as T grows the value tends to half the mean squared difference of centred
    logits. Zero exactly where student equals teacher (the teacher's entropy is subtracted, so it is a divergence and
    not a cross-entropy).

    Args:
        student_logits: (..., C).
        teacher_logits: (..., C); no gradient reaches it. Any constant may be added to a row.
        labels: (...) class ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.
        temperature: T > 0.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ, or the temperature is not positive.
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(kd_positions, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_kd(student: Tensor, teacher: Tensor, *, wanted: bool, temperature: float = 1.0) -> Found:
    if common.by_doubles(student, temperature):
        return _closed_kd(student.double(), teacher.double(), wanted=wanted, temperature=temperature).narrowed()
    students, teachers = both_softened(student, teacher, temperature)
    return closed_kl(students, teachers, wanted=wanted, value_factor=temperature**2, slope_factor=temperature)


@with_slope(_closed_kd)
def kd_positions(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """:func:`kd` at every position: (..., C), (..., C) -> (...)."""
    if common.by_doubles(student_logits, temperature):
        return kd_positions(student_logits.double(), teacher_logits.double(), temperature=temperature).float()
    return temperature**2 * forward_kl_positions(student_logits, teacher_logits, temperature=temperature)


def cross_entropy(
    student_logits: Tensor,
    teacher_logits: Tensor | None = None,
    *,
    labels: Tensor,
    mask: Tensor | None = None,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy with the labels, optionally smoothed (Szegedy et al. 2016, section 7) and weighted by class.

    With class weights w it is ``Σ_n Σ_c w_c s_nc (-log q_nc) / Σ_n w_y(n)``, s the smoothed label: the weighted mean, as
    torch's ``CrossEntropyLoss(weight=w)`` has it. Of labels that are probabilities t, ``w_y`` is ``Σ_c w_c t_c``.

    Args:
        student_logits: (..., C).
        teacher_logits: unused; here so that all objectives are called alike.
        labels: (...) class ids, -100 ignored; or (..., C) probabilities (mixes), an all-zero row ignored.
        mask: (...) bool; true where a position counts.
        label_smoothing: share of the mass spread evenly over the C classes, in [0, 1).
        class_weights: (C,) positive numbers; their common scale does not matter.

    Returns:
        Scalar, at least float32.
    """
    if class_weights is not None:
        shares, weights = weighted_labels(student_logits, labels, class_weights, label_smoothing)
        counts = weights != 0 if mask is None else (weights != 0) & mask
        whole = weights.masked_fill(~counts, 0.0).sum()
        return total_of(cross_entropy_positions, student_logits, shares, counts=counts) / whole.where(whole > 0, 1.0)
    few = 0 < student_logits.numel() <= common.WHOLE
    if few and labels.dim() < student_logits.dim() and unless_all(counted(student_logits, labels, mask)) is None:
        return _torchs_cross_entropy(student_logits, labels, label_smoothing, "mean")
    values_of = partial(cross_entropy_positions, label_smoothing=label_smoothing)
    return mean_of(values_of, student_logits, labels, labels=labels, mask=mask)


def _closed_cross_entropy(
    student: Tensor, labels: Tensor, *, wanted: bool, label_smoothing: float = 0.0
) -> Found | None:
    log_q, q = softened(student)
    if labels.shape == log_q.shape:
        shares = _smoothed(labels.to(log_q.dtype), label_smoothing)
        values = log_q.mul_(shares).sum(dim=-1).neg_()
        if not seen_finite(values):
            return None
        return Found(values, q.mul_(shares.sum(dim=-1, keepdim=True)).sub_(shares) if wanted else None)
    _check_labels(student, labels)
    ignored = labels == IGNORED
    index = labels.long().masked_fill(ignored, 0).unsqueeze(-1)
    values = log_q.gather(-1, index).squeeze(-1).mul_(label_smoothing - 1)
    if label_smoothing:
        values.sub_(log_q.mean(dim=-1), alpha=label_smoothing)
        q -= label_smoothing / q.shape[-1]
    values.masked_fill_(ignored, 0.0)
    if not wanted:
        return Found(values, None)
    q.scatter_add_(-1, index, torch.full_like(index, label_smoothing - 1, dtype=q.dtype))
    if not may_look(ignored) or ignored.any():
        q.masked_fill_(ignored.unsqueeze(-1), 0.0)
    return Found(values, q)


# where the logits are few, torch has its own cross-entropy, of two steps
@with_slope(_closed_cross_entropy, few=False)
def cross_entropy_positions(student_logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """:func:`cross_entropy` at every position: (..., C) and labels -> (...); 0 where a label is to be ignored."""
    if labels.shape == student_logits.shape:
        log_probs = log_probabilities(student_logits)
        shares = _smoothed(labels.to(log_probs.dtype), label_smoothing)
        # 0 times -inf is NaN, in the value and in the gradient alike
        return -(shares * log_probs.masked_fill(shares == 0, 0.0)).sum(dim=-1)
    return _torchs_cross_entropy(student_logits, labels, label_smoothing, "none")


def weighted_labels(
    student_logits: Tensor, labels: Tensor, class_weights: Tensor, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """What :func:`cross_entropy_positions` takes for labels that are weighted by class, and what each position weighs.

    Smoothed shares times the classes' weights (..., C), and ``w_y`` (...), which divides their sum: 0 where a label is to be
    ignored. Args as in :func:`cross_entropy`. Raises ``ValueError`` where there is not one weight for each class.
    """
    classes, dtype = student_logits.shape[-1], at_least_float32(student_logits[:0]).dtype
    if class_weights.shape != (classes,):
        raise ValueError(f"class_weights has {class_weights.numel()} value(s) for {classes} classes")
    weights_C = class_weights.to(student_logits.device, dtype)
    if labels.shape == student_logits.shape:
        shares = labels.to(dtype)
    else:
        _check_labels(student_logits, labels)
        ignored = labels == IGNORED
        shares = F.one_hot(labels.long().masked_fill(ignored, 0), classes).to(dtype)
        shares = shares.masked_fill(ignored.unsqueeze(-1), 0.0)
    return _smoothed(shares, label_smoothing) * weights_C, (shares * weights_C).sum(dim=-1)


def _torchs_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float, reduction: str) -> Tensor:
    _check_labels(logits, labels)
    logits = at_least_float32(logits)
    how = {"ignore_index": IGNORED, "reduction": reduction, "label_smoothing": label_smoothing}
    if labels.dim() == 1:
        return F.cross_entropy(logits, labels, **how)
    values = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), **how)
    return values.reshape(labels.shape) if reduction == "none" else values


def _smoothed(shares: Tensor, label_smoothing: float) -> Tensor:
    """Probabilities (..., C) with some of each row's mass spread evenly."""
    if not label_smoothing:
        return shares
    there = shares.sum(dim=-1, keepdim=True)
    return (1 - label_smoothing) * shares + label_smoothing * there / shares.shape[-1]


def _check_labels(logits: Tensor, labels: Tensor) -> None:
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels {tuple(labels.shape)} must be class ids of shape {tuple(logits.shape[:-1])} "
            f"or probabilities of shape {tuple(logits.shape)}"
        )
    check_class_ids(labels, logits.shape[-1])
