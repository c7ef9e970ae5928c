"""What a search may change of a recipe of points. No torch."""

from limbeck.sections.knob import Knob, of_any_recipe, whole_log

from .recipe import PointRecipe


def knobs(recipe: PointRecipe) -> dict[str, Knob]:
    return {"student.width": whole_log(1, 32), **of_any_recipe(recipe)}
