"""Correlations in place of probabilities: what each example says of the classes, and each class of the examples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import common
from .closed_form import Found, by_others, through_softmax, with_slope
from .common import check_same_shape, check_temperature
from .divergences import probabilities

__all__ = ["dist"]

# Added to the product of two norms, as in the paper's code.
CORRELATION_EPS = 1e-8


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
    if common.by_doubles(student_logits, temperature) and student_logits.dtype != torch.float16:
        wide, how = (student_logits.double(), teacher_logits.double()), {"temperature": temperature, "beta": beta}
        return dist(*wide, labels=labels, mask=mask, gamma=gamma, **how).float()
    positions = student_logits.shape[:-1]
    counts = common.counted(student_logits, labels, mask)
    if counts is not None and counts.shape != positions:
        raise ValueError(f"labels and mask give {tuple(counts.shape)} positions and the logits {tuple(positions)}")
    student_NC, teacher_NC = (
        logits.reshape(-1, logits.shape[-1]) for logits in (student_logits, teacher_logits.detach())
    )
    counts_N = None if counts is None else common.unless_all(counts.reshape(-1))
    whole = student_NC.numel() <= common.WHOLE or by_others()
    if student_NC.dtype == torch.float16 and student_NC.requires_grad and torch.is_grad_enabled() and not by_others():
        whole = False  # a constant row's slope is too steep for the format, and is shortened there
    return (_dist if whole else _dist_in_chunks)(student_NC, teacher_NC, counts_N, temperature, beta, gamma)


def _dist(
    student_NC: Tensor, teacher_NC: Tensor, counts_N: Tensor | None, temperature: float, beta: float, gamma: float
) -> Tensor:
    known_C = common.unless_all(_known(student_NC.detach(), teacher_NC, counts_N))
    if counts_N is not None:
        student_NC, teacher_NC = (common.silenced(logits, counts_N) for logits in (student_NC, teacher_NC))
    q_NC, p_NC = (probabilities(logits, temperature) for logits in (student_NC, teacher_NC))
    positions, classes = _number(counts_N, len(q_NC), q_NC.dtype), _number(known_C, q_NC.shape[1], q_NC.dtype)
    rows_N = 1 - _correlation(*(_between_classes(x_NC, known_C, classes) for x_NC in (q_NC, p_NC)), dim=1)
    if counts_N is None:
        within = (x_NC - x_NC.sum(dim=0) / positions for x_NC in (q_NC, p_NC))
    else:
        out_N1 = ~counts_N.unsqueeze(-1)
        q_NC, p_NC = q_NC.masked_fill(out_N1, 0.0), p_NC.masked_fill(out_N1, 0.0)
        within = ((x_NC - x_NC.sum(dim=0) / positions).masked_fill(out_N1, 0.0) for x_NC in (q_NC, p_NC))
        rows_N = rows_N.masked_fill(~counts_N, 0.0)
    columns_C = 1 - _correlation(*within, dim=0)
    if known_C is not None:
        columns_C = columns_C.masked_fill(~known_C, 0.0)
    return temperature**2 * (beta * rows_N.sum() / positions + gamma * columns_C.sum() / classes)


def _dist_in_chunks(
    student_NC: Tensor, teacher_NC: Tensor, counts_N: Tensor | None, temperature: float, beta: float, gamma: float
) -> Tensor:
    """The same a few rows at a time: first what each column comes to, then each row with its share of the gradient."""
    dtype = common.at_least_float32(student_NC[:0]).dtype
    means_2C, moments_3C, known_C = _columns(student_NC.detach(), teacher_NC, counts_N, temperature)
    known_C = common.unless_all(known_C)
    positions, classes = _number(counts_N, len(student_NC), dtype), _number(known_C, student_NC.shape[1], dtype)
    products_C, q_norms_C, p_norms_C = moments_3C[0], moments_3C[1].sqrt(), moments_3C[2].sqrt()
    towards_C, away_C = _slopes(products_C, q_norms_C, p_norms_C)
    columns_C = 1 - products_C * towards_C
    if known_C is not None:
        columns_C, towards_C, away_C = (x_C.masked_fill(~known_C, 0.0) for x_C in (columns_C, towards_C, away_C))
    towards_C, away_C = ((gamma / classes * x_C).to(dtype) for x_C in (towards_C, away_C))
    q_means_C, p_means_C = means_2C.to(dtype)

    def closed(student: Tensor, teacher: Tensor, *, wanted: bool) -> Found:
        q, p = (probabilities(logits, temperature) for logits in (student, teacher))
        first, second = (_between_classes(x, known_C, classes) for x in (q, p))
        products = (first * second).sum(dim=1)
        towards, away = _slopes(products, *(torch.linalg.vector_norm(x, dim=1) for x in (first, second)))
        values = (1 - products * towards) * (beta / positions)
        if not wanted:
            return Found(values, None)
        slope = first.mul_((beta / positions * away).unsqueeze(-1))
        slope.addcmul_(second, (beta / positions * towards).unsqueeze(-1), value=-1)
        slope.addcmul_(q - q_means_C, away_C).addcmul_(p.sub_(p_means_C), towards_C, value=-1)
        return Found(values, through_softmax(slope.mul_(q), q), slope_factor=1 / temperature)

    rows = common.total_of(
        with_slope(closed)(_no_formula), student_NC, teacher_NC, counts=counts_N, share=temperature**2
    )
    return temperature**2 * gamma * columns_C.sum().to(dtype) / classes + rows


def _no_formula(*rows: Tensor) -> Tensor:
    raise RuntimeError(f"dist of more than {common.WHOLE:,} logits has no derivatives but the first")


@torch.no_grad()
def _columns(
    student_NC: Tensor, teacher_NC: Tensor, counts_N: Tensor | None, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Of every column: the means of q and p, the centred sums of qp, qq and pp, and whether anybody allows the class."""
    number, classes = student_NC.shape
    # rows enough that what is done once a chunk for every column does not count
    step, wide = 4 * common.rows_of_a_chunk(student_NC), common.wide(student_NC)
    seen = torch.zeros((), dtype=wide, device=student_NC.device)
    means_2C, moments_3C = (torch.zeros(n, classes, dtype=wide, device=student_NC.device) for n in (2, 3))
    known_C = torch.zeros(classes, dtype=torch.bool, device=student_NC.device)
    for low in range(0, number, step):
        student, teacher = (x_NC[low : low + step] for x_NC in (student_NC, teacher_NC))
        counts = None if counts_N is None else common.unless_all(counts_N[low : low + step])
        known_C |= _known(student, teacher, counts)
        here = seen.new_full((), len(student)) if counts is None else counts.sum().to(wide)
        both = [probabilities(common.silenced(x, counts), temperature) for x in (student, teacher)]
        if counts is not None:
            both = [x.masked_fill_(~counts.unsqueeze(-1), 0.0) for x in both]
        means = [x.sum(dim=0) / here.to(x.dtype).clamp(min=1) for x in both]
        q, p = (x.sub_(mean) for x, mean in zip(both, means, strict=True))
        if counts is not None:
            q, p = (x.masked_fill_(~counts.unsqueeze(-1), 0.0) for x in (q, p))
        # two groups of rows into one (Chan, Golub, LeVeque 1983): sums of squares without cancellation
        apart = torch.stack(means).to(wide) - means_2C
        total = (seen + here).clamp(min=1)
        moments_3C += torch.stack([(q * p).sum(dim=0), (q * q).sum(dim=0), (p * p).sum(dim=0)]).to(wide)
        moments_3C += torch.stack([apart[0] * apart[1], apart[0] ** 2, apart[1] ** 2]) * (seen * here / total)
        means_2C += apart * (here / total)
        seen += here
    return means_2C, moments_3C, known_C


