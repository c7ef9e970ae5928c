"""The random draws of one rendering, and the distributions that they are drawn from.

Distributions that need a transcendental function are drawn by looking up one of ``_STEPS`` equally likely
quantiles, which are computed once in float64. A logarithm or cosine taken on the device would differ in its
last bit between CPU and GPU, or between the body and the tail of a vectorised loop, and so with the batch an
example stands in; a table and an integer index do not. Shapes: B batch, K quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .. import randomness

_STEPS = 1 << 14


@dataclass(frozen=True)
class Draws:
    """Where the random numbers of a batch of renderings come from: one draw for each knob, by name."""

    seed: int
    ids_B: Tensor
    view_B: Tensor

    def uniform(self, knob: str) -> Tensor:
        """float32 (B,) in [0, 1)."""
        return randomness.uniform(self.seed, self.ids_B, self.view_B, knob)

    def between(self, knob: str, low: float, high: float) -> Tensor:
        """float32 (B,), uniform between ``low`` and ``high``."""
        return self.uniform(knob) * (high - low) + low

    def integers(self, knob: str, high: int) -> Tensor:
        """int64 (B,) in [0, ``high``)."""
        return randomness.integers(self.seed, self.ids_B, self.view_B, knob, high)

    def pick(self, knob: str, quantiles_K: Tensor) -> Tensor:
        """One of the rows of a table of quantiles for each example: (B, ...)."""
        return quantiles_K[self.integers(knob, len(quantiles_K))]


@lru_cache(maxsize=32)
def log_uniform(low: float, high: float, device: torch.device) -> Tensor:
    """Quantiles (K,) of a number whose logarithm is uniform: a shape w / h as likely as h / w."""
    return _table(np.exp(_between(np.log(low), np.log(high))), device)


@lru_cache(maxsize=32)
def rotation(degrees: float, device: torch.device) -> Tensor:
    """Quantiles (K, 2) of the cosine and sine of an angle uniform between -``degrees`` and ``degrees``."""
    angle_K = np.deg2rad(_between(-degrees, degrees))
    return _table(np.stack([np.cos(angle_K), np.sin(angle_K)], axis=1), device)


@lru_cache(maxsize=32)
def tangent(degrees: float, device: torch.device) -> Tensor:
    """Quantiles (K,) of the tangent of an angle uniform between -``degrees`` and ``degrees``."""
    return _table(np.tan(np.deg2rad(_between(-degrees, degrees))), device)


@lru_cache(maxsize=32)
def symmetric_beta(a: float, device: torch.device) -> Tensor:
    """Quantiles (K,) of Beta(a, a)."""
    from scipy.special import betaincinv  # slow to import, and needed for mixing alone

    return _table(betaincinv(a, a, _between(0.0, 1.0)), device)


def _between(low: float, high: float) -> np.ndarray:
    """The middles of K equal parts of an interval, float64."""
    return low + (high - low) * (np.arange(_STEPS) + 0.5) / _STEPS


def _table(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)
