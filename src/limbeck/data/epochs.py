"""Which view of an example an epoch shows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ViewOf = Callable[[Tensor, int], Tensor]  # (ids_B, epoch) -> view_B


def every_epoch_anew(ids_B: Tensor, epoch: int) -> Tensor:
    """A fresh view each epoch: view = epoch."""
    return torch.full_like(ids_B, epoch)
