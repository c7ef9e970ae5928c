"""A trained driver as a person calls it: states in, logits or decisions out.

Shapes: B states, F numbers of one, A actions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import BadInput
from ...models.inference import ask


class DecidingModel(nn.Module):
    """The trained student: states (B, F), or (B, rows, columns) as the simulator has them, to logits (B, A).

    ``model`` is the bare module; ``actions`` are their names in the order of the logits.
    """

    def __init__(self, model: nn.Module, actions: Sequence[str], numbers: int) -> None:
        super().__init__()
        self.model, self.actions, self.numbers = model, tuple(actions), numbers

    def forward(self, states_BF: Tensor) -> Tensor:
        """Logits (B, A). Raises :class:`BadInput` for what are no states of so many numbers."""
        return self.model(self._flat(states_BF))

    def decide(self, states_BF: Tensor) -> list[str]:
        """The likeliest action in each state, by its name. Raises as :meth:`forward`."""
        return [self.actions[a] for a in ask(self.model, self._flat(states_BF)).argmax(1).tolist()]

    def _flat(self, states_BF: Tensor) -> Tensor:
        if not isinstance(states_BF, Tensor):
            raise BadInput(
                f"the states are {type(states_BF).__module__}.{type(states_BF).__name__}: a torch.Tensor (batch, {self.numbers}) is right, "
                "which torch.from_numpy makes of an array."
            )
        if states_BF.ndim < 2 or states_BF[:1].numel() not in (self.numbers, 0):
            raise BadInput(f"the states have shape {tuple(states_BF.shape)}: (batch, {self.numbers}) is right.")
        return states_BF.to(torch.float32).reshape(len(states_BF), -1)
