"""Fake quantisation: a model that computes as its quantised file will, and so learns weights that stand it (Jacob et al. 2018, section 3).

Within :func:`fake_quantised` the weights of products and convolutions are rounded to a scale for each output channel, those of
tables of embeddings to one for each row, and what a product or convolution is given to 8 bits over a range, each as
:mod:`limbeck.deploy.formats` writes it. Rounding has the gradient of what was rounded; beyond the range it is 0. The modules,
their names and all that objectives look at stay the model's own, as they would not in a graph that was traced of it.

A normalisation behind a convolution is not folded into it here as it is in the file: a scale of its own for each output channel comes
to the same, since the factor of a channel is a factor of its scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

ROW_LEVELS = 127
FEWEST_ROWS = 16
"""Of a table that is rounded. A smaller one, such as that of segments, saves next to nothing, and its rows stand in every token of a text: what
rounding does to one is the same everywhere, and no mean takes it out."""
ACTIVATION_LEVELS = 255
MOMENTUM = 0.01
"""Of the running ranges of activations: a batch moves them by this share of the way to its own."""
PRODUCTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
Activations = Literal["static", "dynamic", "none"]
_RANGE = "input_range"  # what the modules hold theirs under


@contextmanager
def fake_quantised(
    model: nn.Module,
    *,
    levels: int,
    activations: Activations,
    calibrate: Callable[[], object],
) -> Iterator[nn.Module]:
    """The same model, computing with rounded weights and activations until the context ends, and then as before with the weights it
    has by then.

    Args:
        levels: of weights of products and convolutions on either side of 0.
        activations: ``static``: they are rounded over ranges that are kept with the weights, follow the batches in training mode and
            rest in evaluation mode. ``dynamic``: over each batch's own range, and convolutions stay as they are. ``none``: not at all.
        calibrate: asks the model about examples, from which static ranges begin; not called otherwise.
    """
    products = [one for one in model.modules() if isinstance(one, nn.Linear if activations == "dynamic" else PRODUCTS)]
    tables = [one for one in model.modules() if isinstance(one, nn.Embedding) and one.num_embeddings >= FEWEST_ROWS]
    hooks = []
    try:
        for one in (*products, *tables):
            rounded = _Rounded(ROW_LEVELS if isinstance(one, nn.Embedding) else levels)
            parametrize.register_parametrization(one, "weight", rounded)
        for one in products if activations != "none" else ():
            one.add_module(_RANGE, _OfBatch() if activations == "dynamic" else _Running().to(one.weight.device))
            hooks.append(one.register_forward_pre_hook(_rounded_input))
        if activations == "static":
            for one in products:
                getattr(one, _RANGE).widening = True
            calibrate()
            for one in products:
                getattr(one, _RANGE).widening = False
        yield model
    finally:
        for hook in hooks:
            hook.remove()
        for one in (*products, *tables):
            if hasattr(one, _RANGE):
                delattr(one, _RANGE)
            if parametrize.is_parametrized(one, "weight"):
                parametrize.remove_parametrizations(one, "weight", leave_parametrized=False)


def rounded_weight(weight: Tensor, levels: int) -> Tensor:
    """A weight (O, ...) on whole multiples of a scale for each output channel or row, max |w| / levels, at most ``levels`` of them."""
    largest_O = weight.detach().abs().flatten(1).amax(1)
    scale_O = torch.where(largest_O > 0, largest_O / levels, 1)
    zero_O = torch.zeros_like(scale_O, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale_O, zero_O, 0, -levels, levels)


def rounded_activation(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Values on 256 levels that lie evenly from ``low`` to ``high`` (scalars), of which one is 0; those beyond are brought within."""
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = (high - low) / ACTIVATION_LEVELS
    scale = torch.where(scale > 0, scale, 1)
    zero = (-low / scale).round().clamp(0, ACTIVATION_LEVELS).to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values.float(), scale, zero, 0, ACTIVATION_LEVELS).to(values.dtype)


class _Rounded(nn.Module):
    """A weight as it is computed with."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, weight: Tensor) -> Tensor:
        return rounded_weight(weight, self.levels)


class _OfBatch(nn.Module):
    """Activations over their own range."""

    def forward(self, values: Tensor) -> Tensor:
        low, high = values.detach().float().aminmax()
        return rounded_activation(values, low, high)


class _Running(nn.Module):
    """Activations over a range that follows the batches in training mode; while ``widening`` it grows to hold all that it is given."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.widening = False

    def forward(self, values: Tensor) -> Tensor:
        if self.widening or self.training:
            low, high = values.detach().float().aminmax()
            if self.widening:
                self.low.copy_(torch.minimum(self.low, low))
                self.high.copy_(torch.maximum(self.high, high))
                return values
            self.low.lerp_(low, MOMENTUM)
            self.high.lerp_(high, MOMENTUM)
        return rounded_activation(values, self.low, self.high)


def _rounded_input(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """What stands before a product's own pass; it finds the range in the module that it is called for, which may be a copy."""
    return (getattr(module, _RANGE)(given[0]), *given[1:])