def _between_classes(x_NC: Tensor, known_C: Tensor | None, classes: Tensor | int) -> Tensor:
    """Rows centred over the known classes; they sum to 1, so their mean is known."""
    centred = x_NC - 1 / classes
    return centred if known_C is None else centred.masked_fill(~known_C, 0.0)


def _correlation(first: Tensor, second: Tensor, *, dim: int) -> Tensor:
    """Pearson's, of centred values along a dimension; 0 where either is constant."""
    # vector_norm and not the root of a sum: its gradient at 0 is 0 and not NaN
    norms = torch.linalg.vector_norm(first, dim=dim) * torch.linalg.vector_norm(second, dim=dim)
    return (first * second).sum(dim=dim) / (norms + CORRELATION_EPS)


def _slopes(products: Tensor, first_norms: Tensor, second_norms: Tensor) -> tuple[Tensor, Tensor]:
    """``1 / size`` and ``Σab ‖b‖ / (‖a‖ size²)``: the slope of ``ρ = Σab / size`` with a is the one times b less the
    other times a, a and b being centred."""
    towards = 1 / (first_norms * second_norms + CORRELATION_EPS)
    away = (products / first_norms) * (second_norms * towards) * towards
    return towards, away.masked_fill(first_norms == 0, 0.0)


def _known(student_NC: Tensor, teacher_NC: Tensor, counts_N: Tensor | None) -> Tensor:
    """Which classes either of the two allows at a position that counts: (C,) bool."""
    if not len(student_NC):
        return torch.zeros(student_NC.shape[1], dtype=torch.bool, device=student_NC.device)
    if counts_N is not None:
        student_NC, teacher_NC = (x.masked_fill(~counts_N.unsqueeze(-1), -math.inf) for x in (student_NC, teacher_NC))
    return (student_NC.amax(dim=0) != -math.inf) | (teacher_NC.amax(dim=0) != -math.inf)


def _number(there: Tensor | None, otherwise: int, dtype: torch.dtype) -> Tensor | int:
    """How many there are, at least 1."""
    return max(otherwise, 1) if there is None else there.sum().clamp(min=1).to(dtype)
