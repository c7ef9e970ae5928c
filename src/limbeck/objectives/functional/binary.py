"""Answers of several labels: each class a yes or no of its own, with the probability sigmoid(logit / T).

Such an answer is as many independent distributions of two as there are classes. Divergence and likelihood of the whole are
the sums of theirs, so values are summed over classes. A constant added to a row of logits changes the answer, unlike that
of a softmax.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ...interfaces import IGNORED
from .closed_form import Found, with_slope
from .common import at_least_float32, by_doubles, check_same_shape, check_temperature, mean_of, weighted_gap

__all__ = ["binary_cross_entropy", "binary_cross_entropy_positions", "binary_kd", "binary_kd_positions", "check_labels"]


def binary_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """``T² Σ_c KL(sigmoid(t_c / T) || sigmoid(s_c / T))``: every class a distribution of yes and no; summed over classes.

    Yang, Xie, Zong, Feng, Niu, Sugiyama, Huang 2023, "Multi-Label Knowledge Distillation", the multi-label logits
    distillation; the temperature and its T² as in :func:`.kd`. Zero exactly where the probabilities are equal. Finite for
    finite logits, and infinite where the student rules out (-inf, or inf for a no) what the teacher allows.

    Args:
        student_logits: (..., C).
        teacher_logits: (..., C); no gradient reaches it. Not up to a constant: it is the sigmoids that are compared.
        labels: (..., C) as in :func:`binary_cross_entropy`; positions of -100 in all classes do not count. Not used
            otherwise.
        mask: (...) bool; true where a position counts.
        temperature: T > 0.

    Returns:
        Scalar, at least float32: the mean over the positions that count.

    Raises:
        ValueError: shapes differ, or the temperature is not positive.
    """
    check_same_shape(student_logits, teacher_logits)
    if labels is not None:
        mask = labelled_positions(labels, student_logits, mask)
    values_of = partial(binary_kd_positions, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), mask=mask)


def _closed_binary_kd(student: Tensor, teacher: Tensor, *, wanted: bool, temperature: float = 1.0) -> Found:
    values = binary_kd_positions(student, teacher, temperature=temperature)
    if not wanted:
        return Found(values, None)
    q, p = (torch.sigmoid(at_least_float32(logits) / temperature) for logits in (student, teacher))
    if by_doubles(student, temperature):
        q, p = (torch.sigmoid(logits.double() / temperature) for logits in (student, teacher))
        return Found(values, q.sub_(p).float(), slope_factor=temperature)
    return Found(values, q.sub_(p), slope_factor=temperature)


@with_slope(_closed_binary_kd)
def binary_kd_positions(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """:func:`binary_kd` at every position: (..., C), (..., C) -> (...)."""
    check_same_shape(student_logits, teacher_logits)
    check_temperature(temperature)
    if by_doubles(student_logits, temperature):
        return binary_kd_positions(student_logits.double(), teacher_logits.double(), temperature=temperature).float()
    students, teachers = (
        at_least_float32(logits) / temperature for logits in (student_logits, teacher_logits.detach())
    )
    yes = weighted_gap(teachers.sigmoid(), F.logsigmoid(teachers), F.logsigmoid(students))
    no = weighted_gap((-teachers).sigmoid(), F.logsigmoid(-teachers), F.logsigmoid(-students))
    # a divergence: what rounding leaves below zero, times T², would be seen
    return temperature**2 * (yes + no).clamp(min=0)


def binary_cross_entropy(
    student_logits: Tensor,
    teacher_logits: Tensor | None = None,
    *,
    labels: Tensor,
    mask: Tensor | None = None,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """``-Σ_c (y_c log sigmoid(s_c) + (1 - y_c) log sigmoid(-s_c))``: the labels' negative log-likelihood, over classes.

    Torch's ``binary_cross_entropy_with_logits`` is the mean over classes: this is C times that.

    Args:
        student_logits: (..., C).
        teacher_logits: unused; here so that all objectives are called alike.
        labels: (..., C) floats: 1 for a class that is there, 0 for one that is not, or a probability; -100 for one that
            is not known, which adds nothing. A position of -100 in all classes does not count.
        mask: (...) bool; true where a position counts.
        label_smoothing: share of a label's mass spread evenly over yes and no, in [0, 1).
        class_weights: (C,) positive numbers: what a class's yes weighs where its no weighs 1 (torch's ``pos_weight``).

    Returns:
        Scalar, at least float32: the mean over the positions that count.

    Raises:
        ValueError: labels are no floats of the logits' shape.
    """
    mask = labelled_positions(labels, student_logits, mask)
    how = {"label_smoothing": label_smoothing, "class_weights": class_weights}
    values_of = partial(binary_cross_entropy_positions, **how)
    return mean_of(values_of, student_logits, labels, mask=mask)


def _closed_binary_cross_entropy(
    student: Tensor,
    labels: Tensor,
    *,
    wanted: bool,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Found:
    how = {"label_smoothing": label_smoothing, "class_weights": class_weights}
    values = binary_cross_entropy_positions(student, labels, **how)
    if not wanted:
        return Found(values, None)
    q = torch.sigmoid(at_least_float32(student))
    there = _smoothed(labels.to(q.dtype), label_smoothing)
    if class_weights is None:
        slope = q.sub_(there)
    else:
        yes = there * _yes_weights(class_weights, student)
        slope = q.mul_(yes + 1 - there).sub_(yes)
    return Found(values, slope.masked_fill_(labels == IGNORED, 0.0))


@with_slope(_closed_binary_cross_entropy)
def binary_cross_entropy_positions(
    student_logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
) -> Tensor:
    """:func:`binary_cross_entropy` at every position: (..., C), (..., C) -> (...); -100 adds nothing."""
    check_labels(labels, student_logits)
    logits = at_least_float32(student_logits)
    there = _smoothed(labels.to(logits.dtype), label_smoothing)
    unknown = labels == IGNORED
    yes, no = (weight.masked_fill(unknown, 0.0) for weight in (there, 1 - there))
    if class_weights is not None:
        yes = yes * _yes_weights(class_weights, logits)
    zero = torch.zeros((), dtype=logits.dtype, device=logits.device)
    return weighted_gap(yes, zero, F.logsigmoid(logits)) + weighted_gap(no, zero, F.logsigmoid(-logits))


def labelled_positions(labels: Tensor, logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Which positions count: those of the mask at which any class is known, (...) bool.

    Raises ``ValueError`` where the labels are not one for each class, or the mask does not fit.
    """
    check_labels(labels, logits)
    here = (labels != IGNORED).any(dim=-1)
    if mask is not None and mask.shape != here.shape:
        raise ValueError(f"a mask {tuple(mask.shape)} does not fit labels for positions {tuple(here.shape)}")
    return here if mask is None else here & mask


def check_labels(labels: Tensor, logits: Tensor) -> None:
    """Raises ``ValueError`` unless there is a float for each class."""
    if labels.shape != logits.shape or not labels.is_floating_point():
        raise ValueError(
            f"labels {tuple(labels.shape)} of {labels.dtype} must be floats of shape {tuple(logits.shape)}, a 0 or 1 for "
            "each class; where an example has one class, use cross_entropy"
        )


def _yes_weights(class_weights: Tensor, logits: Tensor) -> Tensor:
    if class_weights.shape != logits.shape[-1:]:
        raise ValueError(f"class_weights has {class_weights.numel()} value(s) for {logits.shape[-1]} classes")
    return class_weights.to(logits.device, at_least_float32(logits[:0]).dtype)


def _smoothed(labels: Tensor, label_smoothing: float) -> Tensor:
    return (1 - label_smoothing) * labels + label_smoothing / 2 if label_smoothing else labels
