"""What a student is asked to match of a teacher's answer to one example: temperature, targets, classes.

The first-published and most used objectives; see :mod:`limbeck.objectives.functional` for the common form.
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor

from ...interfaces import IGNORED
from .closed import with_slope
from .common import at_least_float32, check_same_shape, mean_of
from .divergences import closed_forward_kl, forward_kl_positions


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


def _closed_kd(
    student: Tensor, teacher: Tensor, *, wanted: bool, share: float, temperature: float = 1.0
) -> tuple[Tensor, Tensor | None]:
    return closed_forward_kl(student, teacher, wanted=wanted, share=temperature**2 * share, temperature=temperature)


@with_slope(_closed_kd)
def kd_positions(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """:func:`kd` at every position: (..., C), (..., C) -> (...)."""
    return temperature**2 * forward_kl_positions(student_logits, teacher_logits, temperature=temperature)


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
    values_of = partial(cross_entropy_positions, label_smoothing=label_smoothing)
    return mean_of(values_of, student_logits, labels, labels=labels, mask=mask)


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
