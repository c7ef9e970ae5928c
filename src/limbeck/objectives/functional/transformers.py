"""What a student is asked to match inside a transformer: hidden states, attention, relations between positions.

Shapes: B batch, L positions, H width, A heads. A ``mask`` (B, L) is true at the positions that count. The others (padding)
change nothing, neither as queries nor as keys, whatever stands there: a value belongs to a query position, is a mean over
its heads and over the keys that count, and the result is the mean of these values. So neither the length that a batch was
padded to nor the way it was cut matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .closed_form import Values
from .common import at_least_float32, full_precision, mean_of, silenced, total_of, weighted_gap

__all__ = [
    "attention_kl",
    "attention_mse",
    "attention_scores",
    "cls_mse",
    "hidden_cosine",
    "hidden_mse",
    "relation_kl",
    "relations",
]


def hidden_mse(student_BLH: Tensor, teacher_BLH: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Mean squared difference of hidden states, over their components and the positions that count.

    TinyBERT: Jiao et al. 2020, section 3.1, equations 8 and 9, there with the student's states times a learned matrix
    (:class:`limbeck.objectives.modules.HiddenStates` has it).

    Args:
        student_BLH: (B, L, H).
        teacher_BLH: (B, L, H); no gradient reaches it.
        mask: (B, L) bool; true where a position counts.

    Returns:
        Scalar, at least float32; 0 with a graph where nothing counts.

    Raises:
        ValueError: shapes differ, or the mask is not (B, L) bool.
    """
    _check_hidden(student_BLH, teacher_BLH, mask)
    return mean_of(hidden_mse_positions, student_BLH, teacher_BLH.detach(), mask=mask)


def hidden_mse_positions(student: Tensor, teacher: Tensor) -> Tensor:
    """:func:`hidden_mse` at every position: (..., H), (..., H) -> (...)."""
    return (at_least_float32(student) - at_least_float32(teacher.detach())).square().mean(dim=-1)


