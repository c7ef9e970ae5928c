"""Sequences of different length as one padded answer. B batch, L positions, P rows of all sequences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from ...errors import BadInput
from ...interfaces import DenseLogits, Hypotheses, Sampled, TopK, Values
from ..codecs import Answer, Codec
from .mapped_files import Answers

Kind = TypeVar("Kind", bound=DenseLogits | TopK | Sampled | Values | Hypotheses)


def padded(codec: Codec, classes: int, answers: Answers, number_B: Tensor | slice, length: int | None) -> Answer:
    """The chosen ones of ragged answers, decoded: (B, L, ...), L the longest or ``length``.

    Past a sequence's end its last row is repeated; a sequence without any borrows a row of another. Raises
    :class:`BadInput` where one is longer than ``length`` (on an accelerator its end is cut off, since the check would
    halt the device).
    """
    assert answers.start_B is not None
    assert answers.length_B is not None
    start_B, length_B = answers.start_B[number_B], answers.length_B[number_B]
    if length is None or length_B.device.type == "cpu":
        longest = int(length_B.max()) if len(length_B) else 0
        if length is not None and longest > length:
            raise BadInput(
                f"the teacher's answers have up to {longest} positions, and the batch has {length}: the soft targets "
                "were cast from longer sequences than the student sees. Cut both alike, or cast anew."
            )
        length = longest if length is None else length
    place_L = torch.arange(length, device=length_B.device)
    row_BL = start_B[:, None] + torch.minimum(place_L, (length_B[:, None] - 1).clamp_(min=0))
    rows = len(next(iter(answers.columns.values())))
    columns = answers.columns
    if not rows:  # no sequence has any, and something must stand there
        columns, rows = {name: column.new_zeros(1, *column.shape[1:]) for name, column in columns.items()}, 1
    row_R = row_BL.flatten().clamp_(max=rows - 1)
    answer = codec.decode({name: column.index_select(0, row_R) for name, column in columns.items()}, classes)
    return each_tensor(answer, lambda tensor: tensor.unflatten(0, (len(start_B), length)))


def each_tensor(answer: Kind, change: Callable[[Tensor], Tensor]) -> Kind:
    """The answer with every one of its tensors changed."""
    values = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    changed = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
    return dataclasses.replace(answer, **changed)
