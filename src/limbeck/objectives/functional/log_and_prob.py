"""Logarithms and probabilities together, for the closed forms: without a graph, and with one exponential a class."""

from __future__ import annotations

from torch import Tensor

from .common import at_least_float32, check_same_shape, check_temperature, log_probabilities

# Up to so many logits the number of steps counts more than what each does.
FEW = 2**15


def both_softened(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(log q, q) and (log p, p), (..., C) each, all of them new; without a graph.

    Raises ``ValueError`` where shapes differ or the temperature is not positive.
    """
    check_same_shape(student_logits, teacher_logits)
    check_temperature(temperature)
    return softened(student_logits, temperature), softened(teacher_logits, temperature)


def softened(logits: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """log softmax(logits / T) and softmax(logits / T) over the last dimension, at least float32; without a graph."""
    if logits.numel() <= FEW:
        logs = log_probabilities(logits, temperature)
        return logs, logs.exp()
    logits = at_least_float32(logits)
    logs = logits - logits.amax(dim=-1, keepdim=True)
    if temperature != 1:
        logs /= temperature
    shares = logs.softmax(dim=-1)
    # the largest is 1 over the sum of exponentials, whose logarithm is had without taking them a second time
    return logs.add_(shares.amax(dim=-1, keepdim=True).log_()), shares
