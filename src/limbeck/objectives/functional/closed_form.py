"""Slopes in closed form: the gradient of a value at every position, worked out with it and without autograd's graph.

Such a form saves steps where the logits are few and passes over memory where they are many. On a processor a softmax gives
the logarithms too, by its greatest element and the logits; comparisons and masks cost as much as exponentials, so there
are none but where a result turns out not to be finite; and nothing is kept for later but the slope.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

Values = Callable[..., Tensor]
"""``values_of(student_NC, *others) -> (N,)``: the value at every row. Others are ``(N, ...)`` each."""


class Found(NamedTuple):
    """Values (N,), and the slope (N, C) of each row's value with respect to its logits, but for a factor each."""

    values: Tensor
    slope: Tensor | None
    value_factor: float = 1.0
    slope_factor: float = 1.0

    def narrowed(self) -> Found:
        """The same in float32."""
        return self._replace(values=self.values.float(), slope=None if self.slope is None else self.slope.float())


Closed = Callable[..., Found | None]
"""``closed(student_NC, *others, wanted, **settings)``: values and slope, the latter only if ``wanted``. None: there is no
closed form for this, and autograd is to be asked. Called without a graph, and finds out itself whether the settings make
sense; the results are the caller's to overwrite."""


def with_slope(closed: Closed, *, few: bool = True) -> Callable[[Values], Values]:
    """Says of a ``..._positions`` how its values and their slope are had together.

    The function itself stays as it is, a formula for autograd: of it are the derivatives of higher order.

    Args:
        closed: the closed form, with the settings of the function.
        few: whether it is also the quicker way where the logits are few and calls count more than arithmetic.
    """

    def mark(values_of: Values) -> Values:
        values_of.__dict__["closed"] = closed, few
        return values_of

    return mark


def closed_form(values_of: Values, *, few: bool) -> Closed | None:
    """The closed form of a ``..._positions``, or of a ``partial`` of one with the same settings; None without one."""
    if isinstance(values_of, partial):
        closed, for_few = getattr(values_of.func, "closed", (None, False))
        if closed is not None:
            closed = partial(closed, *values_of.args, **values_of.keywords)
    else:
        closed, for_few = getattr(values_of, "closed", (None, False))
    return closed if for_few or not few else None


def by_others() -> bool:
    """Whether a compiler or ``torch.func`` looks on: no value may be looked at then, and no gradient be ours."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def may_look(tensor: Tensor) -> bool:
    """Whether a value may decide what is done next: not an accelerator's, which would have to be waited for."""
    return tensor.device.type == "cpu" and not by_others()


def seen_finite(values: Tensor) -> bool:
    """Whether the values are finite for certain, so that none has to be worked out again with -inf in mind."""
    return may_look(values) and math.isfinite(values.sum().item())


def through_softmax(weights: Tensor, probabilities: Tensor) -> Tensor:
    """``w - q Σ w``: the slope with respect to logits, from that with respect to log q. Overwrites the weights."""
    return weights.addcmul_(probabilities, weights.sum(dim=-1, keepdim=True), value=-1)
