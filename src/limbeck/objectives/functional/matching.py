"""What a small student cannot copy exactly, matched up to something: correlations, logits up to scale or a constant.

``standardized_kd``, ``ttm`` and ``wttm`` are divergences between transformed probabilities, so they are 0 where those are
equal: where the student's standardised logits are the teacher's, or where the student is the *transformed* teacher.
``dist`` compares the examples of a batch with one another.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from . import common
from .common import at_least_float32, check_same_shape, check_temperature, log_probabilities, mean_of
from .responses import kd_positions

# Added to a standard deviation, as in the paper's code.
STANDARDIZED_EPS = 1e-7
# Added to the product of two norms, as in the paper's code.
CORRELATION_EPS = 1e-8


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
    row that is constant (or has one class) is standardised to 0. The slope there is finite but as steep as 1/1e-7: where
    a student's head begins at zero, clip the gradient or begin without this term.

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


def standardized_kd_positions(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """:func:`standardized_kd` at every position: (..., C), (..., C) -> (...)."""
    check_same_shape(student_logits, teacher_logits)
    return kd_positions(_standardized(student_logits), _standardized(teacher_logits.detach()), temperature=temperature)


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


def wttm_positions(student_logits: Tensor, teacher_logits: Tensor, *, gamma: float = 0.1) -> Tensor:
    """:func:`wttm` at every position: (..., C), (..., C) -> (...)."""
    matched = ttm_positions(student_logits, teacher_logits, gamma=gamma)
    return torch.logsumexp(gamma * log_probabilities(teacher_logits.detach()), dim=-1).exp() * matched


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


def dist(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    beta: float = 1.0,
    gamma: float = 1.0,
) -> Tensor:
    """``β T² mean_rows(1 - ρ(q, p)) + γ T² mean_columns(1 - ρ(q, p))``, ρ Pearson's correlation.

    p and q are the teacher's and the student's probabilities softened by T: a row is an example's (relations between
    classes), a column a class's over the examples of the batch (relations within it). Huang, You, Wang, Qian, Xu 2022,
    "Knowledge Distillation from A Stronger Teacher", code in appendix A.1, whose T² and 1e-8 these are. A correlation does
    not shrink as T grows, so unlike with ``kd`` the gradient then grows as T².

    **Batch-relational**: the columns run over all positions that count, so the value depends on how a batch is cut, and
    there is no ``dist_positions``.

    ``ρ = Σ ab / (‖a‖ ‖b‖ + 1e-8)`` of the centred a and b. Where a row or a column is constant (always with one position,
    or one class) ρ is 0 and adds 1 to its mean, with a finite gradient: of no size where the teacher's is constant, as
    steep as ‖b‖/1e-8 where only the student's is (begin with a head that is not zero). Where student equals teacher and
    nothing is constant the value is 0 but for the 1e-8. A class that is -inf for both at every position that counts is
    padding, and no part of any row.

    Args:
        student_logits: (..., C).
        teacher_logits: (..., C); no gradient reaches it. Any constant may be added to a row.
        labels: (...) class ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.
        temperature: T > 0; the paper takes 4 on CIFAR-100 and 1 on ImageNet.
        beta: β >= 0, weight of the rows.
        gamma: γ >= 0, weight of the columns.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ, the temperature is not positive, or a weight is negative.
    """
    check_same_shape(student_logits, teacher_logits)
    check_temperature(temperature)
    for name, weight in (("beta", beta), ("gamma", gamma)):
        if not weight >= 0:  # NaN is refused too
            raise ValueError(f"{name} is a weight and cannot be negative: {weight} was given")
    positions = student_logits.shape[:-1]
    counts = common.counted(student_logits, labels, mask)
    if counts is None:
        counts = torch.ones(positions, dtype=torch.bool, device=student_logits.device)
    elif counts.shape != positions:
        raise ValueError(f"labels and mask give {tuple(counts.shape)} positions and the logits {tuple(positions)}")
    student_NC, teacher_NC = (
        logits.reshape(-1, logits.shape[-1]) for logits in (student_logits, teacher_logits.detach())
    )
    relate = _dist if student_NC.numel() <= common.WHOLE else _dist_in_chunks
    return temperature**2 * relate(student_NC, teacher_NC, counts.reshape(-1), temperature, beta, gamma)


def _dist(
    student_NC: Tensor, teacher_NC: Tensor, counts_N: Tensor, temperature: float, beta: float, gamma: float
) -> Tensor:
    student_NC, teacher_NC = (common.silenced(logits, counts_N) for logits in (student_NC, teacher_NC))
    q_NC, p_NC = (log_probabilities(logits, temperature).exp() for logits in (student_NC, teacher_NC))
    here_N1, known_C = counts_N.unsqueeze(-1), _known(student_NC, teacher_NC, counts_N)
    positions, classes = _at_least_one(counts_N, q_NC.dtype), _at_least_one(known_C, q_NC.dtype)
    rows_N = 1 - _correlation(*_between_classes(q_NC, p_NC, known_C, classes), dim=1)
    q_NC, p_NC = q_NC.masked_fill(~here_N1, 0.0), p_NC.masked_fill(~here_N1, 0.0)
    within = ((x_NC - x_NC.sum(dim=0) / positions).masked_fill(~here_N1, 0.0) for x_NC in (q_NC, p_NC))
    columns_C = 1 - _correlation(*within, dim=0)
    return beta * rows_N.masked_fill(~counts_N, 0.0).sum() / positions + (
        gamma * columns_C.masked_fill(~known_C, 0.0).sum() / classes
    )


def _dist_in_chunks(
    student_NC: Tensor, teacher_NC: Tensor, counts_N: Tensor, temperature: float, beta: float, gamma: float
) -> Tensor:
    """The same a few rows at a time: first what each column comes to, then each row with its share of the gradient."""
    means_2C, moments_3C, known_C = _columns(student_NC.detach(), teacher_NC, counts_N, temperature)
    dtype = at_least_float32(student_NC[:0]).dtype
    positions, classes = _at_least_one(counts_N, dtype), _at_least_one(known_C, dtype)
    products_C, q_norms_C, p_norms_C = moments_3C[0], moments_3C[1].sqrt(), moments_3C[2].sqrt()
    sizes_C = q_norms_C * p_norms_C + CORRELATION_EPS
    columns = gamma * (1 - products_C / sizes_C).masked_fill(~known_C, 0.0).sum().to(dtype) / classes
    # the slope of ρ with a, a and b centred: b / size - a (Σ ab) ‖b‖ / (‖a‖ size²)
    towards_C = (gamma / classes / sizes_C).masked_fill(~known_C, 0.0).to(dtype)
    away_C = (gamma / classes * products_C * p_norms_C / (q_norms_C * sizes_C**2)).to(dtype)
    away_C = away_C.masked_fill((q_norms_C == 0) | ~known_C, 0.0)
    q_means_C, p_means_C = means_2C.to(dtype)

    def values_of(student: Tensor, teacher: Tensor) -> Tensor:
        q, p = (log_probabilities(logits, temperature).exp() for logits in (student, teacher))
        rows = beta / positions * (1 - _correlation(*_between_classes(q, p, known_C, classes), dim=1))
        # adds the gradient of the columns, and 0 to the value
        slope = ((q - q_means_C) * away_C - (p - p_means_C) * towards_C).detach()
        return rows + ((q - q.detach()) * slope).sum(dim=-1)

    return columns + common.total_of(values_of, student_NC, teacher_NC, counts=counts_N)


@torch.no_grad()
def _columns(
    student_NC: Tensor, teacher_NC: Tensor, counts_N: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Of every column: the means of q and p, the centred sums of qp, qq and pp, and whether anybody allows the class."""
    number, classes = student_NC.shape
    step, wide = common.rows_of_a_chunk(student_NC), common.wide(student_NC)
    seen = torch.zeros((), dtype=wide, device=student_NC.device)
    means_2C, moments_3C = (torch.zeros(n, classes, dtype=wide, device=student_NC.device) for n in (2, 3))
    known_C = torch.zeros(classes, dtype=torch.bool, device=student_NC.device)
    for low in range(0, number, step):
        counts = counts_N[low : low + step]
        student, teacher = (common.silenced(x[low : low + step], counts) for x in (student_NC, teacher_NC))
        known_C |= _known(student, teacher, counts)
        here = counts.sum().to(wide)
        both = [log_probabilities(logits, temperature).exp() for logits in (student, teacher)]
        both = [x.masked_fill(~counts.unsqueeze(-1), 0.0) for x in both]
        means = [x.sum(dim=0) / here.to(x.dtype).clamp(min=1) for x in both]
        q, p = ((x - mean).masked_fill(~counts.unsqueeze(-1), 0.0) for x, mean in zip(both, means, strict=True))
        # two groups of rows into one (Chan, Golub, LeVeque 1983): sums of squares without cancellation
        apart = torch.stack(means).to(wide) - means_2C
        total = (seen + here).clamp(min=1)
        moments_3C += torch.stack([(q * p).sum(dim=0), (q * q).sum(dim=0), (p * p).sum(dim=0)]).to(wide)
        moments_3C += torch.stack([apart[0] * apart[1], apart[0] ** 2, apart[1] ** 2]) * (seen * here / total)
        means_2C += apart * (here / total)
        seen += here
    return means_2C, moments_3C, known_C


