"""Objectives on numbers: what a student says of an example, against its label or what a teacher says.

Common form: ``f(student_values, wanted_values, *, mask=None) -> scalar``, where values are ``(..., D)``, D numbers for an
example or a position, in the units of the labels, and the mask ``(...)`` bool, true at the positions that count. Where one
of the D numbers of a label is NaN there is no label, and the position does not count. The result is the mean over the
positions that count, and 0 (with a graph) where none does. Arithmetic is at least float32; float64 stays float64.

Each has a sibling ending in ``_positions``, which gives the value at every position, shape ``(...)``.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .common import at_least_float32, mean_of

__all__ = [
    "bounded_regression",
    "bounded_regression_positions",
    "check_values",
    "huber",
    "huber_positions",
    "known",
    "mse",
    "mse_positions",
    "weighted_mse",
    "weighted_mse_positions",
]


def mse(student_values: Tensor, wanted_values: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """``mean_d (s_d - y_d)²``: the squared error. 0 exactly where the two are equal.

    Of the labels: Hastie, Tibshirani, Friedman 2009, "The Elements of Statistical Learning", section 2.4. Of a teacher:
    Saputra, de Gusmão, Almalioglu, Markham, Trigoni 2019, "Distilling Knowledge From a Deep Pose Regressor Network".

    Args:
        student_values: (..., D).
        wanted_values: (..., D), the labels or the teacher's numbers; no gradient reaches them.
        mask: (...) bool.

    Raises:
        ValueError: the shapes differ.
    """
    return _mean(mse_positions, student_values, wanted_values, mask=mask)


def mse_positions(student_values: Tensor, wanted_values: Tensor) -> Tensor:
    """:func:`mse` at every position: (..., D), (..., D) -> (...)."""
    return _difference(student_values, wanted_values).square().mean(dim=-1)


def huber(student_values: Tensor, wanted_values: Tensor, *, mask: Tensor | None = None, delta: float = 1.0) -> Tensor:
    """``mean_d h(s_d - y_d)``, ``h(e) = e²/2`` where ``|e| ≤ δ``, else ``δ (|e| - δ/2)``.

    Huber 1964, "Robust Estimation of a Location Parameter", section 1; δ = 1 is the smooth L1 of detectors (Girshick 2015).
    The slope is never beyond ±δ/D, so that a few labels that are far off do not rule the rest.

    Args:
        student_values: (..., D).
        wanted_values: (..., D), the labels or the teacher's numbers; no gradient reaches them.
        mask: (...) bool.
        delta: δ, in the units of the numbers; above 0.

    Raises:
        ValueError: the shapes differ; ``delta`` is not above 0.
    """
    return _mean(partial(huber_positions, delta=delta), student_values, wanted_values, mask=mask)


def huber_positions(student_values: Tensor, wanted_values: Tensor, *, delta: float = 1.0) -> Tensor:
    """:func:`huber` at every position: (..., D), (..., D) -> (...)."""
    if not delta > 0:  # NaN is refused too
        raise ValueError(f"delta must be above 0, not {delta}")
    difference = _difference(student_values, wanted_values)
    return F.huber_loss(difference, torch.zeros_like(difference), reduction="none", delta=delta).mean(dim=-1)


def weighted_mse(
    student_values: Tensor,
    teacher_values: Tensor,
    spread: Tensor,
    *,
    mask: Tensor | None = None,
    tolerance: float = 1.0,
) -> Tensor:
    """``mean_d w_d (s_d - t_d)²``, ``w_d = ξ² / (ξ² + σ_d²)``: the squared difference, less where the teacher is unsure.

    Up to the factor ``1 / (2 ξ²)`` it is the KL divergence between normal distributions about the two numbers whose variance
    is ``ξ² + σ²``. Mai, Khamies, Paull 2021, "Batch Inverse-Variance Weighting: Deep Heteroscedastic Regression", section 3,
    weigh labels of known variance by ``1 / (σ² + ε)``, so that none that is nearly certain rules the rest, and divide by the sum
    of a batch's weights; here ``ξ² = ε``, and instead of that sum the weight is 1 where σ is 0, so that no example's term depends
    on the others, and the result is :func:`mse` where the teacher is sure of all.

    Args:
        student_values: (..., D).
        teacher_values: (..., D); no gradient reaches it.
        spread: σ, (..., D), the deviation of the teacher's numbers: of an ensemble's members, or over views; at least 0.
        mask: (...) bool.
        tolerance: ξ, the deviation at which a number weighs half, in the units of the numbers; above 0.

    Raises:
        ValueError: the shapes differ; ``tolerance`` is not above 0.
    """
    check_values(student_values, teacher_values)
    values_of = partial(weighted_mse_positions, tolerance=tolerance)
    return _mean(values_of, student_values, teacher_values, spread, mask=mask)


def weighted_mse_positions(
    student_values: Tensor, teacher_values: Tensor, spread: Tensor, *, tolerance: float = 1.0
) -> Tensor:
    """:func:`weighted_mse` at every position: three times (..., D) -> (...)."""
    if not tolerance > 0:  # NaN is refused too
        raise ValueError(f"tolerance must be above 0, not {tolerance}")
    weights = 1 / (1 + (at_least_float32(spread.detach()) / tolerance).square())
    return (weights * _difference(student_values, teacher_values).square()).mean(dim=-1)


def bounded_regression(
    student_values: Tensor, teacher_values: Tensor, labels: Tensor, *, mask: Tensor | None = None, margin: float = 0.0
) -> Tensor:
    """``||s - y||²`` where ``||s - y||² + m > ||t - y||²``, else 0: the teacher's error is the bound on the student's.

    Chen, Choi, Yu, Han, Chandraker 2017, "Learning Efficient Object Detection Models with Knowledge Distillation",
    section 3.3. A teacher's number, unlike a class, may point the other way than the label: so the student does not copy it,
    but is asked to come near the label until it is better than the teacher by the margin. Put :func:`huber` or :func:`mse`
    with the labels beside it. 0 where the student is at least as good by the margin, with gradient 0.

    Args:
        student_values: (..., D).
        teacher_values: (..., D); no gradient reaches it.
        labels: (..., D).
        mask: (...) bool.
        margin: m, in squared units of the numbers; at least 0.

    Raises:
        ValueError: the shapes differ; ``margin`` is below 0.
    """
    check_values(student_values, teacher_values)
    values_of = partial(bounded_regression_positions, margin=margin)
    return _mean(values_of, student_values, teacher_values, labels, mask=mask)


def bounded_regression_positions(
    student_values: Tensor, teacher_values: Tensor, labels: Tensor, *, margin: float = 0.0
) -> Tensor:
    """:func:`bounded_regression` at every position: three times (..., D) -> (...)."""
    if not margin >= 0:  # NaN is refused too
        raise ValueError(f"margin must be at least 0, not {margin}")
    students, teachers = (
        _difference(values, labels).square().sum(dim=-1) for values in (student_values, teacher_values.detach())
    )
    return torch.where(students + margin > teachers, students, torch.zeros_like(students))


def known(labels: Tensor) -> Tensor:
    """Which positions have a label, (..., D) -> (...) bool: those whose D numbers are all there (no NaN)."""
    return ~labels.isnan().any(dim=-1)


def check_values(student_values: Tensor, other_values: Tensor) -> None:
    """Raises ``ValueError`` where the two differ in shape: broadcast, a column would be compared with a row."""
    student, other = tuple(student_values.shape), tuple(other_values.shape)
    if student != other:
        text = (
            f"the student's numbers {student} and what they are compared with {other} must have the same shape (..., D)"
        )
        if student == (*other, 1) or other == (*student, 1):
            text += (
                ": one number for an example is (B, 1), so give the other one a last dimension too (values[:, None])"
            )
        raise ValueError(text)


def _mean(values_of, student_values: Tensor, *others: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the positions that count: those of the mask where the last of ``others`` (mostly the label) is known."""
    wanted = others[-1]
    check_values(student_values, wanted)
    there = known(wanted)
    if mask is not None and mask.shape != there.shape:
        raise ValueError(f"a mask {tuple(mask.shape)} does not fit numbers for positions {tuple(there.shape)}")
    counts = there if mask is None else there & mask
    return mean_of(values_of, student_values, *(other.detach() for other in others), mask=counts)


def _difference(student_values: Tensor, wanted_values: Tensor) -> Tensor:
    return at_least_float32(student_values) - at_least_float32(wanted_values.detach())
