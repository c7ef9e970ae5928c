"""The labelled class and the others, matched apart: each kind of knowledge with a weight of its own.

The others are compared by their probabilities given that it is not the labelled class, worked out in log space with
that class ruled out (-inf), so nothing of it leaks in whatever the logits.
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ...interfaces import IGNORED
from .common import (
    at_least_float32,
    by_doubles,
    check_class_ids,
    check_same_shape,
    check_temperature,
    log_probabilities,
    mean_of,
    weighted_gap,
)

__all__ = ["dkd", "dkd_positions", "nkd", "nkd_positions"]


def dkd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    alpha: float = 1.0,
    beta: float = 8.0,
) -> Tensor:
    """``T² (α KL(b(p) || b(q)) + β KL(p̂ || q̂))``: decoupled knowledge distillation.

    p are the teacher's and q the student's probabilities softened by T, b(p) = (p_y, 1 - p_y) for the label y, and p̂
    are the probabilities of the other classes, summing to 1. Zhao, Cui, Song, Qiu, Liang 2022, "Decoupled Knowledge
    Distillation", section 3: ``KD = KL(b(p) || b(q)) + (1 - p_y) KL(p̂ || q̂)``, so a sure teacher hardly hands on what
    it knows of the other classes; a β of its own undoes that. Zero exactly where student equals teacher.

    Where the teacher allows the labelled class alone (or C = 1), there is nothing else to compare and the second part is
    0. Where it allows a class that the student rules out, the value is inf.

    Args:
        student_logits: (..., C).
        teacher_logits: (..., C); no gradient reaches it. Any constant may be added to a row.
        labels: (...) class ids in 0..C-1; positions of -100 do not count. Needed.
        mask: (...) bool; true where a position counts.
        temperature: T > 0.
        alpha: α >= 0, weight of the labelled class against the rest.
        beta: β >= 0, weight of the others. The paper takes 2 to 8, the more the surer the teacher, and warms the whole
            objective up over 20 epochs.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ, labels are missing or no class ids, or a hyper-parameter is out of range.
    """
    check_same_shape(student_logits, teacher_logits)
    labels = _class_ids(labels, student_logits, "dkd")
    values_of = partial(dkd_positions, temperature=temperature, alpha=alpha, beta=beta)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels, labels=labels, mask=mask)


def dkd_positions(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float = 1.0,
    alpha: float = 1.0,
    beta: float = 8.0,
) -> Tensor:
    """:func:`dkd` at every position: (..., C), (..., C), (...) -> (...); 0 where the label is -100."""
    check_same_shape(student_logits, teacher_logits)
    check_temperature(temperature)
    _check_weight("alpha", alpha)
    _check_weight("beta", beta)
    if by_doubles(student_logits, temperature):
        wide, how = (student_logits.double(), teacher_logits.double()), {"alpha": alpha, "beta": beta}
        return dkd_positions(*wide, labels, temperature=temperature, **how).float()
    labels, ignored = _without_ignored(_class_ids(labels, student_logits, "dkd"), student_logits.shape[-1])
    student_odds, student_others, _ = _parted(student_logits, labels, temperature)
    teacher_odds, teacher_others, alone = _parted(teacher_logits.detach(), labels, temperature)
    student_target, teacher_target = _label_or_not(student_odds), _label_or_not(teacher_odds)
    target = weighted_gap(teacher_target.exp(), teacher_target, student_target)
    others = weighted_gap(teacher_others.exp(), teacher_others, student_others).masked_fill(alone, 0.0)
    return temperature**2 * (_times(alpha, target) + _times(beta, others)).masked_fill(ignored, 0.0)


def nkd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    gamma: float = 1.5,
) -> Tensor:
    """``-p_y log q_y - γ T² Σ p̂ log q̂``: normalised knowledge distillation.

    p_y and q_y are what teacher and student give the label y at temperature 1; p̂ and q̂ their probabilities of the
    other classes, softened by T and summing to 1. Yang, Zeng, Li, Zhang, Yuan, Li 2023, "From Knowledge Distillation to
    Self-Knowledge Distillation: A Unified Approach with Normalized Loss and Customized Soft Labels", section 3.

    A cross-entropy and not a divergence: **it is not 0 where student equals teacher**, but
    ``-p_y log p_y + γ T² H(p̂)``, and the first part goes on pulling at the label there: it falls until q_y = 1. The
    paper adds the ordinary cross-entropy with the labels, with weight 1; that is not in here.

    Where the teacher allows the labelled class alone (or C = 1), the second part is 0. Where it allows a class that the
    student rules out, the value is inf.

    Args:
        student_logits: (..., C).
        teacher_logits: (..., C); no gradient reaches it. Any constant may be added to a row.
        labels: (...) class ids in 0..C-1; positions of -100 do not count. Needed.
        mask: (...) bool; true where a position counts.
        temperature: T > 0, of the other classes only.
        gamma: γ >= 0, weight of the other classes.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ, labels are missing or no class ids, or a hyper-parameter is out of range.
    """
    check_same_shape(student_logits, teacher_logits)
    labels = _class_ids(labels, student_logits, "nkd")
    values_of = partial(nkd_positions, temperature=temperature, gamma=gamma)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels, labels=labels, mask=mask)


def nkd_positions(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, *, temperature: float = 1.0, gamma: float = 1.5
) -> Tensor:
    """:func:`nkd` at every position: (..., C), (..., C), (...) -> (...); 0 where the label is -100."""
    check_same_shape(student_logits, teacher_logits)
    check_temperature(temperature)
    _check_weight("gamma", gamma)
    labels, ignored = _without_ignored(_class_ids(labels, student_logits, "nkd"), student_logits.shape[-1])
    index = labels.unsqueeze(-1)
    target = _cross_entropy(
        log_probabilities(teacher_logits.detach()).gather(-1, index).exp(),
        log_probabilities(student_logits).gather(-1, index),
    )
    _, student_others, _ = _parted(student_logits, labels, temperature)
    _, teacher_others, alone = _parted(teacher_logits.detach(), labels, temperature)
    others = _cross_entropy(teacher_others.exp(), student_others).masked_fill(alone, 0.0)
    return (target + _times(gamma * temperature**2, others)).masked_fill(ignored, 0.0)


def _parted(logits: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Log-odds of the labelled class against all others, log-probabilities among the others, and whether there is none.

    (..., C) and (...) -> (...), (..., C), (...) bool. Where no other class is allowed the odds are inf, and the
    log-probabilities are 0 at the label: finite, for the caller to leave out.
    """
    logits = at_least_float32(logits)
    scaled = logits if temperature == 1 else logits / temperature
    index = labels.unsqueeze(-1)
    target = scaled.gather(-1, index)
    others = scaled.scatter(-1, index, -math.inf)
    top = others.detach().argmax(dim=-1, keepdim=True)
    alone = others.detach().gather(-1, top) == -math.inf
    # a row of nothing but -inf has no softmax, and NaN in its gradient: alone, the label's place holds a constant
    others.scatter_(-1, index, torch.zeros_like(target).masked_fill(~alone, -math.inf))
    log_others = F.log_softmax(others, dim=-1)
    # the log of the others' sum by way of the likeliest of them: a difference of logits first, so that a constant
    # added to a row costs no digits
    log_odds = (target - others.gather(-1, top) + log_others.gather(-1, top)).masked_fill(alone, math.inf)
    return log_odds.squeeze(-1), log_others, alone.squeeze(-1)


