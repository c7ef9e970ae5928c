"""What ``limbeck.distill`` makes of an environment, or of the states and modules that a Python program holds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...deploy.published import section_of
from ...errors import BadInput, shown
from ...models.own_code import from_code
from ...models.weights import load_weights
from ...objectives.modules import KD, Objective
from ...sections.recipe import Recipe
from .arrays import from_arrays
from .collect import collect
from .episodes import Plans
from .examples import Splits
from .families import MLP
from .network import build
from .predict import Metadata
from .recipe import ControlRecipe, Data
from .simulator import World
from .teacher_sections import NetworkTeacher, PlannerTeacher
from .teachers import Said
from .usable import DecidingModel

PLANNER, HERE = "planner", "python"


class _Data(Data):
    """Where is driven; or states at hand."""

    validation_fraction: float = 0.1


class _Teacher(NetworkTeacher):
    """A person's own module, or values that are at hand."""

    @property
    def by_planner(self) -> bool:
        """Where an environment is named, the planner drives there and labels the states."""
        return True

    @property
    def opaque(self) -> str | None:
        """Why its inner modules cannot be looked at."""
        return "of values nothing else is known" if self.gives == "values" else None


class PythonRecipe(ControlRecipe):
    """What a program was asked for."""

    data: _Data  # pyright: ignore[reportIncompatibleVariableOverride]
    teacher: Any  # pyright: ignore[reportIncompatibleVariableOverride]


RECIPES: dict[str, type[Recipe]] = {"control": PythonRecipe}
OWN = {"control": ("tau", "judge")}
"""Arguments of ``limbeck.distill`` that are of a task alone."""
ARGUMENTS = (
    (r"\bteacher\.planner\.tau\b", "tau"),
    (r"\bdata\.name\b", "train"),
    (r"\bdata\.settings\b", "train['settings']"),
)


def data_of(train: Any) -> dict[str, Any]:
    """The fields of the recipe's ``data``: an environment by its name, or by the fields that a recipe has; else states at hand."""
    given = {"name": train} if isinstance(train, str) else dict(train) if isinstance(train, Mapping) else {"name": HERE}
    if isinstance(train, Mapping) and "name" not in given:
        raise BadInput("train has no name: name the environment, such as {'name': 'highway-fast-v0', 'episodes': 60}.")
    return given


def teacher_of(teacher: Any, recipe: Any) -> nn.Module:
    """What stands for a teacher that is no module: the planner, or values that are given with the states."""
    in_world = recipe.data.name != HERE
    if in_world and teacher == PLANNER:
        return Said(recipe.teacher.scale, Plans())
    if not in_world and teacher is None:
        return Said(recipe.teacher.scale, None)
    right = (
        "teacher='planner', or a module"
        if in_world
        else "teacher=None with (states, values), or a module with (states, actions)"
    )
    raise BadInput(f"teacher is {shown(teacher)}: {right} is right.")


def splits_of(
    train: Any,
    validation: Any,
    test: Any,
    *,
    recipe: Any,
    transfer: Any,
    classes: Any,
    tau: float | None = None,
    judge: Any = None,
) -> Splits:
    """The states that are driven to in an environment, or that are at hand."""
    del tau, judge  # the recipe has them
    if transfer is not None:
        raise BadInput("transfer is not for task: control, whose states are all labelled; leave it out.")
    if recipe.data.name == HERE:
        valued = recipe.teacher.gives == "values"
        fraction = recipe.data.validation_fraction
        return from_arrays(train, validation, test, classes=classes, fraction=fraction, valued=valued)
    for name, given in (("validation", validation), ("test", test), ("classes", classes)):
        if given is not None:
            raise BadInput(f"{name} is not for an environment, whose episodes are driven; leave it out.")
    World(recipe.data.name, recipe.data.settings)
    return collect(recipe)


def usual_objective(task: str) -> Objective:
    """What a student is asked to match where nothing is said."""
    return KD(temperature=1.0)


def fresh(student: nn.Module, splits: Splits) -> nn.Module:
    """A student that a function has just made, as it is."""
    return student


def sections_of(
    teacher: str,
    student: str,
    *,
    validation_fraction: float,
    transfer: bool,
    tau: float | None = None,
    judge: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The sections of the recipe that describe data and models; ``teacher`` is a module's class, ``planner`` or, of values, ``None``."""
    del transfer
    scale = {} if tau is None else {"tau": tau}
    section: Any = _Teacher(model=teacher, **scale)
    if teacher == "None":
        section = _Teacher(model="values", gives="values", **scale)
    elif teacher == PLANNER:
        section = PlannerTeacher.model_validate({PLANNER: scale})
    how = {} if judge is None else {"judge": dict(judge)}
    return {
        "data": {"validation_fraction": validation_fraction},
        "teacher": section,
        "student": {"model": student},
        **how,
    }


def usable(model: nn.Module, splits: Splits) -> DecidingModel:
    """The trained student, which takes states as they are."""
    return DecidingModel(model, splits.answers.names, splits.train.states_NF.shape[1]).eval()


def load(folder: Path, metadata: Metadata, *, model: nn.Module | None, trust_code: bool) -> DecidingModel:
    """The student that a folder holds, of whose exported model these are the ``metadata``."""
    numbers, actions = metadata.numbers, len(metadata.classes)
    if model is None:
        section, _ = section_of(folder, "STATE")
        if section.model == MLP:
            model = build(section.knobs, torch.zeros(numbers), torch.ones(numbers), actions, 0)
        else:
            model = from_code(section, trust_code, {"numbers": numbers, "classes": actions})
    else:
        model = copy.deepcopy(model)
    load_weights(model, folder / "model.safetensors", "student")
    return DecidingModel(model, metadata.classes, numbers).eval()
