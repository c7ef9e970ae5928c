"""Answers at every position of a sequence, padded or one after another. B batch, L positions, P positions of all, V classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ..interfaces import IGNORED, RaggedLogits
from .keep import largest_difference


def log_probabilities(answer: Tensor | RaggedLogits) -> Iterator[Tensor]:
    """Of each example its log-probabilities (L_b, V), float64 on the CPU; of (B, L, V) all L positions of it."""
    rows = answer.logits.split(answer.lengths.tolist()) if isinstance(answer, RaggedLogits) else answer
    for logits_LV in rows:
        yield logits_LV.detach().to("cpu", torch.float64).log_softmax(-1)


def divergence(log_teacher_LV: Tensor, log_student_LV: Tensor) -> Tensor:
    """KL(teacher || student) at every position, (L,) nats; a class that the teacher gives no chance adds nothing."""
    p_LV = log_teacher_LV.exp()
    return torch.where(p_LV > 0, p_LV * (log_teacher_LV - log_student_LV), 0.0).sum(-1)


def labels_of(labels_BL: Tensor) -> Iterator[Tensor]:
    """Of each example its labels (L_b,), padding (IGNORED) left at -100."""
    yield from labels_BL.cpu()


def known(labels_L: Tensor) -> Tensor:
    """(L,) bool: the positions that have a label."""
    return labels_L != IGNORED


def per_example(rows: list[dict[str, float]]) -> dict[str, Tensor]:
    """Columns (B,) float64 of what was found of each example."""
    return {name: torch.tensor([row[name] for row in rows], dtype=torch.float64) for name in (rows[0] if rows else {})}


def per_position(sums: np.ndarray, count: int) -> np.ndarray:
    """What positions add up to (..., 2), over their number; 0 where there are none."""
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros_like(sums[..., 0]), where=sums[..., 1] > 0)


def alike_at_positions(a: Tensor, b: Tensor) -> tuple[float, float]:
    """The largest difference of a logit (..., V), and the share of positions at which both name the same class."""
    return largest_difference(a, b), (a.argmax(-1) == b.argmax(-1)).double().mean().item()
