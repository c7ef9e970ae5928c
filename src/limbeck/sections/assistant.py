"""How a recipe names an assistant, which stands between its teacher and its students. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..objectives.catalogue import CATALOGUE
from ..objectives.catalogue.entry import FEATURES, LABELS
from .objective import Objective
from .teacher import Model
from .train import Train

if TYPE_CHECKING:
    from .recipe import Recipe

OWN = ("train", "objective")  # fields of an assistant that its recipe has as sections of its own


class Assistant(Model):
    """A model of a size between the two: it learns from the teacher, and the students learn from what it says.

    A student much smaller than its teacher may learn more from one that is nearer to it (Mirzadeh et al. 2020, "Improved
    Knowledge Distillation via Teacher Assistant", section 3). It is trained once, from the recipe's first seed.
    """

    train: Train | None = None
    """How it is trained; as the student is where not given."""
    objective: Objective | None = None
    """What it is asked to match; what the student is where not given."""


def in_students_place(recipe: Recipe) -> Recipe:
    """The recipe by which the assistant learns from the teacher: that of its students, with it in their place, once."""
    one = recipe.assistant
    said = one.model_dump(mode="json", exclude_unset=True, exclude=set(OWN))
    changes = {
        "student": type(recipe).model_fields["student"].annotation.model_validate(said),  # type: ignore[union-attr]
        **{name: getattr(one, name) or getattr(recipe, name) for name in OWN},
        "assistant": None,
        "sparsity": None,
        "seeds": 1,
        "search": None,
    }
    return recipe.model_copy(update=changes)


def assistant_problems(recipe: Recipe) -> Iterator[str]:
    """Sentences on why nobody can stand between this recipe's teacher and its students."""
    own = recipe.assistant.objective
    for where, section in (("objective", recipe.objective), ("assistant.objective", own)):
        needs = {} if section is None else {name: CATALOGUE[name].needs for name in section.terms}
        if featured := [name for name in needs if FEATURES in needs[name]]:
            yield (
                f"{where}.{featured[0]}: it reads modules of the teacher, and between teacher and students only answers are passed "
                "on; leave out assistant, or take an objective on answers, such as kd"
            )
        if needs and all(set(one) <= {LABELS} for one in needs.values()):
            yield (
                f"{where}: nothing of it asks a teacher, so that nobody would stand between; leave out assistant, or add a term "
                "such as kd"
            )