def _between_classes(q_NC: Tensor, p_NC: Tensor, known_C: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Rows centred over the known classes; they sum to 1, so their mean is known."""
    q, p = ((x_NC - 1 / classes).masked_fill(~known_C, 0.0) for x_NC in (q_NC, p_NC))
    return q, p


def _correlation(first: Tensor, second: Tensor, *, dim: int) -> Tensor:
    """Pearson's, of centred values along a dimension; 0 where either is constant."""
    # vector_norm and not the root of a sum: its gradient at 0 is 0 and not NaN
    norms = torch.linalg.vector_norm(first, dim=dim) * torch.linalg.vector_norm(second, dim=dim)
    return (first * second).sum(dim=dim) / (norms + CORRELATION_EPS)


def _known(student_NC: Tensor, teacher_NC: Tensor, counts_N: Tensor) -> Tensor:
    """Which classes either of the two allows at a position that counts: (C,) bool."""
    allowed = (student_NC != -math.inf) | (teacher_NC != -math.inf)
    return (allowed & counts_N.unsqueeze(-1)).any(dim=0)


def _at_least_one(there: Tensor, dtype: torch.dtype) -> Tensor:
    return there.sum().clamp(min=1).to(dtype)


def _check_gamma(gamma: float) -> None:
    if not gamma > 0:  # NaN is refused too
        raise ValueError(
            f"gamma is the power that the teacher's probabilities are raised to and must be positive: {gamma}"
        )
