"""The objectives as pure functions on tensors, for anybody's loop.

Common form: ``f(student_logits, teacher_logits, *, labels=None, mask=None, temperature=1.0) -> scalar``, where logits
are ``(..., C)``, labels ``(...)`` class ids with ``-100`` ignored, and the mask ``(...)`` bool, true at the positions
that count. The result is the mean over the positions that count, and 0 (with a graph) where none does. Arithmetic is at
least float32; float64 stays float64. No gradient reaches a teacher.

A function on logits has a sibling ending in ``_positions``, which gives the value at every position, shape ``(...)``.
"""

from .common import (
    IGNORED,
    Values,
    at_least_float32,
    counted,
    labelled,
    log_probabilities,
    mean_of,
    mean_over,
    silenced,
    total_of,
)
from .responses import cross_entropy, cross_entropy_positions, kd, kd_positions

__all__ = [
    "IGNORED",
    "Values",
    "at_least_float32",
    "counted",
    "cross_entropy",
    "cross_entropy_positions",
    "kd",
    "kd_positions",
    "labelled",
    "log_probabilities",
    "mean_of",
    "mean_over",
    "silenced",
    "total_of",
]
