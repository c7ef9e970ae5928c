"""Answers in the labels' units: a network that learns numbers about 0 of size 1, and says what they stand for.

Shapes: B batch, D numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

MEAN, DEVIATION = "label_mean_D", "label_std_D"


def in_units(model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """The same module, whose answers (B, D) are from now on what it said times ``std``, plus ``mean``.

    Fresh weights answer numbers of about size 1, whatever the unit: steps of an optimiser that suit a classifier suit it then,
    and its first answers are about the mean of the labels. Both are kept with its state, under the names ``MEAN`` and
    ``DEVIATION``; the names of its modules and weights stay as they are.
    """
    model.register_buffer(MEAN, torch.tensor(mean, dtype=torch.float32))
    model.register_buffer(DEVIATION, torch.tensor(std, dtype=torch.float32))
    model.register_forward_hook(_scaled)
    return model


def _scaled(module: nn.Module, given: Any, answer_BD: Tensor) -> Tensor:
    del given
    return answer_BD * getattr(module, DEVIATION) + getattr(module, MEAN)
