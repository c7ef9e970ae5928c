"""The planner's part in training: what it said of a state, as logits. Shapes: B batch, A actions."""

from __future__ import annotations

from torch import Tensor, nn

from ...errors import BadInput
from ...interfaces.modality import Member, Teachers
from .recipe import ControlRecipe
from .task import VALUES


class Said(nn.Module):
    """Values (B, A) to logits: softmax(values / tau) at a temperature of 1. The states' own were asked of the planner when they were driven to."""

    def __init__(self, tau: float) -> None:
        super().__init__()
        self.tau = tau

    def forward(self, values_BA: Tensor) -> Tensor:
        return values_BA / self.tau


def build_teachers(recipe: ControlRecipe) -> Teachers:
    """The planner alone."""
    model = Said(recipe.teacher.planner.tau)
    return Teachers(model, VALUES, (Member(recipe.teacher, recipe.seed, model, VALUES),))


def refuse_module() -> Teachers:
    """Raises :class:`BadInput`: a module takes what the student sees, and states are labelled by a planner."""
    raise BadInput(
        "a module cannot be the teacher of task: control, whose labels the planner gives; write a recipe with teacher: {planner: {}}."
    )
