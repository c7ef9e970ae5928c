"""Fields of a recipe of driving that are worth trying at other values. No torch."""

from __future__ import annotations

from ...sections.knob import Knob, log, of_any_recipe, whole_log
from .families import MLP
from .recipe import ControlRecipe
from .teacher_sections import PlannerTeacher


def knobs(recipe: ControlRecipe) -> dict[str, Knob]:
    """By the path of the field."""
    sizes = {"student.width": whole_log(4, 256), "student.second": whole_log(4, 256)}
    return {
        **(sizes if recipe.student.model == MLP else {}),
        **({"teacher.planner.tau": log(0.05, 1.0)} if isinstance(recipe.teacher, PlannerTeacher) else {}),
        **of_any_recipe(recipe),
    }
