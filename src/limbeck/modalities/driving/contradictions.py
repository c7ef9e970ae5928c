"""Fields of a recipe of driving that are right alone and wrong together, one sentence each. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import BadInput, not_installed, shown
from ...files import near
from ...models.places import check_weights
from ...sections.teacher import Model
from . import OUTLINES
from .families import MLP, problems
from .recipe import ControlRecipe
from .teacher_sections import NetworkTeacher, PolicyTeacher


def contradictions(recipe: ControlRecipe) -> Iterator[str]:
    """What does not go together in a recipe of driving."""
    if recipe.targets.views > 1:
        yield f"targets.views: {recipe.targets.views} was given, and states are not varied, so that the planner would say the same; leave it out"
    yield from _of_teacher(recipe.teacher)
    if recipe.targets.live:
        yield "targets.live: what the planner says of a state is kept with it, and nothing is asked again; leave it out"
    if recipe.data.rollouts is not None and recipe.student.model != MLP:
        yield (
            f"data.rollouts: {recipe.student.model} is no network of ours, and mlp alone drives while data is collected; leave out "
            "data.rollouts, or take mlp"
        )
    if recipe.student.model == MLP:
        yield from (f"student{why}" for why in problems(recipe.student.knobs))
    elif ":" not in recipe.student.model:
        yield f"student.model: {shown(recipe.student.model)} is no network of states; mlp is, or module:callable"


def _of_teacher(teacher: Any) -> Iterator[str]:
    if not isinstance(teacher, NetworkTeacher):
        return
    if teacher.model == MLP:
        yield from (f"teacher{why}" for why in problems(teacher.knobs))
        if teacher.train is None and teacher.weights is None:
            yield (
                "teacher.train: is missing, and there are no weights: to train the network from the planner write teacher.train={} (in a "
                "file, train: {})"
            )
    elif ":" not in teacher.model:
        yield f"teacher.model: {shown(teacher.model)} is no network of states; mlp is, or module:callable"
    if teacher.train is not None and teacher.gives != "logits":
        yield f"teacher.gives: {teacher.gives} was given, and a network that is trained here gives logits; leave it out"
    elif teacher.train is None and teacher.gives != "values" and "tau" in teacher.model_fields_set:
        yield f"teacher.tau: is of values, and the teacher gives {teacher.gives}; leave it out"


def look_for(recipe: ControlRecipe) -> list[Path | None]:
    """The files of a teacher that is no planner; what is driven is made here.

    Raises :class:`BadInput` where there is no such environment or file, or it has no such setting, or the simulator is not installed.
    """
    try:
        from .simulator import World
    except ModuleNotFoundError as missing:
        raise not_installed("simulated drives", missing, str(OUTLINES[recipe.task].extra)) from missing
    World(recipe.data.name, recipe.data.settings)
    files, teacher = list[Path | None](), recipe.teacher
    if isinstance(teacher, PolicyTeacher):
        for field in ("stable_baselines3", "known"):
            path = Path(getattr(teacher, field)).expanduser()
            if not path.is_file():
                raise BadInput(f"teacher.{field}: there is no file {path}.{near(path)}")
            files.append(path)
    for one in (teacher, recipe.student):
        if isinstance(one, Model) and one.weights is not None:
            files.append(check_weights(one.weights))
    return files
