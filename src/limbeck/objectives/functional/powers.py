"""The α-β-divergence: powers of the two models' probabilities; see the package for the common form.

With d = log(p/q) a class adds q^(α+β) times the second divided difference of x -> e^(xd) at the nodes 0, α, α+β, that is
``q^(α+β) d² e^(x* d) Φ(u, v)``: x* is the node whose power is the largest, u <= v are |d| times the distances of the other
two from it, and Φ is the second divided difference of e^x at 0, -u, -v, between 0 and ½: ``(f(u) - e^-u f(v - u)) / v`` with
``f(x) = (1 - e^-x) / x``, and a series where v is small. So nothing overflows but what is too large itself, equal nodes (the
limits) divide by nothing, and d = 0 gives exactly 0. The slope with respect to log q is ``q^β (q^α - p^α) / α``, a first
divided difference, in which nothing cancels.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from .closed_form import Found, through_softmax, with_slope
from .common import check_same_shape, mean_of
from .divergences import LN2, both_log_probabilities, finite
from .log_and_prob import both_softened

__all__ = ["alpha_beta", "alpha_beta_positions"]

# Below this Φ is summed as a series, above it is a quotient whose rounding is that of the format divided by it.
_SERIES = 0.5
# Exponents from here on have the quicker form, whose rounding is that of the format divided by the smaller one.
_PLAIN = 0.05


def alpha_beta(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    alpha: float = 0.2,
    beta: float = 0.7,
) -> Tensor:
    """α-β-divergence: ``-1/(αβ) Σ [p^α q^β - α/(α+β) p^(α+β) - β/(α+β) q^(α+β)]``, and its limits where that is 0/0.

    Cichocki, Cruces, Amari 2011, "Generalized Alpha-Beta Divergences", section 2; for distillation Wang et al. 2025,
    "ABKD". α and β may be any real numbers:

    - β = 0: ``1/α² Σ [α p^α log(p/q) - p^α + q^α]``, for α = 1 the forward KL;
    - α = 0: the same with p and q, α and β in each other's place, for β = 1 the reverse KL;
    - α + β = 0: ``1/α² Σ [(p/q)^α - 1 - α log(p/q)]``;
    - both 0: ``½ Σ log²(p/q)``.

    A class that the teacher alone allows adds infinity unless β > 0 and α + β > 0; one that the student alone allows,
    unless α > 0 and α + β > 0. A class that both rule out adds nothing.

    Negative exponents weigh by the inverse of probabilities: for them finite logits can be too far apart for the number
    format (in float32 where the exponent times the gap of log-probabilities is above 88). The value is inf then, and the
    gradient finite, cut off at what the format holds.

    Args:
        student_logits: (..., C).
        teacher_logits: (..., C); no gradient reaches it.
        labels: (...) class ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.
        temperature: T > 0, for both; no factor T².
        alpha: the teacher's exponent. The defaults are ABKD's for language models; for CIFAR-100 it has 0.8 and 0.3.
        beta: the student's exponent.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ, the temperature is not positive, or an exponent is not finite.
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(alpha_beta_positions, alpha=alpha, beta=beta, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_alpha_beta(
    student: Tensor,
    teacher: Tensor,
    *,
    wanted: bool,
    alpha: float = 0.2,
    beta: float = 0.7,
    temperature: float = 1.0,
) -> Found:
    _check_exponents(alpha, beta)
    (log_q, q), (log_p, _) = both_softened(student, teacher, temperature)
    if min(alpha, beta) >= _PLAIN:
        return _of_positive_exponents(log_q, q, log_p, wanted, alpha, beta, temperature)
    log_q, log_p = (_bounded(logs, alpha, beta) for logs in (log_q, log_p))
    values = _terms(log_q, log_p, alpha, beta).sum(dim=-1)
    if not wanted:
        return Found(values, None)
    fall = log_q - log_p
    exponent = _kept(beta * log_q + torch.maximum(alpha * log_q, alpha * log_p), fall)
    half = (exponent / 2).exp()
    pulled = half * _first(abs(alpha) * fall.abs()) * fall * half
    largest = torch.finfo(pulled.dtype).max / (8 * pulled.shape[-1])
    return Found(values, through_softmax(pulled.clamp_(-largest, largest), q), slope_factor=1 / temperature)


def _of_positive_exponents(
    log_q: Tensor, q: Tensor, log_p: Tensor, wanted: bool, alpha: float, beta: float, temperature: float
) -> Found:
    """The same where neither exponent is near 0, in fewer passes over memory."""
    log_q, log_p = finite(log_q), finite(log_p)
    fall = log_p - log_q
    teachers = fall.sign()  # 1 where p > q, -1 where p < q: a number, since choosing by a mask costs more
    fall = fall.abs_().neg_()
    near = teachers.mul((beta - alpha) / 2).add_((alpha + beta) / 2)  # β where p > q, α where p < q
    far = near.neg().add_(alpha + beta)
    near_slope, far_slope = (torch.expm1(fall * distance) for distance in (near, far))
    power = near_slope + 1
    near_slope, far_slope = near_slope.div_(near), far_slope.div_(far).mul_(power)
    largest = torch.maximum(log_p, log_q).mul_((alpha + beta) / LN2).exp2_()
    values, total = (far_slope - near_slope).mul_(largest).sum(dim=-1), alpha + beta
    if not wanted:
        return Found(values, None, 1 / total)
    # with respect to log q: q^β (q^α - p^α) / α, which is one of the two parts
    teachers = teachers.add_(1).mul_(0.5)
    pulled = far_slope.add_(near_slope).mul_(teachers).sub_(near_slope).mul_(largest)
    return Found(values, through_softmax(pulled, q), 1 / total, 1 / temperature)


@with_slope(_closed_alpha_beta)
def alpha_beta_positions(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    alpha: float = 0.2,
    beta: float = 0.7,
    temperature: float = 1.0,
) -> Tensor:
    """:func:`alpha_beta` at every position: (..., C), (..., C) -> (...)."""
    _check_exponents(alpha, beta)
    both = both_log_probabilities(student_logits, teacher_logits, temperature)
    log_q, log_p = (_bounded(logs, alpha, beta) for logs in both)
    return _terms(log_q, log_p, alpha, beta).sum(dim=-1)


def _terms(log_q: Tensor, log_p: Tensor, alpha: float, beta: float) -> Tensor:
    """What every class adds, (..., C)."""
    total = alpha + beta
    lowest, middle, highest = sorted((0.0, alpha, total))
    ratio = log_p - log_q
    teachers, gap = ratio > 0, ratio.abs()  # p > q: the largest power is that of the highest node, else of the lowest

    def either(where_teachers: float, else_: float) -> Tensor:  # of two numbers torch.where makes float32
        return torch.where(teachers, where_teachers, torch.full_like(ratio, else_))

    node = either(highest, lowest)
    exponent = _kept(node * log_p + (total - node) * log_q, ratio)
    above, below, width = highest - middle, middle - lowest, highest - lowest
    nearer, other = either(above, below), either(below, above)
    # in two halves, so that a small difference of large powers does not overflow
    half = (exponent / 2).exp()
    small = gap * width < _SERIES
    near, far = gap.masked_fill(~small, 0.0), gap.masked_fill(small, 1.0)
    in_series = half * near * (half * near * _series(near * nearer, near * width))
    falls = far * nearer, far * other
    slopes = far * _first(falls[0]) - (-falls[0]).exp() * far * _first(falls[1])
    terms = torch.where(small, in_series, half * (slopes / (width or 1.0)) * half)
    for distance, side in ((below, ~teachers), (above, teachers)):
        if (
            distance < torch.finfo(ratio.dtype).eps ** 2
        ):  # the slope is infinite where one model alone rules a class out
            terms = terms.masked_fill(side & (gap > -_ruled_out(ratio.dtype, alpha, beta) / 2), math.inf)
    return terms


def _first(x: Tensor) -> Tensor:
    """``(1 - e^-x) / x`` for x >= 0; 1 at 0."""
    there = x.masked_fill(x == 0, 1.0)
    return torch.where(x == 0, 1.0, -torch.expm1(-there) / there)


def _series(u: Tensor, v: Tensor) -> Tensor:
    """Φ, for 0 <= u <= v < :data:`_SERIES`: the sum over k of h_k(-u, -v) / (k + 2)!, h_k complete and homogeneous."""
    polynomial, power, factorial, k = torch.ones_like(u), torch.ones_like(u), 2, 0
    series, least = polynomial / 2, torch.finfo(u.dtype).eps / 8
    while (k + 1) * _SERIES**k / factorial > least:
        k += 1
        factorial *= k + 2
        power = power * -u
        polynomial = polynomial * -v + power
        series = series + polynomial / factorial
    return series


def _kept(exponent: Tensor, ratio: Tensor) -> Tensor:
    """The exponent, and 0 where it would overflow although p = q, which adds nothing."""
    return exponent.masked_fill((ratio == 0) & (exponent > 80), 0.0)


def _bounded(logs: Tensor, alpha: float, beta: float) -> Tensor:
    """Log-probabilities with -inf raised to a number that times an exponent is still finite."""
    return logs.clamp(min=_ruled_out(logs.dtype, alpha, beta))


def _ruled_out(dtype: torch.dtype, alpha: float, beta: float) -> float:
    return torch.finfo(dtype).min / (1e8 * max(1.0, abs(alpha) + abs(beta)))


def _check_exponents(alpha: float, beta: float) -> None:
    if not (math.isfinite(alpha) and math.isfinite(beta)):
        raise ValueError(f"alpha and beta must be finite numbers, not {alpha} and {beta}")
