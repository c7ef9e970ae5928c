"""What a small student cannot copy exactly, matched up to something: logits up to scale, to softness or to a constant.

``standardized_kd``, ``ttm`` and ``wttm`` are divergences between transformed probabilities, so they are 0 where those are
equal: where the student's standardised logits are the teacher's, or where the student is the *transformed* teacher.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from .closed_form import Found, seen_finite, with_slope
from .common import at_least_float32, by_doubles, check_same_shape, check_temperature, mean_of
from .divergences import closed_forward_kl, closed_kl
from .log_and_prob import softened
from .responses import kd_positions

__all__ = [
    "mse_logits",
    "mse_logits_positions",
    "standardized_kd",
    "standardized_kd_positions",
    "ttm",
    "ttm_positions",
    "wttm",
    "wttm_positions",
]

# Added to a standard deviation, as in the paper's code.
STANDARDIZED_EPS = 1e-7


def standardized_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """:func:`kd` of standardised logits: ``T² KL(softmax(z(teacher)/T) || softmax(z(student)/T))``.

    ``z(x) = (x - mean x) / (1e-7 + std x)`` over the classes of each row, std unbiased (divided by C - 1). Sun, Ren, Li,
    Wang, Cao 2024, "Logit Standardization in Knowledge Distillation", algorithm 1 (T² and 1e-7 as in its code). The
    student need not have the teacher's range of logits: the value is 0 exactly where its standardised logits are the
    teacher's, and does not change where a row is shifted or scaled up. So it leaves the student's confidence to another
    term: keep some cross-entropy beside it.

    Mean and std are over the classes whose logit is not -inf, of teacher and student each; the others stay ruled out. A
    row that is constant (or has one class) is standardised to 0. The slope there is finite but as steep as 1/1e-7 (for
    logits in float16 shortened to what the format holds): where a student's head begins at zero, clip the gradient or
    begin without this term.

    Args:
        student_logits: (..., C).
        teacher_logits: (..., C); no gradient reaches it.
        labels: (...) class ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.
        temperature: T > 0; the paper takes 2.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ, or the temperature is not positive.
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(standardized_kd_positions, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_standardized_kd(
    student: Tensor, teacher: Tensor, *, wanted: bool, temperature: float = 1.0
) -> Found | None:
    check_same_shape(student, teacher)
    check_temperature(temperature)
    if by_doubles(student, temperature):
        found = _closed_standardized_kd(student.double(), teacher.double(), wanted=wanted, temperature=temperature)
        return None if found is None else found.narrowed()
    (student, std), (teacher, _) = _standardized_all(student), _standardized_all(teacher)
    values, slope, *_ = closed_kl(softened(student, temperature), softened(teacher, temperature), wanted=wanted)
    if not seen_finite(values):
        return None
    if slope is not None:
        # through z = c / (eps + std): the slope's part along z is what the scale takes away
        degrees = max(student.shape[-1] - 1, 1)
        along = (slope * student).sum(dim=-1, keepdim=True) / (degrees * std.clamp(min=torch.finfo(std.dtype).tiny))
        slope = slope.div_(STANDARDIZED_EPS + std).addcmul_(student, along, value=-1)
    return Found(values, slope, temperature**2, temperature)


@with_slope(_closed_standardized_kd)
def standardized_kd_positions(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """:func:`standardized_kd` at every position: (..., C), (..., C) -> (...)."""
    check_same_shape(student_logits, teacher_logits)
    if by_doubles(student_logits, temperature):
        wide = student_logits.double(), teacher_logits.double()
        return standardized_kd_positions(*wide, temperature=temperature).float()
    return kd_positions(_standardized(student_logits), _standardized(teacher_logits.detach()), temperature=temperature)


def _standardized_all(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Standardised logits and the std (..., 1), where no class is ruled out; NaN where one is."""
    logits = at_least_float32(logits)
    centred = logits - logits.mean(dim=-1, keepdim=True)
    std = torch.linalg.vector_norm(centred, dim=-1, keepdim=True) / math.sqrt(max(logits.shape[-1] - 1, 1))
    return centred.div_(STANDARDIZED_EPS + std), std


def _standardized(logits: Tensor) -> Tensor:
    logits = at_least_float32(logits)
    out = logits == -math.inf
    number = (~out).sum(dim=-1, keepdim=True).to(logits.dtype)
    mean = logits.masked_fill(out, 0.0).sum(dim=-1, keepdim=True) / number.clamp(min=1)
    centred = (logits - mean).masked_fill(out, 0.0)
    # vector_norm and not the root of a sum: its gradient at 0 is 0 and not NaN
    std = torch.linalg.vector_norm(centred, dim=-1, keepdim=True) / (number - 1).clamp(min=1).sqrt()
    return (centred / (STANDARDIZED_EPS + std)).masked_fill(out, -math.inf)


def ttm(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    gamma: float = 0.1,
) -> Tensor:
    """``KL(p^γ / Σ p^γ || q)``: transformed teacher matching.

    p and q are the teacher's and the student's probabilities at temperature 1. Raising p to γ is softening the teacher
    alone by T = 1/γ; the student stays at temperature 1, and there is no factor T². Zheng, Yang 2024, "Knowledge
    Distillation Based on Transformed Teacher Matching", section 3: against ``kd`` this adds a Rényi entropy of the
    student to the loss, which regularises it. Written as a divergence: 0 exactly where the student equals the
    *transformed* teacher (and not where it equals the teacher, unless γ = 1, which is ``kd`` at T = 1).

    Args:
        student_logits: (..., C).
        teacher_logits: (..., C); no gradient reaches it. Any constant may be added to a row.
        labels: (...) class ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.
        gamma: γ > 0, usually below 1.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ, or gamma is not positive.
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(ttm_positions, gamma=gamma)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_ttm(student: Tensor, teacher: Tensor, *, wanted: bool, gamma: float = 0.1) -> Found:
    _check_gamma(gamma)
    return closed_forward_kl(student, gamma * at_least_float32(teacher), wanted=wanted)


@with_slope(_closed_ttm)
def ttm_positions(student_logits: Tensor, teacher_logits: Tensor, *, gamma: float = 0.1) -> Tensor:
    """:func:`ttm` at every position: (..., C), (..., C) -> (...)."""
    check_same_shape(student_logits, teacher_logits)
    _check_gamma(gamma)
    return kd_positions(student_logits, gamma * at_least_float32(teacher_logits.detach()))


def wttm(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    gamma: float = 0.1,
) -> Tensor:
    """``U KL(p^γ / Σ p^γ || q)`` with ``U = Σ p^γ``: weighted transformed teacher matching.

    :func:`ttm` with a weight for each example: for γ < 1 U grows with the teacher's uncertainty, from 1 (one class for
    certain) to ``C^(1-γ)`` (all classes alike). The weights are not normalised over the batch. Zheng, Yang 2024,
    "Knowledge Distillation Based on Transformed Teacher Matching", section 4. 0 exactly where the student equals the
    transformed teacher. Arguments and errors are those of :func:`ttm`.
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(wttm_positions, gamma=gamma)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_wttm(student: Tensor, teacher: Tensor, *, wanted: bool, gamma: float = 0.1) -> Found:
    values, slope, *_ = _closed_ttm(student, teacher, wanted=wanted, gamma=gamma)
    weights = _sums_of_powers(teacher, gamma)
    return Found(values.mul_(weights), None if slope is None else slope.mul_(weights.unsqueeze(-1)))


@with_slope(_closed_wttm)
def wttm_positions(student_logits: Tensor, teacher_logits: Tensor, *, gamma: float = 0.1) -> Tensor:
    """:func:`wttm` at every position: (..., C), (..., C) -> (...)."""
    matched = ttm_positions(student_logits, teacher_logits, gamma=gamma)
    return _sums_of_powers(teacher_logits.detach(), gamma) * matched


def _sums_of_powers(teacher_logits: Tensor, gamma: float) -> Tensor:
    """``Σ p^γ``: (..., C) -> (...)."""
    # a logit of 0 at the top of each row: γ times the log-probabilities, but for a constant
    logits = at_least_float32(teacher_logits)
    logits = logits - logits.amax(dim=-1, keepdim=True)
    powers = (gamma * logits).exp_().sum(dim=-1)
    return powers / logits.exp_().sum(dim=-1).pow_(gamma)


def mse_logits(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean over the classes of the squared difference of **centred** logits.

    Ba, Caruana 2014, "Do Deep Nets Really Need to be Deep?", section 2.2, which sums over the classes and halves: C/2
    times this. There the logits are as the teacher's last layer gave them. Here each row is centred first (its mean
    taken away), since a constant added to a row says nothing of the classes and stored logits do not keep it; the value
    is that of the constant that suits best. Half of it is what :func:`kd` tends to as T grows.

    A class whose logit is -inf with the teacher has nothing to be matched and is left out, of the centring too. One that
    the teacher allows and the student rules out makes the value inf.

    Args:
        student_logits: (..., C).
        teacher_logits: (..., C); no gradient reaches it. Any constant may be added to a row.
        labels: (...) class ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ.
    """
    check_same_shape(student_logits, teacher_logits)
    return mean_of(mse_logits_positions, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_mse_logits(student: Tensor, teacher: Tensor, *, wanted: bool) -> Found | None:
    check_same_shape(student, teacher)
    centred = at_least_float32(student) - at_least_float32(teacher)
    centred -= centred.mean(dim=-1, keepdim=True)
    classes = max(centred.shape[-1], 1)
    values = centred.square().sum(dim=-1)
    return Found(values, centred if wanted else None, 1 / classes, 2 / classes) if seen_finite(values) else None


@with_slope(_closed_mse_logits)
def mse_logits_positions(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """:func:`mse_logits` at every position: (..., C), (..., C) -> (...)."""
    check_same_shape(student_logits, teacher_logits)
    student, teacher = at_least_float32(student_logits), at_least_float32(teacher_logits.detach())
    unasked, refused = teacher == -math.inf, student == -math.inf
    out = unasked | refused
    number = (~out).sum(dim=-1, keepdim=True).clamp(min=1)
    gap = (student - teacher).masked_fill(out, 0.0)
    centred = (gap - gap.sum(dim=-1, keepdim=True) / number).masked_fill(out, 0.0)
    values = centred.square().sum(dim=-1) / number.squeeze(-1)
    return values.masked_fill((refused & ~unasked).any(dim=-1), math.inf)


def _check_gamma(gamma: float) -> None:
    if not gamma > 0:  # NaN is refused too
        raise ValueError(
            f"gamma is the power that the teacher's probabilities are raised to and must be positive: {gamma}"
        )
