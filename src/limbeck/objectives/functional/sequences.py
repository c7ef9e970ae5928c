"""Sequences: what a student is asked to match token by token, and sequence by sequence.

Shapes: B sequences, L tokens, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...interfaces import IGNORED
from .common import at_least_float32, counted, mean_of, total_of
from .responses import cross_entropy_positions, kd

__all__ = [
    "sequence_kd",
    "word_kd",
]


def word_kd(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    shift: bool = False,
) -> Tensor:
    """Word-level distillation: :func:`~limbeck.objectives.functional.kd` at every token, given the gold prefix.

    Kim & Rush 2016, "Sequence-Level Knowledge Distillation", section 3.1, whose cross-entropy this is less the teacher's
    entropy: 0 where student equals teacher, and the same gradient. Mean over the tokens that count. At every position:
    ``kd_positions``.

    Args:
        student_logits: (B, L, V).
        teacher_logits: (B, L, V), of the same prefixes; no gradient reaches it.
        labels: (B, L) token ids; -100 (padding, prompt) does not count. The labels are not used otherwise.
        mask: (B, L) bool; true where a token counts.
        temperature: T > 0; 1 in the paper. The value carries T².
        shift: false where the logits at position j are about token j of labels and mask (encoder-decoders, masked
            models, anything shifted already); true where they are about token j + 1, as a decoder-only model gives them
            for labels that are its own input. The last position then never counts.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ, or the temperature is not positive.
    """
    check_sequence(student_logits, labels=labels, mask=mask)
    counts = counted(student_logits, labels, mask)
    if shift:
        everywhere = torch.ones(student_logits.shape[:-1], dtype=torch.bool, device=student_logits.device)
        counts = _ahead(everywhere if counts is None else counts, False)
    return kd(student_logits, teacher_logits, mask=counts, temperature=temperature)


def sequence_kd(
    student_logits: Tensor,
    tokens: Tensor,
    *,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    shift: bool = False,
) -> Tensor:
    """Sequence-level distillation: cross-entropy with the sequence that the teacher's beam search gave.

    Kim & Rush 2016, "Sequence-Level Knowledge Distillation", section 3.2. Mean over the tokens that count; with weights,
    the weighted mean, so that equal weights change nothing and a weight of 0 leaves a sequence out. At every token:
    ``cross_entropy_positions``.

    Args:
        student_logits: (B, L, V), of the teacher's sequence as prefix.
        tokens: (B, L), the teacher's tokens, the end token included; -100 (padding, prompt) does not count. For n-best,
            one row a hypothesis.
        mask: (B, L) bool; true where a token counts.
        weights: (B,), not negative: of each sequence, such as the teacher's probabilities over an n-best list.
        shift: true where the logits at position j are about token j + 1; see :func:`word_kd`.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes do not fit.
    """
    check_sequence(student_logits, tokens=tokens, mask=mask)
    if weights is not None and weights.shape != tokens.shape[:-1]:
        raise ValueError(f"weights {tuple(weights.shape)} must have one value a sequence: {tuple(tokens.shape[:-1])}")
    if shift:
        tokens, mask = _ahead(tokens, IGNORED), None if mask is None else _ahead(mask, False)
    if weights is None:
        return mean_of(cross_entropy_positions, student_logits, tokens, labels=tokens, mask=mask)
    weights = at_least_float32(weights.detach()).unsqueeze(-1).expand(tokens.shape)
    counts = (tokens != IGNORED) & (weights > 0)
    if mask is not None:
        counts = counts & mask
    total = total_of(_weighted_cross_entropy, student_logits, tokens, weights, counts=counts)
    number = weights.masked_fill(~counts, 0.0).sum()
    return total / number.masked_fill(number == 0, 1.0)


def _weighted_cross_entropy(student_logits: Tensor, tokens: Tensor, weights: Tensor) -> Tensor:
    return weights * cross_entropy_positions(student_logits, tokens)


def _ahead(tokens: Tensor, fill: float) -> Tensor:
    """Tokens (..., L) moved one to the left: at every position the next one, and ``fill`` at the last."""
    return torch.cat([tokens[..., 1:], torch.full_like(tokens[..., :1], fill)], dim=-1)


def check_sequence(student_logits: Tensor, **columns: Tensor | None) -> None:
    if student_logits.dim() < 2:
        raise ValueError(f"logits {tuple(student_logits.shape)} must be of sequences: (B, L, V)")
    for name, column in columns.items():
        if column is not None and column.shape != student_logits.shape[:-1]:
            raise ValueError(
                f"{name} {tuple(column.shape)} must have one value a position: {tuple(student_logits.shape[:-1])}"
            )
