"""Who labels states: the planner, or a teacher that is used as it comes and knows of a state only what the student is shown.

It drives the first episodes, and says of every state, whoever came to it, what it would have done. Shapes: F numbers, A actions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import BadInput, short
from ...files import fingerprint
from ...models.identity import coarse, identity
from ...models.inference import ask
from ...models.own_code import from_code
from ...models.seeding import seeded
from ...models.weights import load_weights
from .actions import ACTIONS
from .episodes import Driver, Network, Plans
from .families import MLP
from .network import build
from .planner import PLANNER_VERSION, Planner, best
from .policy import read_policy
from .recipe import ControlRecipe
from .simulator import World
from .teacher_sections import Gives, NetworkTeacher, PlannerTeacher, PolicyTeacher

_LEAST = 1e-8  # a probability, before its logarithm is taken


@dataclass(frozen=True)
class Labels:
    """Attributes:
    driver: which is asked about every state, and knows the value of every action.
    name: what tells it from others.
    title: what it is called.
    scale: softmax(values / scale) are its soft targets.
    """

    driver: Driver
    name: str
    title: str
    scale: float


@dataclass(frozen=True)
class Says:
    """A driver that answers what it is shown: ``policy`` (F,) -> (A,)."""

    policy: Callable[[np.ndarray], np.ndarray]
    gives: Gives
    title: str

    def __call__(self, observation_F: np.ndarray, env: Any, draw: np.random.Generator) -> tuple[int, np.ndarray]:
        """The best action, and the value of every action (A,); of probabilities their logarithms.

        Raises :class:`BadInput` for an answer that is none.
        """
        values_A = np.asarray(self.policy(observation_F), np.float64)
        if values_A.shape != (len(ACTIONS),) or not np.isfinite(values_A).all():
            raise BadInput(f"teacher: {self.title} does not answer a state with {len(ACTIONS)} finite numbers.")
        if self.gives == "probabilities":
            if values_A.min() < 0 or abs(values_A.sum() - 1) > 1e-3:
                raise BadInput(
                    f"teacher.gives: probabilities, and {self.title} answers with numbers that are none (they sum to "
                    f"{values_A.sum():.3g}): values or logits is right."
                )
            values_A = np.log(np.maximum(values_A, _LEAST))
        return int(best(values_A[None])[0]), values_A


@dataclass(frozen=True)
class Own:
    """A network by its section, built where it is asked: it goes to other processes by name."""

    model: str
    knobs: str  # as JSON
    weights: str | None
    numbers: int

    def __call__(self, observation_F: np.ndarray) -> np.ndarray:
        return ask(made(self), torch.from_numpy(observation_F[None])).float().cpu().numpy()[0]


@lru_cache(maxsize=4)
def made(own: Own) -> nn.Module:
    """The network, in evaluation mode. Raises :class:`BadInput` where it cannot be built, or fails on a state."""
    knobs: Mapping[str, Any] = json.loads(own.knobs)
    if own.model == MLP:
        model: nn.Module = build(knobs, torch.zeros(own.numbers), torch.ones(own.numbers), len(ACTIONS), 0, "teacher")
    else:
        section = NetworkTeacher.model_validate({"model": own.model, **knobs})
        with seeded(0):
            model = from_code(section, True, {"numbers": own.numbers, "classes": len(ACTIONS)})
    if own.weights is not None:
        load_weights(model, own.weights, "teacher")
    model.eval()
    try:
        answer = ask(model, torch.zeros(2, own.numbers))
    except Exception as error:  # a model of any kind fails in any way
        raise BadInput(
            f"teacher: {own.model} fails on states of {own.numbers} numbers (batch, numbers), which this environment shows: {short(error)}"
        ) from error
    if not isinstance(answer, torch.Tensor) or answer.shape != (2, len(ACTIONS)):
        raise BadInput(
            f"teacher: {own.model} does not answer states with a number for each of {len(ACTIONS)} actions ({', '.join(ACTIONS)})."
        )
    return model


def labels_of(recipe: ControlRecipe, *, trust_code: bool = False) -> Labels:
    """Who labels the states of a run.

    Raises :class:`BadInput` where the teacher cannot be read or built, is for other observations or actions, or is code that is
    not trusted.
    """
    teacher = recipe.teacher
    if isinstance(teacher, PlannerTeacher) or (isinstance(teacher, NetworkTeacher) and teacher.by_planner):
        return Labels(Plans(), planner_named(), "planner", teacher.scale)
    numbers = World(recipe.data.name, recipe.data.settings).numbers
    if isinstance(teacher, PolicyTeacher):
        network, gives = read_policy(teacher, numbers, len(ACTIONS))
        if gives != "values" and "tau" in teacher.model_fields_set:
            raise BadInput(f"teacher.tau: is of values, and {teacher.title} gives {gives}: leave it out.")
        scale = teacher.tau if gives == "values" else 1.0
        return Labels(Says(network.logits, gives, teacher.title), named(network), teacher.title, scale)
    if teacher.model != MLP and not trust_code:
        from_code(teacher, False, {})  # says so
    own = Own(teacher.model, json.dumps(teacher.knobs, sort_keys=True), teacher.weights, numbers)
    probe = torch.linspace(-1, 1, 4 * numbers).view(4, numbers)
    name = fingerprint([own.model, own.knobs, teacher.gives, coarse(identity(made(own), probe))])
    return Labels(Says(own, teacher.gives, teacher.title), name, teacher.title, teacher.scale)


def planner_named() -> str:
    """What tells the planner from other drivers."""
    return fingerprint(
        ["planner", PLANNER_VERSION, [[one.name, getattr(Planner(), one.name)] for one in fields(Planner)]]
    )


def named(driver: Network) -> str:
    """What tells a network from others: its weights, to the bit, and what is between its layers."""
    layers = [[one.tobytes().hex() for one in layer] for layer in driver.layers]
    return fingerprint(["network", layers] if driver.activation == "relu" else ["network", layers, driver.activation])