def _label_or_not(log_odds: Tensor) -> Tensor:
    """Logarithms of the label's probability and of its complement: (...) -> (..., 2), precise at both ends."""
    return torch.stack([F.logsigmoid(log_odds), F.logsigmoid(-log_odds)], dim=-1)


def _cross_entropy(weights: Tensor, log_probs: Tensor) -> Tensor:
    """``-Σ w log q``, (..., C) -> (...), where a class of weight 0 adds nothing."""
    return -(weights * log_probs.masked_fill(weights == 0, 0.0)).sum(dim=-1)


def _times(weight: float, values: Tensor) -> Tensor:
    """A part of weight 0 is left out, infinite or not."""
    return weight * (values if weight else values.masked_fill(values == math.inf, 0.0))


def _class_ids(labels: Tensor | None, logits: Tensor, name: str) -> Tensor:
    """The labels as int64. Raises ``ValueError`` where there are none or they are no class ids."""
    if labels is None:
        raise ValueError(
            f"{name} parts the labelled class from the others and needs labels=: class ids of shape "
            f"{tuple(logits.shape[:-1])}, {IGNORED} where there is none. Without labels, use kd"
        )
    if labels.shape != logits.shape[:-1] or labels.is_floating_point():
        raise ValueError(
            f"{name} needs one class for each position, so labels must be class ids of shape "
            f"{tuple(logits.shape[:-1])}, not {labels.dtype} of shape {tuple(labels.shape)}. For mixed labels, use kd"
        )
    return labels.long()


def _without_ignored(labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Labels that can be looked up, and which of them were to be ignored."""
    check_class_ids(labels, classes)
    ignored = labels == IGNORED
    return labels.masked_fill(ignored, 0), ignored


def _check_weight(name: str, weight: float) -> None:
    if not weight >= 0:  # NaN is refused too
        raise ValueError(f"{name} is a weight and cannot be negative: {weight} was given")