def hidden_cosine(student_BLH: Tensor, teacher_BLH: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """``1 - cos`` between hidden states, mean over the positions that count.

    DistilBERT: Sanh et al. 2019, section 2. Computed as half the squared distance of the unit vectors, which is the same
    and exact near equality. A vector of zeros has no direction: its unit vector is taken as 0.

    Arguments, result and errors are those of :func:`hidden_mse`.
    """
    _check_hidden(student_BLH, teacher_BLH, mask)
    return mean_of(hidden_cosine_positions, student_BLH, teacher_BLH.detach(), mask=mask)


def hidden_cosine_positions(student: Tensor, teacher: Tensor) -> Tensor:
    """:func:`hidden_cosine` at every position: (..., H), (..., H) -> (...)."""
    return (_unit(student) - _unit(teacher.detach())).square().sum(dim=-1) / 2


def cls_mse(student_BLH: Tensor, teacher_BLH: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Mean squared difference of the [CLS] states (position 0), each scaled to length 1; the mean over examples.

    PKD: Sun et al. 2019, section 3.2. The paper's formula sums over components; its weights (beta, 10 to
    1000) are those of the authors' code, which takes the mean, and so do we. Position 0 is what a
    classifier's head is given, on whichever side a text is padded; an example counts where any of its positions does.

    Arguments, result and errors are those of :func:`hidden_mse`.
    """
    _check_hidden(student_BLH, teacher_BLH, mask)
    there = None if mask is None else mask.any(dim=1)
    return mean_of(cls_mse_positions, student_BLH[:, 0], teacher_BLH[:, 0].detach(), mask=there)


def cls_mse_positions(student: Tensor, teacher: Tensor) -> Tensor:
    """:func:`cls_mse` of every [CLS] state: (..., H), (..., H) -> (...)."""
    return (_unit(student) - _unit(teacher.detach())).square().mean(dim=-1)


def attention_scores(queries_BLH: Tensor, keys_BLH: Tensor, heads: int) -> Tensor:
    """``Q K^T / sqrt(d)`` of every head, d = H / heads: (B, L, H), (B, L, H) -> (B, heads, L, L), at least float32.

    Vaswani et al. 2017, section 3.2.1. From what a model's query and key projections give, these are its attention
    scores before mask and softmax, whichever kernel computes them in the model itself; where queries and keys are changed
    on the way (rotary positions, normalisation), they are the scores without that.

    Raises:
        ValueError: widths differ, or ``heads`` does not divide the width.
    """
    if queries_BLH.shape != keys_BLH.shape or queries_BLH.dim() != 3:
        raise ValueError(
            f"queries {tuple(queries_BLH.shape)} and keys {tuple(keys_BLH.shape)} must both be (batch, positions, width), "
            "with as many heads for keys as for queries"
        )
    width = queries_BLH.shape[-1]
    if heads < 1 or width % heads:
        raise ValueError(f"a width of {width} cannot be cut into {heads} heads: heads must divide it")
    with full_precision(queries_BLH):
        queries, keys = (
            at_least_float32(x_BLH).unflatten(-1, (heads, -1)).transpose(1, 2) for x_BLH in (queries_BLH, keys_BLH)
        )
        return (queries / math.sqrt(width // heads)) @ keys.transpose(-1, -2)


def attention_mse(
    student_BALL: Tensor, teacher_BALL: Tensor, *, mask: Tensor | None = None, ruled_out: float = -1e2
) -> Tensor:
    """Mean squared difference of attention scores before the softmax, over heads, keys and queries that count.

    TinyBERT: Jiao et al. 2020, section 3.1, equation 7. A score at or below ``ruled_out`` is one that the model's own mask
    was added to: it is set to 0. A key that both models rule out for a query (later tokens in a decoder) does not count.

    Args:
        student_BALL: (B, A, L, L) scores, the keys last; -inf and the like where a model masks.
        teacher_BALL: likewise; no gradient reaches it.
        mask: (B, L) bool; true where a position counts.
        ruled_out: TinyBERT's is -100. ``-math.inf`` for scores that no mask was added to.

    Returns:
        Scalar, at least float32; 0 with a graph where nothing counts.

    Raises:
        ValueError: different numbers of heads or positions, or the mask is not (B, L) bool.
    """
    check_attention(student_BALL, teacher_BALL, mask)
    values_of = partial(attention_mse_positions, ruled_out=ruled_out)
    return total_of_examples(values_of, [student_BALL], [teacher_BALL], mask) / _number(student_BALL, mask)


def attention_mse_positions(
    student_BALL: Tensor, teacher_BALL: Tensor, mask: Tensor | None = None, *, ruled_out: float = -1e2
) -> Tensor:
    """:func:`attention_mse` of every query: (B, A, L, L) twice -> (B, L); 0 where it does not count."""
    student, teacher = at_least_float32(student_BALL), at_least_float32(teacher_BALL.detach())
    student_out, teacher_out = student <= ruled_out, teacher <= ruled_out
    counts_BALL = ~(student_out & teacher_out)
    if mask is not None:
        counts_BALL = counts_BALL & mask[:, None, :, None] & mask[:, None, None, :]
    gap = student.masked_fill(student_out, 0.0) - teacher.masked_fill(teacher_out, 0.0)
    # filled before it is squared: the derivative of what stands there may be NaN
    squares = gap.masked_fill(~counts_BALL, 0.0).square().sum(dim=-1)
    return (squares / counts_BALL.sum(dim=-1).clamp(min=1)).mean(dim=1)


def attention_kl(student_BALL: Tensor, teacher_BALL: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """``KL(teacher || student)`` of attention over the keys, mean over heads and over the queries that count.

    MiniLM: Wang et al. 2020, "self-attention distribution transfer"; MobileBERT: Sun et al. 2020, "attention transfer".
    Zero exactly where the distributions are equal. Finite for scores of -inf, except where the student rules a key out that the teacher attends
    to: there the value is inf. A query that counts must be allowed at least one key.

    Args:
        student_BALL: (B, A, L, L) scores before the softmax, the keys last. Log-probabilities are scores too: give
            ``attentions.log()`` where a model returns probabilities.
        teacher_BALL: likewise; no gradient reaches it.
        mask: (B, L) bool; true where a position counts.

    Returns, raises: as :func:`attention_mse`.
    """
    check_attention(student_BALL, teacher_BALL, mask)
    return total_of_examples(attention_kl_positions, [student_BALL], [teacher_BALL], mask) / _number(student_BALL, mask)


def attention_kl_positions(student_BALL: Tensor, teacher_BALL: Tensor, mask: Tensor | None = None) -> Tensor:
    """:func:`attention_kl` of every query: (B, A, L, L) twice -> (B, L); 0 where it does not count."""
    return _kl(_over_keys(student_BALL, mask), _over_keys(teacher_BALL.detach(), mask))


def relations(x_BLH: Tensor, heads: int, *, keys_BLH: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
    """How every position relates to every other: ``log softmax(X X^T / sqrt(d))`` of every head -> (B, heads, L, L).

    X the queries, keys or values of a self-attention module, cut into ``heads`` parts of width d = H / heads: MiniLM, Wang
    et al. 2020, "value-relation transfer" (values, the model's own heads); MiniLMv2, Wang et al. 2021, "multi-head
    self-attention relation" (any of the three, any number of heads).

    Args:
        x_BLH: (B, L, H).
        heads: must divide H.
        keys_BLH: relates X to these instead of to itself: queries and keys give the attention.
        mask: (B, L) bool. Positions that do not count have probability 0; their own rows are uniform.

    Raises:
        ValueError: ``heads`` does not divide the width, or shapes do not fit.
    """
    check_mask(mask, x_BLH.shape[:2])
    # before the product: in its derivative even a weight of 0 does not silence NaN
    queries = silenced(x_BLH, mask)
    keys = queries if keys_BLH is None else silenced(keys_BLH, mask)
    return _over_keys(attention_scores(queries, keys, heads), mask)


def relation_kl(
    student_BLH: Tensor,
    teacher_BLH: Tensor,
    *,
    heads: int,
    student_keys_BLH: Tensor | None = None,
    teacher_keys_BLH: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """``KL(teacher || student)`` of :func:`relations`, mean over heads and over the positions that count.

    With values and the model's heads it is the value-relation transfer of MiniLM (Wang et al. 2020); with queries, keys or
    values and any number of heads one of the relations of MiniLMv2 (Wang et al. 2021; 48 heads for a base-size teacher,
    64 for a large one). Widths may differ.

    Args:
        student_BLH: (B, L, H).
        teacher_BLH: (B, L, H'); no gradient reaches it.
        heads: must divide both widths.
        student_keys_BLH: (B, L, H) to relate the student's to, instead of to itself.
        teacher_keys_BLH: (B, L, H'), given if and only if ``student_keys_BLH`` is.
        mask: (B, L) bool; true where a position counts.

    Returns:
        Scalar, at least float32; 0 with a graph where nothing counts.

    Raises:
        ValueError: different numbers of examples or positions, ``heads`` does not divide a width, or the mask is not
            (B, L) bool.
    """
    if (student_keys_BLH is None) != (teacher_keys_BLH is None):
        raise ValueError("keys must be given for both, student and teacher, or for neither")
    check_positions(student_BLH, teacher_BLH, mask)
    students = [x for x in (student_BLH, student_keys_BLH) if x is not None]
    teachers = [x for x in (teacher_BLH, teacher_keys_BLH) if x is not None]
    values_of = partial(relation_kl_positions, heads=heads)
    return total_of_examples(values_of, students, teachers, mask) / _number(student_BLH, mask)


def relation_kl_positions(*tensors_BLH: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """:func:`relation_kl` at every position, (B, L); 0 where it does not count.

    Args:
        tensors_BLH: student, teacher; or student, student's keys, teacher, teacher's keys.
        heads: must divide all widths.
        mask: (B, L) bool.
    """
    half = len(tensors_BLH) // 2
    student_BALL, teacher_BALL = (
        relations(x_BLH, heads, keys_BLH=keys[0] if keys else None, mask=mask)
        for x_BLH, *keys in (tensors_BLH[:half], [tensor.detach() for tensor in tensors_BLH[half:]])
    )
    return _kl(student_BALL, teacher_BALL)


def total_of_examples(
    positions_of: Values, students: Sequence[Tensor], teachers: Sequence[Tensor], mask: Tensor | None
) -> Tensor:
    """Sum of ``positions_of(*students, *teachers, mask=mask)``, (B, ...), over all it gives; for what relates positions.

    Tensors are (B, ...). Where the students' are large, few examples are taken at a time, the gradient on the way, so that
    the (B, A, L, L) scores of a whole batch and all that comes of them do not stand in memory at once.
    """
    shapes = [tensor.shape[1:] for tensor in (*students, *teachers)]
    sizes = [tensor.shape[1:].numel() for tensor in students]

    def values_of(flat: Tensor, *others: Tensor) -> Tensor:
        rows = [*flat.split(sizes, dim=1), *others[: len(teachers)]]
        tensors = [row.reshape(-1, *shape) for row, shape in zip(rows, shapes, strict=True)]
        return positions_of(*tensors, mask=others[-1] if mask is not None else None).flatten(1).sum(dim=1)

    flat = students[0].flatten(1) if len(students) == 1 else torch.cat([x.flatten(1) for x in students], dim=1)
    return total_of(values_of, flat, *(x.detach().flatten(1) for x in teachers), *([] if mask is None else [mask]))


def check_mask(mask: Tensor | None, positions: Sequence[int]) -> None:
    """Raises ``ValueError`` unless the mask is bool and has the positions' shape."""
    if mask is None:
        return
    if tuple(mask.shape) != tuple(positions):
        raise ValueError(f"the mask {tuple(mask.shape)} must be (batch, positions) = {tuple(positions)}")
    if mask.dtype != torch.bool:
        raise ValueError(f"the mask must be bool, true where a position counts, not {mask.dtype}: give mask.bool()")


def check_positions(student: Tensor, teacher: Tensor, mask: Tensor | None) -> None:
    """Raises ``ValueError`` unless both are (B, L, width), widths aside alike, and the mask fits."""
    shapes = tuple(student.shape), tuple(teacher.shape)
    if student.dim() != 3 or teacher.dim() != 3:
        raise ValueError(f"student's {shapes[0]} and teacher's {shapes[1]} must both be (batch, positions, width)")
    if shapes[0][:2] != shapes[1][:2]:
        raise ValueError(
            f"student's {shapes[0]} and teacher's {shapes[1]} differ in examples or positions: both models must be given "
            "the same tokens"
        )
    check_mask(mask, student.shape[:2])


def check_attention(student: Tensor, teacher: Tensor, mask: Tensor | None) -> None:
    """Raises ``ValueError`` unless both are (B, A, L, L) alike and the mask fits."""
    shapes = tuple(student.shape), tuple(teacher.shape)
    if any(len(shape) != 4 or shape[2] != shape[3] for shape in shapes):
        raise ValueError(
            f"attention of shape {shapes[0]} (student) and {shapes[1]} (teacher) must be (batch, heads, positions, positions)"
        )
    if shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"attention is compared head by head, and the student has {shapes[0][1]} heads, the teacher {shapes[1][1]}: "
            "use relation_kl, which takes any number of heads"
        )
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"attention of shape {shapes[0]} (student) and {shapes[1]} (teacher) differs in examples or positions: both "
            "models must be given the same tokens"
        )
    check_mask(mask, (shapes[0][0], shapes[0][2]))


def _check_hidden(student: Tensor, teacher: Tensor, mask: Tensor | None) -> None:
    check_positions(student, teacher, mask)
    if student.shape != teacher.shape:
        raise ValueError(
            f"hidden states are {student.shape[-1]} wide in the student and {teacher.shape[-1]} in the teacher: map the "
            "student's first with a linear layer that is trained along (HiddenStates has one)"
        )


def _over_keys(scores_BALL: Tensor, mask: Tensor | None) -> Tensor:
    """log softmax over the keys that count; uniform in the rows of queries that do not, which keeps them finite."""
    scores_BALL = at_least_float32(scores_BALL)
    if mask is not None:
        queries, keys = mask[:, None, :, None], mask[:, None, None, :]
        scores_BALL = scores_BALL.masked_fill(queries & ~keys, -math.inf).masked_fill(~queries, 0.0)
    return F.log_softmax(scores_BALL, dim=-1)


def _kl(student_BALL: Tensor, teacher_BALL: Tensor) -> Tensor:
    """KL(teacher || student) of log-probabilities over the keys, mean over heads: (B, L)."""
    return weighted_gap(teacher_BALL.exp(), teacher_BALL, student_BALL).mean(dim=1)


def _unit(vectors: Tensor) -> Tensor:
    """Vectors (..., H) of length 1; what is 0 stays 0."""
    vectors = at_least_float32(vectors)
    # direction does not depend on length, so the squares are kept from overflow and underflow by a constant
    largest = vectors.detach().abs().amax(dim=-1, keepdim=True)
    vectors = vectors / largest.masked_fill(largest < torch.finfo(vectors.dtype).tiny, 1.0)
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / length.masked_fill(largest < torch.finfo(vectors.dtype).tiny, 1.0)


def _number(student: Tensor, mask: Tensor | None) -> Tensor | int:
    """How many positions count, at least 1; of (B, L, H) or (B, A, L, L)."""
    return max(student.shape[0] * student.shape[-2], 1) if mask is None else mask.sum().clamp(min=1)
