"""Slopes in closed form: the gradient of a value at every position, worked out with it and without autograd's graph."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor

Values = Callable[..., Tensor]
"""``values_of(student_NC, *others) -> (N,)``: the value at every row. Others are ``(N, ...)`` each."""

Closed = Callable[..., tuple[Tensor, Tensor | None]]
"""``closed(student_NC, *others, wanted, share, **settings) -> (N,), (N, C)``: values, and the slope of each row's value
with respect to its logits, both times the number ``share``. The slope is None unless ``wanted``. Called without a graph;
the results are the caller's to overwrite."""


def with_slope(closed: Closed) -> Callable[[Values], Values]:
    """Says of a ``..._positions`` how its values and their slope are had together.

    The function itself stays as it is, a formula for autograd: of it are the derivatives of higher order.
    """

    def mark(values_of: Values) -> Values:
        setattr(values_of, "closed", closed)  # noqa: B010, since a function has no such attribute to a type checker
        return values_of

    return mark


def closed_form(values_of: Values) -> Closed | None:
    """The closed form of a ``..._positions``, or of a ``partial`` of one with the same settings; None without one."""
    closed = getattr(values_of, "closed", None)
    if closed is None and isinstance(values_of, partial):
        inner = getattr(values_of.func, "closed", None)
        closed = None if inner is None else partial(inner, *values_of.args, **values_of.keywords)
    return closed


def seen_finite(values: Tensor) -> bool:
    """Whether the values are finite for certain, so that none has to be worked out again with -inf in mind.

    An accelerator would have to be waited for, and is not asked.
    """
    return values.device.type == "cpu" and math.isfinite(values.sum().item())


def scaled(tensor: Tensor, share: float) -> Tensor:
    """``share`` times the tensor, in place."""
    return tensor if share == 1 else tensor.mul_(share)
