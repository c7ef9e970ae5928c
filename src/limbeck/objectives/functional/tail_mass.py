"""The mass of a teacher's tail at a temperature between those that were kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .common import at_least_float32

__all__ = ["rest_at"]


def rest_at(log_rest: Tensor, temperatures: Sequence[float], temperature: float) -> Tensor:
    """The log-sum-exp of the rest at T, from that at each temperature of a ladder; exact at those.

    ``F(b) = log Σ exp(b z)`` over the rest, b = 1/T, is smooth and convex. Between two temperatures it is the polynomial
    in 1/T through the nearest four (fewer at a short ladder), which is exact for a tail whose logits are normally
    distributed, kept within what convexity proves: not above the chord between the two, nor below the chords on
    either side, prolonged. A constant added to the logits (c to them, c / T to ``log_rest``) is carried through
    exactly.

    Args:
        log_rest: (..., R); -inf where there is no rest.
        temperatures: (R,) ascending.
        temperature: T, from the first to the last of them.

    Returns:
        (...), at least float32.

    Raises:
        ValueError: T lies outside the ladder.
    """
    if log_rest.shape[-1] != len(temperatures):
        raise ValueError(f"log_rest {tuple(log_rest.shape)} must have one value for each of {list(temperatures)}")
    values = at_least_float32(log_rest)
    if temperature in temperatures:
        return values[..., list(temperatures).index(temperature)]
    if not temperatures[0] < temperature < temperatures[-1]:
        raise ValueError(
            f"the rest of the top-k targets is kept for temperatures from {temperatures[0]:g} to {temperatures[-1]:g}, "
            f"and {temperature:g} is outside"
        )
    after = next(place for place, other in enumerate(temperatures) if other > temperature)
    first, last = max(0, after - 2), min(len(temperatures), after + 2)
    at = [1 / temperatures[place] for place in range(first, last)]
    here, left = 1 / temperature, after - 1 - first
    empty = values.isneginf().any(dim=-1)
    near = values[..., first:last].masked_fill(empty.unsqueeze(-1), 0.0)

    def chord(one: int) -> Tensor:
        share = (here - at[one]) / (at[one + 1] - at[one])
        return (1 - share) * near[..., one] + share * near[..., one + 1]

    rest = near @ torch.tensor(_lagrange(at, here), dtype=near.dtype, device=near.device)
    upper = chord(left)
    for beside in (left - 1, left + 1):
        if 0 <= beside < len(at) - 1:
            rest = rest.maximum(chord(beside).minimum(upper))
    return rest.minimum(upper).masked_fill(empty, -torch.inf)


def _lagrange(nodes: list[float], at: float) -> list[float]:
    """Weights of the values at the nodes in the polynomial through them."""
    weights = []
    for one in nodes:
        weight = 1.0
        for other in nodes:
            if other != one:
                weight *= (at - other) / (one - other)
        weights.append(weight)
    return weights
