"""The teacher in training: what was said of a state when it was driven to, as logits; or a network that is trained here from the planner.

Shapes: B batch, A actions.
"""

from __future__ import annotations

from torch import Tensor, nn

from ...interfaces.modality import Member, Teachers
from ...models.own_code import from_code
from ...models.seeding import seeded
from ...models.weights import load_weights
from .episodes import Driver
from .examples import Splits
from .families import MLP
from .labels import labels_of
from .network import build, statistics
from .recipe import ControlRecipe
from .task import LEARNS, VALUES
from .teacher_sections import NetworkTeacher


class Said(nn.Module):
    """Values (B, A) to logits: softmax(values / scale) at a temperature of 1. The states' own were asked of ``driver`` when they were driven to."""

    def __init__(self, scale: float, driver: Driver | None) -> None:
        super().__init__()
        self.scale, self.driver = scale, driver

    def forward(self, values_BA: Tensor) -> Tensor:
        return values_BA / self.scale


def build_teachers(recipe: ControlRecipe, splits: Splits, *, trust_code: bool) -> Teachers:
    """What was said of the states; or the network that is trained here, its starting weights loaded.

    Raises :class:`BadInput` where it cannot be built, or is code that is not trusted.
    """
    section = recipe.teacher
    if not isinstance(section, NetworkTeacher) or section.train is None:
        labels = labels_of(recipe, trust_code=trust_code)
        return _alone(recipe, Said(labels.scale, labels.driver), VALUES)
    states_NF, actions = splits.train.states_NF, splits.answers.width
    if section.model == MLP:
        model: nn.Module = build(section.knobs, *statistics(states_NF), actions, recipe.seed, "teacher")
    else:
        with seeded(recipe.seed):
            model = from_code(section, trust_code, {"numbers": states_NF.shape[1], "classes": actions})
    if section.weights is not None:
        load_weights(model, section.weights, section.model)
    return _alone(recipe, model, LEARNS)


def _alone(recipe: ControlRecipe, model: nn.Module, sees: str | None) -> Teachers:
    return Teachers(model, sees, (Member(recipe.teacher, recipe.seed, model, sees),))


def given(model: nn.Module, recipe: ControlRecipe) -> Teachers:
    """What was said of the states, or a person's own module, which is asked about what the student sees."""
    return _alone(recipe, model, VALUES if isinstance(model, Said) else None)
