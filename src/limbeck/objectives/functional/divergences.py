"""Divergences between the teacher's probabilities p and the student's q; see the package for the common form.

``p = softmax(teacher_logits / T)`` and ``q = softmax(student_logits / T)``. Unlike :func:`.kd` none has the factor T²,
as in the papers they are from: ``kd = T² forward_kl``. All are at least 0, up to rounding, and 0 where student equals
teacher; a constant added to a row of logits changes nothing.

A class whose logit is -inf, or whose probability is too small for the number format, counts as ruled out. A class that
both models rule out adds nothing, so that padding of the vocabulary changes neither value nor gradient.
"""

from __future__ import annotations

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .closed_form import Found, seen_finite, through_softmax, with_slope
from .common import at_least_float32, check_same_shape, check_temperature, log_probabilities, mean_of, weighted_gap
from .log_and_prob import both_softened

__all__ = [
    "forward_kl",
    "forward_kl_positions",
    "jsd",
    "jsd_positions",
    "reverse_kl",
    "reverse_kl_positions",
    "skew_forward_kl",
    "skew_forward_kl_positions",
    "skew_reverse_kl",
    "skew_reverse_kl_positions",
    "total_variation",
    "total_variation_positions",
]

LN2 = math.log(2)


def forward_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """``KL(p || q) = Σ p log(p / q)``: the student must cover all that the teacher deems likely.

    Kullback and Leibler 1951, "On Information and Sufficiency", section 2. Infinite where the student rules out a class
    that the teacher allows.

    Args:
        student_logits: (..., C).
        teacher_logits: (..., C); no gradient reaches it.
        labels: (...) class ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.
        temperature: T > 0, for both. No factor T²: with it the function is :func:`.kd`.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ, or the temperature is not positive.
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(forward_kl_positions, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def closed_forward_kl(student: Tensor, teacher: Tensor, *, wanted: bool, temperature: float = 1.0) -> Found:
    """The closed form of :func:`forward_kl_positions`."""
    students, teachers = both_softened(student, teacher, temperature)
    return closed_kl(students, teachers, wanted=wanted, slope_factor=1 / temperature)


def closed_kl(
    students: tuple[Tensor, Tensor],
    teachers: tuple[Tensor, Tensor],
    *,
    wanted: bool,
    value_factor: float = 1.0,
    slope_factor: float = 1.0,
) -> Found:
    """``KL(p || q)`` and ``q - p``, from (log q, q) and (log p, p): the slope with what q is the softmax of.

    Overwrites q.
    """
    (log_q, q), (log_p, p) = students, teachers
    values = (log_p - log_q).mul_(p).sum(dim=-1)
    if not seen_finite(values):
        values = weighted_gap(p, log_p, log_q)
    return Found(values, q.sub_(p) if wanted else None, value_factor, slope_factor)


@with_slope(closed_forward_kl)
def forward_kl_positions(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """:func:`forward_kl` at every position: (..., C), (..., C) -> (...)."""
    log_q, log_p = both_log_probabilities(student_logits, teacher_logits, temperature)
    return weighted_gap(log_p.exp(), log_p, log_q)


def reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """``KL(q || p) = Σ q log(q / p)``: the student must keep to what the teacher deems likely.

    For language models: Gu, Dong, Wei, Huang 2024, "MiniLLM", section 2.1. Infinite, and of no use as a gradient, where
    the student allows a class that the teacher rules out.

    Args and errors as in :func:`forward_kl`; no factor T².
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(reverse_kl_positions, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_reverse_kl(student: Tensor, teacher: Tensor, *, wanted: bool, temperature: float = 1.0) -> Found:
    (log_q, q), (log_p, _) = both_softened(student, teacher, temperature)
    terms = (log_q - log_p).mul_(q)
    values = terms.sum(dim=-1)
    if not seen_finite(values):
        terms = (log_q - log_p).masked_fill_(q == 0, 0.0).mul_(q)
        values = terms.sum(dim=-1)
    return Found(values, through_softmax(terms, q) if wanted else None, slope_factor=1 / temperature)


@with_slope(_closed_reverse_kl)
def reverse_kl_positions(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """:func:`reverse_kl` at every position: (..., C), (..., C) -> (...)."""
    log_q, log_p = both_log_probabilities(student_logits, teacher_logits, temperature)
    return weighted_gap(log_q.exp(), log_q, log_p)


def jsd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    beta: float = 0.5,
) -> Tensor:
    """Generalised Jensen-Shannon divergence: ``β KL(p || m) + (1-β) KL(q || m)`` with ``m = β p + (1-β) q``.

    Agarwal et al. 2024, "On-Policy Distillation of Language Models" (GKD), section 2. At most the entropy of (β, 1-β),
    so ln 2 for β = ½, whatever either model rules out. ``jsd / β`` tends to :func:`forward_kl` as β -> 0, and
    ``jsd / (1-β)`` to :func:`reverse_kl` as β -> 1. The formula itself vanishes there, gradient included, so β = 0
    stands for the forward and β = 1 for the reverse KL; a β close to either needs a weight that makes up for it.

    Args and errors as in :func:`forward_kl`, no factor T², and:
        beta: the teacher's share of the mixture, in [0, 1].
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(jsd_positions, beta=beta, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_jsd(
    student: Tensor, teacher: Tensor, *, wanted: bool, beta: float = 0.5, temperature: float = 1.0
) -> Found:
    _check_beta(beta)
    if beta in (0, 1):
        closed = _closed_reverse_kl if beta else closed_forward_kl
        return closed(student, teacher, wanted=wanted, temperature=temperature)
    (log_q, q), (log_p, p) = both_softened(student, teacher, temperature)
    own, ratio = _rounded(beta, q), _ratio(log_q, log_p)
    to_student = ratio.reciprocal().mul_(own).add_(1 - own).log2_().mul_(q)  # q log2(m / q)
    to_teacher = ratio.mul_(1 - own).add_(own).log2_().mul_(p)  # p log2(m / p)
    values = to_teacher.sum(dim=-1).mul_(beta).add_(to_student.sum(dim=-1), alpha=1 - beta)
    slope = through_softmax(to_student, q) if wanted else None
    return Found(values, slope, -LN2, (beta - 1) * LN2 / temperature)


@with_slope(_closed_jsd)
def jsd_positions(
    student_logits: Tensor, teacher_logits: Tensor, *, beta: float = 0.5, temperature: float = 1.0
) -> Tensor:
    """:func:`jsd` at every position: (..., C), (..., C) -> (...)."""
    _check_beta(beta)
    if beta == 0:
        return forward_kl_positions(student_logits, teacher_logits, temperature=temperature)
    if beta == 1:
        return reverse_kl_positions(student_logits, teacher_logits, temperature=temperature)
    log_q, log_p = both_log_probabilities(student_logits, teacher_logits, temperature)
    log_q, log_p = finite(log_q), finite(log_p)
    to_teacher, to_student = _log_mixture_over(log_q - log_p, beta)
    teachers, students = (log_p.exp() * to_teacher).sum(dim=-1), (log_q.exp() * to_student).sum(dim=-1)
    return -(beta * teachers + (1 - beta) * students)


def skew_forward_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    skew: float = 0.1,
) -> Tensor:
    """``KL(p || λ p + (1-λ) q)``: forward KL whose gradient stays bounded where the student says next to nothing.

    Ko, Kim, Chen, Yun 2024, "DistiLLM", section 3.1. At most ``-log λ``; λ = 0 is :func:`forward_kl`.

    Args and errors as in :func:`forward_kl`, no factor T², and:
        skew: λ in [0, 1), the teacher's share of the mixture.
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(skew_forward_kl_positions, skew=skew, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_skew_forward_kl(
    student: Tensor, teacher: Tensor, *, wanted: bool, skew: float = 0.1, temperature: float = 1.0
) -> Found:
    _check_skew(skew)
    if skew == 0:
        return closed_forward_kl(student, teacher, wanted=wanted, temperature=temperature)
    (log_q, q), (log_p, p) = both_softened(student, teacher, temperature)
    own = _rounded(skew, q)
    students = _ratio(log_q, log_p).mul_(1 - own)  # (1-λ) q / p
    mixture = students + own  # m / p
    slope = through_softmax(students.div_(mixture).mul_(p), q) if wanted else None
    values = mixture.log2_().mul_(p).sum(dim=-1)
    values.add_(log_q.amax(dim=-1), alpha=0)  # a student's NaN must show
    return Found(values, slope, -LN2, -1 / temperature)


@with_slope(_closed_skew_forward_kl)
def skew_forward_kl_positions(
    student_logits: Tensor, teacher_logits: Tensor, *, skew: float = 0.1, temperature: float = 1.0
) -> Tensor:
    """:func:`skew_forward_kl` at every position: (..., C), (..., C) -> (...)."""
    _check_skew(skew)
    if skew == 0:
        return forward_kl_positions(student_logits, teacher_logits, temperature=temperature)
    log_q, log_p = both_log_probabilities(student_logits, teacher_logits, temperature)
    log_p = finite(log_p)  # log_q may stay infinite: it stands in one place alone, and the mixture still has p there
    to_teacher, _ = _log_mixture_over(log_q - log_p, skew)
    return -(log_p.exp() * to_teacher).sum(dim=-1)


def skew_reverse_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    skew: float = 0.1,
) -> Tensor:
    """``KL(q || (1-λ) p + λ q)``: reverse KL that stays finite where the teacher rules out what the student allows.

    Ko, Kim, Chen, Yun 2024, "DistiLLM", section 3.1. At most ``-log λ``; λ = 0 is :func:`reverse_kl`. The gradient
    passes through both places of q, the mixture's too.

    Args and errors as in :func:`forward_kl`, no factor T², and:
        skew: λ in [0, 1), the student's share of the mixture.
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(skew_reverse_kl_positions, skew=skew, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_skew_reverse_kl(
    student: Tensor, teacher: Tensor, *, wanted: bool, skew: float = 0.1, temperature: float = 1.0
) -> Found:
    _check_skew(skew)
    if skew == 0:
        return _closed_reverse_kl(student, teacher, wanted=wanted, temperature=temperature)
    (log_q, q), (log_p, _) = both_softened(student, teacher, temperature)
    own = _rounded(skew, q)
    mixture = _ratio(log_p, log_q).mul_(1 - own).add_(own)  # m / q
    terms = mixture.log2().mul_(q)
    values = terms.sum(dim=-1)
    values.add_(log_p.amax(dim=-1), alpha=0)  # a teacher's NaN must show
    slope = None
    if wanted:  # both places of q: log(q / m), and the mixture
        slope = through_softmax(terms.addcdiv_(q, mixture, value=own / LN2), q)
    return Found(values, slope, -LN2, -LN2 / temperature)


@with_slope(_closed_skew_reverse_kl)
def skew_reverse_kl_positions(
    student_logits: Tensor, teacher_logits: Tensor, *, skew: float = 0.1, temperature: float = 1.0
) -> Tensor:
    """:func:`skew_reverse_kl` at every position: (..., C), (..., C) -> (...)."""
    _check_skew(skew)
    if skew == 0:
        return reverse_kl_positions(student_logits, teacher_logits, temperature=temperature)
    log_q, log_p = both_log_probabilities(student_logits, teacher_logits, temperature)
    log_q, log_p = finite(log_q), finite(log_p)
    to_student, _ = _log_mixture_over(log_p - log_q, skew)
    return -(log_q.exp() * to_student).sum(dim=-1)


def total_variation(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """``½ Σ |p - q|``, in [0, 1]: the largest difference in probability that any set of classes has.

    As an objective: Wen, Li, Du, Mou 2023, "f-Divergence Minimization for Sequence-Level Knowledge Distillation",
    section 2. Where p = q in a class, its slope there is taken as 0.

    Args and errors as in :func:`forward_kl`; no factor T².
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(total_variation_positions, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_total_variation(student: Tensor, teacher: Tensor, *, wanted: bool, temperature: float = 1.0) -> Found:
    check_same_shape(student, teacher)
    q, p = probabilities(student, temperature), probabilities(teacher, temperature)
    apart = q - p
    slope = through_softmax(apart.sign().mul_(q), q) if wanted else None
    return Found(apart.abs_().sum(dim=-1), slope, 0.5, 0.5 / temperature)


@with_slope(_closed_total_variation)
def total_variation_positions(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """:func:`total_variation` at every position: (..., C), (..., C) -> (...)."""
    check_same_shape(student_logits, teacher_logits)
    q, p = probabilities(student_logits, temperature), probabilities(teacher_logits.detach(), temperature)
    return (q - p).abs().sum(dim=-1) / 2


def probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """softmax(logits / T) over the last dimension, at least float32. Raises ``ValueError`` unless T > 0."""
    check_temperature(temperature)
    logits = at_least_float32(logits)
    return F.softmax(logits if temperature == 1 else logits / temperature, dim=-1)


def both_log_probabilities(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """log q and log p, (..., C) each, the teacher's without a graph.

    Raises ``ValueError`` where shapes differ or the temperature is not positive.
    """
    check_same_shape(student_logits, teacher_logits)
    check_temperature(temperature)
    return log_probabilities(student_logits, temperature), log_probabilities(teacher_logits.detach(), temperature)


def finite(logs: Tensor) -> Tensor:
    """``logs`` with -inf raised to a number whose exponential is still 0, and whose differences are finite.

    Where no value can be infinite this takes the place of a mask: 0 times it is 0, in the value and in the gradient.
    """
    lowest = torch.finfo(logs.dtype).min / 4
    return logs.clamp(min=lowest) if logs.requires_grad else logs.clamp_(min=lowest)


def _log_mixture_over(log_ratio: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """``log(m / a)`` and ``log(m / b)`` of the mixture ``m = share a + (1-share) b``, from ``log b - log a``.

    The log-sum-exp of log a and log b taken relative to either, so that nothing is lost where m underflows, and both
    are exactly 0 where a = b.
    """
    own = log_ratio.new_full((), share)  # in the logits' own format: its sum with 1 - own rounds to 1
    rise = F.relu(log_ratio)
    fall = log_ratio - rise  # and not a clamp: the two slopes must add up to 1 at 0 as well, where a = b
    log_scale = (own * torch.exp(-rise) + (1 - own) * fall.exp()).log()
    return log_scale + rise, log_scale - fall


def _ratio(log_a: Tensor, log_b: Tensor) -> Tensor:
    """``a / b``, cut off where one of them is nothing beside the other; 1 where both are 0."""
    most = 0.9 * math.log2(torch.finfo(log_a.dtype).max)
    # powers of 2 (and logarithms to that base) take the processor half the time that those of e do
    return (log_a - log_b).nan_to_num_(nan=0.0).mul_(1 / LN2).clamp_(-most, most).exp2_()


def _rounded(share: float, like: Tensor) -> float:
    """The share in the tensor's own format: its sum with 1 - share then rounds to 1."""
    return torch.tensor(share, dtype=like.dtype).item()


def _check_beta(beta: float) -> None:
    if not 0 <= beta <= 1:  # NaN is refused too
        raise ValueError(f"beta, the teacher's share of the mixture, must lie between 0 and 1, not {beta}")


def _check_skew(skew: float) -> None:
    if not 0 <= skew < 1:  # NaN is refused too; 1 would be the constant 0
        raise ValueError(f"skew must be at least 0 and less than 1, not {skew}")
