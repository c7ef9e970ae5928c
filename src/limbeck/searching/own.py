"""The recipe's own settings as a point of its space: what a search tries first. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import BadInput
from ..sections.recipe import Recipe
from .candidates import recipe_with, value_at
from .dimensions import STUDENT, Dimension, Space, told_as, values_of
from .dimensions import plain as plain_of
from .precision import EXPORT, FURTHER, PREFER, epochs_of, format_of

RATE = "train.learning_rate"
SIZES = 8
"""So many other students are tried with the recipe's own settings before everything varies; of few sizes a sixteenth of them."""
_MOST = 32  # values of a knob that the recipe leaves to the network, tried for which is the network's own


def first_points(
    space: Space, recipe: Recipe, architecture: Callable[[Recipe], str], *, teacher: bool = True
) -> list[dict[str, Any]]:
    """What a study asks first: the recipe's own point, and then, where the student varies, its settings for students that are drawn,
    and for precisions where these vary.

    Settings that a person chose are better than most that are drawn. With these the sizes are compared early, and of what
    follows nobody is the best of a size because the others of that size were badly taught.
    """
    own = own_point(space, recipe, architecture, teacher=teacher)
    of_student = {one.label or one.name for one in space.dimensions if one.name.split(".")[0] in (STUDENT, EXPORT)}
    settings = {name: value for name, value in own.items() if name not in of_student}
    sizes = space.of_student.points
    # they are drawn, so that of a few one would come up again and again
    others = SIZES if sizes is None else min(SIZES, sizes // 16)
    return [own, *([settings] * others if of_student and settings else [])]


def own_point(
    space: Space, recipe: Recipe, architecture: Callable[[Recipe], str], *, teacher: bool = True
) -> dict[str, Any]:
    """The recipe's own settings, as a study calls them; what lies outside the space is left out.

    A person's recipe is a good guess: with it tried first, what is found is never worse by validation, and weak candidates
    have something to be held to.

    Args:
        architecture: names the student that a recipe builds; by this the knobs are found that a recipe does not say.
    """
    base = recipe_with(recipe, {}, teacher=teacher)
    plain = base.model_dump(mode="json")
    found: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for one in space.dimensions:
        if not one.applies(values):
            continue
        said = value_at(plain, one.name)
        said = {RATE: base.train.peak, PREFER: format_of(base), FURTHER: epochs_of(base.export)}.get(one.name, said)
        if said is None and one.name.startswith(f"{STUDENT}."):
            held = _of_network(one, recipe, architecture)
        elif one.knob.kind == "list":
            held = [
                choice
                for choice in one.knob.choices
                if plain_of(choice) == said or _is_own(recipe, base, one.name, choice, teacher)
            ]
        else:
            held = [said] if _within(one, said) else []
        if held:
            values[one.name] = held[0]
            found[one.label or one.name] = told_as(held[0])
    return found


def _of_network(dimension: Dimension, recipe: Recipe, architecture: Callable[[Recipe], str]) -> list[Any]:
    """The values with which a student is the same as without any."""
    if dimension.points is None or dimension.points > _MOST:
        return []
    own, same = architecture(recipe_with(recipe, {})), []
    for value in values_of(dimension):
        try:
            if architecture(recipe_with(recipe, {dimension.name: value})) == own:
                same.append(value)
        except BadInput:  # a network that cannot be
            continue
    return same


def _is_own(recipe: Recipe, base: Recipe, name: str, choice: Any, teacher: bool) -> bool:
    try:
        return recipe_with(recipe, {name: choice}, teacher=teacher) == base
    except BadInput:  # no value that this recipe could have
        return False


def _within(dimension: Dimension, number: Any) -> bool:
    knob = dimension.knob
    if not isinstance(number, int | float) or isinstance(number, bool) or knob.low is None or knob.high is None:
        return False
    if knob.integer and number != int(number):
        return False
    steps = 0.0 if knob.step is None else (number - knob.low) / knob.step
    return knob.low <= number <= knob.high and abs(steps - round(steps)) < 1e-9
