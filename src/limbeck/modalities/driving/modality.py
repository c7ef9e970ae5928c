"""Driving: states with what a planner says of them; models take what the driver saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...deploy import published
from ...errors import BadInput, short
from ...interfaces import Exportable, Graph, Inside
from ...interfaces.in_use import InUse
from ...interfaces.modality import Teachers
from ...models.inference import ask
from ...models.own_code import from_code
from ...models.seeding import seeded
from ...models.weights import load_weights
from ...nlp.anatomy import inside
from ...progress import Bar
from ...report.shown import Text
from . import predict
from .card import driver_card, is_own
from .collect import collect
from .examples import Splits, States
from .export import exportable
from .in_use import in_use as judge_in_use
from .measured import figures_of
from .network import build, statistics
from .recipe import ControlRecipe
from .simulator import World
from .task import Control
from .teachers import Said, build_teachers, given


def load(recipe: ControlRecipe, progress: Bar | None = None, *, trust_code: bool = False) -> Splits:
    """The splits: what was driven, or is driven now."""
    return collect(recipe, progress, trust_code=trust_code)


def origins(recipe: ControlRecipe, splits: Splits) -> dict[str, dict[str, list[Any]]]:
    """The place of each state among those of its split: episode by episode, step by step."""
    return {split: {"state": list(range(len(getattr(splits, split))))} for split in ("train", "validation")}


def teachers_of(recipe: ControlRecipe, splits: Splits, *, trust_code: bool) -> Teachers:
    """The planner, a policy, or a network."""
    return build_teachers(recipe, splits, trust_code=trust_code)


def given_teacher(model: nn.Module, recipe: ControlRecipe, splits: Splits) -> Teachers:
    """What was said of the states, or a person's own module; raises :class:`BadInput` where it does not fit the states."""
    if not isinstance(model, Said):
        check(model, splits, "teacher")
    return given(model, recipe)


def student_of(
    recipe: ControlRecipe, splits: Splits, teachers: Teachers, *, trust_code: bool
) -> Callable[[int], nn.Module]:
    """What makes the recipe's student for a seed."""
    section, states_NF, actions = recipe.student, splits.train.states_NF, splits.answers.width

    def made(seed: int) -> nn.Module:
        if section.model == "mlp":
            model: nn.Module = build(section.knobs, *statistics(states_NF), actions, seed)
        else:
            with seeded(seed):
                model = from_code(section, trust_code, {"numbers": states_NF.shape[1], "classes": actions})
        if section.weights is not None:
            load_weights(model, section.weights, section.model)
        return model

    return made


def check(model: nn.Module, splits: Splits, name: str) -> None:
    """Raises :class:`BadInput` where a model does not answer states with an action's logits each."""
    states_NF, actions = splits.train.states_NF[:2], splits.answers.width
    try:
        answer = ask(model, states_NF)
    except Exception as error:  # a model of any kind fails in any way
        raise BadInput(
            f"the {name} fails on states of {states_NF.shape[1]} numbers (batch, numbers): {short(error)}"
        ) from error
    if not isinstance(answer, Tensor) or answer.shape != (len(states_NF), actions) or not answer.isfinite().all():
        raise BadInput(f"the {name} does not answer states with {actions} finite logits each, one for every action.")


def task_of(recipe: ControlRecipe, splits: Splits, teachers: Teachers, device: torch.device) -> Control:
    """The task."""
    return Control(recipe, splits, device, teachers.sees)


def starts_from_teacher(recipe: ControlRecipe) -> bool:
    """None does."""
    return False


def layers(model: nn.Module, asking: str, role: str) -> Inside:
    """Where the layers of a transformer are, such as a person's own."""
    return inside(model, asking, role)


def notes_on(student: nn.Module, splits: Splits) -> list[str]:
    """None."""
    return []


def data_facts(splits: Splits, task: Control) -> dict[str, Any]:
    """How many numbers a state has."""
    return {"about": f"states of {splits.train.states_NF.shape[1]} numbers"}


def exportables(model: nn.Module, task: Control, role: str) -> dict[str, Exportable]:
    """One graph, from states to logits; none of the planner."""
    if isinstance(model, Said):
        return {}
    data = task.recipe.data
    world = None if data.name == "python" else World(data.name, data.settings)
    return {role: exportable(model, role=role, classes=task.answers.names, numbers=task.numbers, world=world)}


def beside(model: nn.Module, task: Control, role: str, folder: Path) -> tuple[str, ...]:
    """Nothing: the file says all."""
    return ()


def sample(examples: States) -> States:
    """All of them: they are small."""
    return examples


def answered(graphs: Mapping[str, Graph], model: nn.Module, task: Control, role: str, examples: States) -> Tensor:
    """Logits (N, A)."""
    (ask_graph,) = graphs.values()
    parts = examples.states_NF.cpu().split(predict.BATCH)
    return torch.cat([torch.from_numpy(ask_graph({"state": one_BF.numpy()})[0]) for one_BF in parts])


def measured(model: nn.Module, task: Control, splits: Splits) -> dict[str, float]:
    """How it drives, on seeds that nothing was chosen by; and what its decisions cost in the validation states."""
    return {} if task.recipe.data.name == "python" else figures_of(model, task, splits)


def in_use(
    models: Mapping[str, Sequence[nn.Module]], task: Control, splits: Splits, progress: Callable[..., Any] | None
) -> InUse | None:
    """How all drive, on the judge's seeds; None of states from nowhere in particular."""
    return None if task.recipe.data.name == "python" else judge_in_use(models, task, splits, progress)


def publish(export: Path, student_weights: Path, out: Path, results: Mapping[str, Any]) -> None:
    """What :func:`limbeck.deploy.published.publish` copies."""
    config, card = published.config_of(results, own=is_own(results)), driver_card(results)
    published.publish(export, student_weights, out, script=predict.__name__, config=config, card=card)


def show(examples: States) -> Callable[[int], Text]:
    """A state by its position, as numbers."""

    def text(position: int) -> Text:
        return Text((", ".join(f"{number:.3g}" for number in examples.states_NF[position].tolist()),))

    return text
