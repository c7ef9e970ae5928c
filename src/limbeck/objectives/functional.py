"""The objectives as pure functions on tensors, for anybody's loop.

Common form: ``f(student_logits, teacher_logits, *, labels=None, mask=None, temperature=1.0) -> scalar``, where logits
are ``(..., C)``, labels ``(...)`` class ids with ``-100`` ignored (or ``(..., C)`` probabilities), and the mask
``(...)`` bool, true at the positions that count. The result is the mean over the positions that count, and 0 (with a
graph) where none does. Arithmetic is at least float32; float64 stays float64.

Each function has a sibling ending in ``_positions``, which gives the value at every position, shape ``(...)``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..interfaces import IGNORED


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
    counts = counted(student_logits, labels, mask)
    values = kd_positions(silenced(student_logits, counts), silenced(teacher_logits, counts), temperature=temperature)
    return mean_over(values, counts)


def kd_positions(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """:func:`kd` at every position: (..., C), (..., C) -> (...)."""
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"student logits {tuple(student_logits.shape)} and teacher logits {tuple(teacher_logits.shape)} "
            "must have the same shape"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, not {temperature}")
    student_log_probs = F.log_softmax(at_least_float32(student_logits) / temperature, dim=-1)
    teacher_log_probs = F.log_softmax(at_least_float32(teacher_logits.detach()) / temperature, dim=-1)
    teacher_probs = teacher_log_probs.exp()
    # A class the teacher rules out adds nothing. Both logarithms may be -inf there, so they are replaced before the
    # subtraction: filling afterwards would leave inf - inf = NaN in the gradient.
    absent = teacher_probs == 0
    gap = teacher_log_probs.masked_fill(absent, 0.0) - student_log_probs.masked_fill(absent, 0.0)
    return temperature**2 * (teacher_probs * gap).sum(dim=-1)


def cross_entropy(
    student_logits: Tensor,
    teacher_logits: Tensor | None = None,
    *,
    labels: Tensor,
    mask: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy with the labels, optionally smoothed (Szegedy et al. 2016, section 7).

    Args:
        student_logits: (..., C).
        teacher_logits: unused; here so that all objectives are called alike.
        labels: (...) class ids, -100 ignored; or (..., C) probabilities (mixes), an all-zero row ignored.
        mask: (...) bool; true where a position counts.
        label_smoothing: share of the mass spread evenly over the C classes, in [0, 1).

    Returns:
        Scalar, at least float32.
    """
    counts = counted(student_logits, labels, mask)
    values = cross_entropy_positions(silenced(student_logits, counts), labels, label_smoothing=label_smoothing)
    return mean_over(values, counts)


def cross_entropy_positions(student_logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """:func:`cross_entropy` at every position: (..., C) and labels -> (...); 0 where a label is to be ignored."""
    logits = at_least_float32(student_logits)
    if labels.shape == logits.shape:
        log_probs = F.log_softmax(logits, dim=-1)
        labels = labels.to(log_probs.dtype)
        if label_smoothing:
            there = labels.sum(dim=-1, keepdim=True)
            labels = (1 - label_smoothing) * labels + label_smoothing * there / logits.shape[-1]
        # 0 times -inf is NaN, in the value and in the gradient alike
        return -(labels * log_probs.masked_fill(labels == 0, 0.0)).sum(dim=-1)
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels {tuple(labels.shape)} must be class ids of shape {tuple(logits.shape[:-1])} "
            f"or probabilities of shape {tuple(logits.shape)}"
        )
    flat = F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        labels.reshape(-1),
        ignore_index=IGNORED,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return flat.reshape(labels.shape)


def counted(student_logits: Tensor, labels: Tensor | None, mask: Tensor | None) -> Tensor | None:
    """Which positions count, (...) bool; None where all do."""
    here = labelled(labels, student_logits.dim()) if labels is not None else None
    if mask is None:
        return here
    return mask if here is None else mask & here


def labelled(labels: Tensor, logits_dim: int) -> Tensor:
    """Which positions have a label: (...) bool, from class ids (...) or probabilities (..., C)."""
    if labels.dim() == logits_dim:
        return labels.sum(dim=-1) > 0
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
