"""A field's values as ``search.space`` gives them, held against the field: its bounds, whole numbers, what is usual. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import BadInput
from ..sections.knob import Knob
from ..sections.recipe import Recipe
from ..sections.search import Range
from .candidates import WHERE, recipe_with


def narrowed(
    recipe: Recipe,
    choice: Mapping[str, Any],
    path: str,
    said: Range | tuple[Any, ...],
    usual: Knob | None,
    *,
    lenient: bool = False,
) -> Knob | None:
    """The values that were given for a field, where the ``choice`` of a family or an objective was made.

    ``usual`` is what is tried where nothing is given: a range takes from it whether its numbers are whole, and by their
    logarithm. ``lenient``: None where this choice has no such field, or not these values.

    Raises:
        BadInput: such a field, or one of its values, is refused by the recipe.
    """
    try:
        if isinstance(said, Range):
            return _range(recipe, choice, path, said, usual)
        for one in said:
            _try(recipe, choice, path, one)
        return Knob("list", choices=tuple(said))
    except BadInput:
        if lenient:
            return None
        raise


def _range(recipe: Recipe, choice: Mapping[str, Any], path: str, said: Range, usual: Knob | None) -> Knob:
    where = f"search.space.{path}"
    if usual is not None and usual.kind == "list":
        within = tuple(one for one in usual.choices if isinstance(one, int | float) and said.low <= one <= said.high)
        if _only(recipe, choice, path, within):  # 3, 5, 7, and nothing between
            if len(within) < 2:
                raise BadInput(f"{where}: it is one of {', '.join(map(str, usual.choices))}; list those to try")
            return Knob("list", choices=within)
        usual = None
    ends = [said.low, said.high, *([] if said.step is None else [said.step])]
    whole = all(one == int(one) for one in ends)
    if whole:
        _try(recipe, choice, path, int(said.low))
        _try(recipe, choice, path, int(said.high))
    known = usual.integer if usual is not None else whole and _only_whole(recipe, choice, path, int(said.low))
    integer = known or said.whole
    if integer and not whole:
        wrong = next(one for one in ends if one != int(one))
        raise BadInput(f"{where}: its values are whole numbers, and {wrong:g} was given")
    if not whole:
        _try(recipe, choice, path, said.low)
        _try(recipe, choice, path, said.high)
    log = said.log if said.log is not None else usual is not None and usual.kind == "log" and said.low > 0
    log = bool(log) and said.step is None
    step = said.step if said.step is not None or log or usual is None else usual.step
    if step is not None and step > said.high - said.low:
        raise BadInput(
            f"{where}: its values are {step:g} apart, so there is one point from {said.low:g} to {said.high:g}"
        )
    return Knob("log" if log else "range", said.low, said.high, step, integer=integer)


def _only(recipe: Recipe, choice: Mapping[str, Any], path: str, numbers: tuple[float, ...]) -> bool:
    """Whether a field has none of the numbers that come next to these."""
    try:
        for one in numbers:
            recipe_with(recipe, {**choice, path: one + 1})
    except BadInput:
        return True
    return not numbers


def _only_whole(recipe: Recipe, choice: Mapping[str, Any], path: str, low: int) -> bool:
    try:
        recipe_with(recipe, {**choice, path: low + 0.5})
    except BadInput:
        return True
    return False


def _try(recipe: Recipe, choice: Mapping[str, Any], path: str, value: Any) -> None:
    try:
        recipe_with(recipe, {**choice, path: value})
    except BadInput as error:
        lines = [line.strip().removeprefix(f"{WHERE}: ").removeprefix(f"{path}: ") for line in error.lines]
        raise BadInput(
            f"search.space.{path}: {' '.join(line for line in lines if not line.startswith(WHERE))}"
        ) from None
