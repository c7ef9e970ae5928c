"""Whether anything in a space can meet a budget: asked of its smallest students, before a teacher is trained."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import BadInput
from ..sections.recipe import Recipe
from .budget import nothing_fits
from .candidates import recipe_with
from .costs import Costs
from .dimensions import FAMILY, STUDENT, TEACHER, Dimension, Space, enumerated, plain
from .precision import PREFER
from .space import offered
from .to_device import told_of

FEW = 16
"""A space of no more architectures is measured in full."""
CLEARLY = 2.0
"""What is measured by the clock or the system must be so many times its limit: a larger network is sometimes the faster one."""
_COUNTED = ("size_kb", "macs", "parameters")  # the same each time, and no less of a larger network
_PASSES = 3  # over the fields of a family, for one may say what another can be


def require_attainable(
    recipe: Recipe,
    space: Space,
    budget: Mapping[str, float],
    parameters: Callable[[Recipe], int],
    cost: Callable[[Recipe], Costs],
) -> None:
    """Refuses a budget that nothing in the space meets for certain; says the smallest that was measured, and of what.

    Of each family the student with the fewest parameters is measured, with both ends of what does not change their number
    (``downscale``), until each limit has been met by one of them. Where there is doubt nothing is refused: a smallest student
    that cannot be, a network whose sizes only its author knows, a latency not clearly above its limit.

    Args:
        parameters: of the student of a recipe.
        cost: what that student costs; measured where it is not known.

    Raises:
        BadInput: one limit at least is met by none of them.
    """
    varied = Space(
        tuple(one for one in space.dimensions if one.name.split(".")[0] in (STUDENT, TEACHER) or one.name == PREFER)
    )
    each = enumerated(varied, FEW)
    left, measured = set(budget), {}
    for values in _smallest(recipe, varied, parameters) if each is None else each:
        costs = None if values is None else _costs(recipe, values, cost)
        if costs is None:
            if each is None:
                return
            continue
        what, known = costs
        measured[known.architecture, known.format] = what, known.cost
        left -= {name for name in left if not _above(known, name, budget[name], exact=each is not None)}
        if not left:
            return
    if measured:
        raise BadInput(nothing_fits(budget, [*measured.values()]))


def _costs(recipe: Recipe, values: Mapping[str, Any], cost: Callable[[Recipe], Costs]) -> tuple[str, Costs] | None:
    """What a student is and costs; None where it cannot be. Without a teacher, of whom some deploy a part."""
    try:
        one = recipe_with(recipe, values, teacher=False)
        known = cost(one)
    except BadInput as error:
        if isinstance(error.__cause__, OSError):  # nothing that is wrong with it
            raise
        return None
    return None if known.problem is not None else (told_of(one), known)


def _above(costs: Costs, name: str, limit: float, *, exact: bool) -> bool:
    figure = costs.figures[name]
    if exact or name in _COUNTED:
        return figure["value"] > limit
    return figure.get("low", figure["value"]) > CLEARLY * limit


def _smallest(recipe: Recipe, space: Space, parameters: Callable[[Recipe], int]) -> Iterator[Mapping[str, Any] | None]:
    """The smallest students of each family, as values of the space; None where they are not known."""
    families = next((one.knob.choices for one in space.dimensions if one.name == FAMILY), None)
    for family in (None,) if families is None else families:
        chosen = {} if family is None else {FAMILY: family}
        own = [one for one in space.dimensions if one.name != FAMILY and one.applies(chosen)]
        found = _fewest(recipe, chosen, own, parameters)
        if found is None:
            yield None
            return
        names = [one.name for one in own]
        for values in itertools.product(*(found[name] for name in names)):
            yield {**chosen, **dict(zip(names, values, strict=True))}


def _fewest(
    recipe: Recipe, chosen: Mapping[str, Any], own: list[Dimension], parameters: Callable[[Recipe], int]
) -> dict[str, list[Any]] | None:
    """By field the values with the fewest parameters, where the others have the first of theirs; None where that is not known."""
    try:
        sizes = offered(recipe_with(recipe, chosen))
        ends = {one.name: _ends(one) for one in own}
        if any(one.points != len(ends[one.name]) and one.name not in sizes for one in own):
            return None
        found = {name: values[:1] for name, values in ends.items()}

        counted: dict[str, int] = {}

        def count(changed: Mapping[str, Any]) -> int:
            one = recipe_with(
                recipe, {**chosen, **{name: values[0] for name, values in found.items()}, **changed}, teacher=False
            )
            student = one.student.model_dump_json() + one.teacher.model_dump_json()
            if student not in counted:
                counted[student] = parameters(one)
            return counted[student]

        fewest, before = count({}), None
        for _ in range(_PASSES):
            if found == before:
                break
            before = dict(found)
            for name, values in ends.items():
                here = {}
                for place, value in enumerate(values):
                    try:
                        here[place] = count({name: value})
                    except BadInput:  # of a value that does not go with the others
                        continue
                fewest = min(fewest, *here.values())
                found[name] = [values[place] for place in here if here[place] == fewest]
    except BadInput as error:
        if isinstance(error.__cause__, OSError):
            raise
        return None
    return found


def _ends(dimension: Dimension) -> list[Any]:
    """The smallest and the largest value of numbers, or all of a list of other things."""
    knob = dimension.knob
    if knob.kind == "list":
        numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in knob.choices)
        return sorted({min(knob.choices), max(knob.choices)}) if numbers else [plain(one) for one in knob.choices]
    assert knob.low is not None
    assert knob.high is not None
    points = dimension.points
    high = knob.high if points is None else knob.low + (points - 1) * (knob.step or 1)
    return [int(one) if knob.integer else one for one in (knob.low, high)]
