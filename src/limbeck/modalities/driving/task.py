"""Control: how states become batches, and what the models say of them.

Shapes: B batch, N states, F numbers of one, A actions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ... import randomness
from ...data.epochs import EpochSource, ViewOf, every_epoch_anew
from ...interfaces import Batch, Task
from ...models.inference import device_of
from ...randomness import order
from .examples import Splits, States
from .recipe import AsTheyAre, ControlRecipe
from .teacher_sections import NetworkTeacher

PROBES = 4
AT_ONCE = 1024
VALUES = "values"
"""What a teacher that labels the states is given in a state's place: what it said of it when it was driven to."""
LEARNS = "what the planner says"
"""What a teacher that is trained here learns from, in the labels' place; it is given states."""


class Control(Task):
    """An action in every state: a student takes what the driver saw, a teacher that labelled the states what it said.

    Args:
        recipe: of the run; where is driven, and how drivers are judged.
        splits: the data; train and validation are read here, never test.
        device: where examples are kept and batches are made.
        sees: what the teacher is given: :data:`VALUES`, or states (:data:`LEARNS`, None).
    """

    name = "control"

    def __init__(
        self,
        recipe: ControlRecipe,
        splits: Splits,
        device: torch.device | str = "cpu",
        sees: str | None = VALUES,
    ) -> None:
        self.recipe, self.answers = recipe, splits.answers
        self.train, self.held_out = splits.train.to(device), splits.validation.to(device)
        self.pool, self.teacher_sees = self.train, sees
        self.numbers = splits.train.states_NF.shape[1]
        self.scale: float | None = None

    def seen_through(self, sees: str | None) -> Control:
        """The same; for a teacher that is trained here its labels are softmax(values / tau) of the planner."""
        if sees != LEARNS:
            return self
        other = copy.copy(self)
        other.scale = self._tau
        return other

    @property
    def _tau(self) -> float:
        """Of a teacher that is trained here."""
        assert isinstance(self.recipe.teacher, NetworkTeacher)
        return self.recipe.teacher.tau

    def probe(self, sees: str | None) -> Tensor:
        """Fixed numbers (4, F), or (4, A) for who is given values: the same on every machine."""
        width = self.answers.width if sees == VALUES else self.numbers
        places = torch.arange(PROBES * width)
        return randomness.uniform(0, places, 0, "driving.probe").view(PROBES, width).float() - 0.5

    def input_facts(self, sees: str | None) -> dict[str, Any]:
        """What is given."""
        learnt = {"tau": self._tau} if sees == LEARNS else {}
        return {} if sees is None else {"given": sees, **learnt}

    def batch(self, examples: States, index_B: Tensor, view_B: Tensor, views: AsTheyAre) -> Batch:
        """The batch of these states, which are the same at every view."""
        del views
        values_BA, labels = examples.values_NA[index_B], examples.labels[index_B]
        return Batch(
            ids=examples.ids[index_B],
            view=view_B,
            inputs=examples.states_NF[index_B],
            labels=labels if self.scale is None else torch.softmax(values_BA / self.scale, 1),
            teacher_inputs=values_BA if self.teacher_sees == VALUES else None,
        )

    def order(self, examples: States, seed: int, epoch: int, batch_size: int) -> Tensor:
        """An epoch's order."""
        return order(seed, epoch, examples.ids)

    def source(
        self,
        examples: States,
        *,
        views: AsTheyAre,
        seed: int,
        batch_size: int,
        view_of: ViewOf = every_epoch_anew,
        upcoming: Callable[[Tensor, Tensor], object] | None = None,
    ) -> EpochSource:
        """Batches over these states, in an order of (seed, epoch)."""
        return EpochSource(self, examples, views, seed, batch_size, view_of, upcoming)

    @torch.inference_mode()
    def answers_to(
        self, model: nn.Module, examples: States, *, as_teacher: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """(index_B, logits (B, A)) of the states, in their order, float32 on the CPU, in evaluation mode."""
        was_training = model.training
        model.eval()
        device = device_of(model)
        for index_B in torch.arange(len(examples), device=examples.ids.device).split(AT_ONCE):
            given = examples.values_NA if as_teacher and self.teacher_sees == VALUES else examples.states_NF
            yield index_B, model(given[index_B].to(device)).float().cpu()
        model.train(was_training)
