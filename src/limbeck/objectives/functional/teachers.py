"""Several teachers made into one, whose logits any objective takes.

``kd(student_logits, mean_probabilities([first, second], temperature=4), temperature=4)``.

Two students that teach each other need nothing of this (deep mutual learning: Zhang et al. 2018): each is the other's
teacher at temperature 1, and as a teacher it gets no gradient, so the loss of both is ``kd(first, second) + kd(second,
first)``. For more than two, the teacher of each is ``mean_probabilities`` of the others: the gradient is that of the mean
of the divergences from them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .common import at_least_float32, check_temperature, labelled, log_probabilities
from .responses import cross_entropy_positions

__all__ = ["by_confidence", "confidence_weights", "mean_logits", "mean_probabilities"]

Teachers = Tensor | Sequence[Tensor]
"""Logits of K teachers over the same C classes: (K, ..., C), or K tensors (..., C)."""


@torch.no_grad()
def mean_probabilities(
    teacher_logits: Teachers, *, weights: Tensor | Sequence[float] | None = None, temperature: float = 1.0
) -> Tensor:
    """Logits whose probabilities at T are the teachers' mean: ``T log Σ_k w_k softmax(z_k / T)``.

    The usual ensemble (Hinton, Vinyals, Dean 2015, section 1). The mean depends on the temperature at which it is taken:
    give the one that the objective will use. At T = 1 the results are log-probabilities. A class is ruled out, -inf, only
    where every teacher rules it out.

    For a KL or cross-entropy with the teacher first, the gradient is that of the weighted mean of the teachers' losses.

    Args:
        teacher_logits: (K, ..., C), or K tensors (..., C).
        weights: (K,), or (K, ...) for weights of every example; not negative, and divided here by their sum over K, which
            must not be 0. A teacher of weight 0 is left out. None: equal.
        temperature: T > 0.

    Returns:
        (..., C), at least float32, without a gradient.

    Raises:
        ValueError: no teacher, teachers of unequal shapes, weights that do not fit, or a temperature that is not positive.
    """
    check_temperature(temperature)
    teachers = _teachers(teacher_logits)
    shares = _shares(teachers, weights)
    # in logarithms: a probability that is too small for a float still has a logarithm
    mixture = torch.full_like(teachers[0], -torch.inf)
    for logits, share in zip(teachers, shares, strict=True):
        part = log_probabilities(logits, temperature) + share.log()
        mixture = torch.logaddexp(mixture, part.masked_fill(share == 0, -torch.inf))
    return mixture * temperature


@torch.no_grad()
def mean_logits(teacher_logits: Teachers, *, weights: Tensor | Sequence[float] | None = None) -> Tensor:
    """The teachers' mean logits, ``Σ_k w_k z_k``: the normalised geometric mean of their probabilities, at any T.

    Hinton, Vinyals, Dean 2015, section 1, names it beside the mean of probabilities. A class is ruled out, -inf, where any
    teacher of positive weight rules it out; between them they must leave one.

    Args:
        teacher_logits: (K, ..., C), or K tensors (..., C); any constant may be added to a row.
        weights: as for :func:`mean_probabilities`.

    Returns:
        (..., C), at least float32, without a gradient.

    Raises:
        ValueError: no teacher, teachers of unequal shapes, or weights that do not fit.
    """
    teachers = _teachers(teacher_logits)
    shares = _shares(teachers, weights)
    total = torch.zeros_like(teachers[0])
    for logits, share in zip(teachers, shares, strict=True):
        total += (share * logits).masked_fill(share == 0, 0.0)
    return total


@torch.no_grad()
def confidence_weights(teacher_logits: Teachers, labels: Tensor | None = None) -> Tensor:
    """Weights of K teachers for every example: ``w_k = (1 - exp(h_k) / Σ_j exp(h_j)) / (K - 1)``, which sum up to 1.

    h_k is teacher k's cross-entropy with the label: Zhang, Chen, Wang 2022, "Confidence-Aware Multi-Teacher Knowledge
    Distillation" (CA-MKD). Where there is no label it is the entropy of the teacher's probabilities, at
    temperature 1 in both cases. A single teacher has weight 1.

    Args:
        teacher_logits: (K, ..., C), or K tensors (..., C).
        labels: (...) class ids, or (..., C) probabilities. Where an id is -100, or a row all zero, the entropy is used.

    Returns:
        (K, ...), at least float32, without a gradient.

    Raises:
        ValueError: no teacher, teachers of unequal shapes, or labels that do not fit.
    """
    teachers = _teachers(teacher_logits)
    doubts = torch.stack([_doubt(logits, labels) for logits in teachers])
    if len(teachers) == 1:
        return torch.ones_like(doubts)
    # inf (a teacher that rules out the label) would be NaN among the exponentials
    doubts = doubts.clamp(max=torch.finfo(doubts.dtype).max)
    return (1 - doubts.softmax(dim=0)) / (len(teachers) - 1)


def by_confidence(teacher_logits: Teachers, labels: Tensor | None = None, *, temperature: float = 1.0) -> Tensor:
    """:func:`mean_probabilities` at T with :func:`confidence_weights`: each example listens to those who know it.

    The logit part of CA-MKD (Zhang, Chen, Wang 2022). Shapes and errors as there; (..., C), without a gradient.
    """
    return mean_probabilities(
        teacher_logits, weights=confidence_weights(teacher_logits, labels), temperature=temperature
    )


def _doubt(logits: Tensor, labels: Tensor | None) -> Tensor:
    """Cross-entropy with the label where there is one, the entropy elsewhere: (...)."""
    log_probs = log_probabilities(logits)
    entropy = -(log_probs.exp() * log_probs.masked_fill(log_probs == -torch.inf, 0.0)).sum(dim=-1)
    if labels is None:
        return entropy
    return cross_entropy_positions(logits, labels).where(labelled(labels, logits.dim()), entropy)


def _teachers(teacher_logits: Teachers) -> list[Tensor]:
    """K tensors (..., C) of one floating type, at least float32."""
    teachers = list(teacher_logits)
    if not teachers:
        raise ValueError("there is no teacher: give the logits of one or more")
    shapes = [tuple(logits.shape) for logits in teachers]
    if len(set(shapes)) > 1:
        raise ValueError(f"the teachers' logits must have the same shape, not {', '.join(map(str, shapes))}")
    if not shapes[0]:
        raise ValueError("teacher_logits must be (K, ..., C), or K tensors (..., C)")
    exact = any(logits.dtype == torch.float64 for logits in teachers)
    return [logits.double() if exact else at_least_float32(logits) for logits in teachers]


def _shares(teachers: list[Tensor], weights: Tensor | Sequence[float] | None) -> Tensor:
    """Weights that sum up to 1 over K, (K, ..., 1), to be multiplied with logits (..., C)."""
    first, number = teachers[0], len(teachers)
    if weights is None:
        given = torch.ones(number, dtype=first.dtype, device=first.device)
    elif isinstance(weights, Tensor):
        given = weights.to(dtype=first.dtype, device=first.device)
    else:
        if any(not weight >= 0 for weight in weights) or not sum(weights) > 0:  # NaN is refused too
            raise ValueError(f"the teachers' weights must not be negative, nor all 0: {list(weights)} was given")
        given = torch.tensor(weights, dtype=first.dtype, device=first.device)
    if given.shape == (number,):
        given = given.view(-1, *([1] * (first.dim() - 1)))
    elif given.shape != (number, *first.shape[:-1]):
        raise ValueError(
            f"weights {tuple(given.shape)} must be one a teacher, ({number},), or one a teacher and example, "
            f"{(number, *first.shape[:-1])}"
        )
    return (given / given.sum(dim=0, keepdim=True)).unsqueeze(-1)
