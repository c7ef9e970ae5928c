"""A candidate of a search as a recipe: what was proposed, in the recipe that is searched. No torch."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ..errors import BadInput
from ..objectives.catalogue import CATALOGUE
from ..objectives.catalogue.entry import LABELS
from ..recipe.read import from_dict
from ..sections.assistant import OWN
from ..sections.recipe import Recipe
from ..sections.search import Range
from .dimensions import ASSISTANT, FAMILY, OBJECTIVE, STUDENT, TEACHER, VIEWS
from .precision import FURTHER, PREFER, deploy_in

WHERE = "this candidate"
# what decides which other fields there are, in this order
_CHOICES = (TEACHER, ASSISTANT, STUDENT, FAMILY, OBJECTIVE, VIEWS)


def recipe_with(recipe: Recipe, values: Mapping[str, Any], *, teacher: bool = True) -> Recipe:
    """The recipe with what ``search.space`` pins and these values, one student of it, and no search.

    Where ``student.model`` is another family, it has those of the recipe's knobs that this family has too; an objective by its
    name has its published settings, or the recipe's own. Views that vary leave a teacher that is trained here as it was.
    An assistant is trained as the recipe says, whatever varies for the students, so that all who learn from it share it.
    Without a ``teacher`` the student learns from labels alone.

    Raises:
        BadInput: these values contradict one another, or the rest of the recipe; in sentences.
    """
    values = copy.deepcopy(dict(values))  # whose parts are changed below: they are the space's own choices
    wanted = {**copy.deepcopy(pins_of(recipe)), **values}
    made: dict[str, Any] = recipe.model_dump(mode="json") | {"seeds": 1}  # which leaves out the search
    for path in _CHOICES:
        if path in wanted:
            _choose(made, recipe, path, wanted[path])
    if not teacher:
        made[OBJECTIVE] = of_labels(recipe)
        made[ASSISTANT] = None
    pinned = {path: wanted[path] for path in wanted if path not in values and path not in _CHOICES}
    of_student = {path.partition(".")[2]: pinned.pop(path) for path in list(pinned) if path.startswith(f"{STUDENT}.")}
    made[STUDENT] = _taking(made, made[STUDENT], of_student)
    deploy_in(made, recipe, wanted)
    for path, value in {**pinned, **values}.items():
        if path not in (*_CHOICES, PREFER, FURTHER) and (path in values or _has_term(made, path)):
            _put(made, path, value)
    _keep_teacher(made, recipe)
    _keep_assistant(made, recipe)
    return from_dict(made, WHERE)


def pins_of(recipe: Recipe) -> dict[str, Any]:
    """What ``search.space`` pins to one value, by the path of the field."""
    given = {} if recipe.search is None else recipe.search.space
    return {path: one for path, one in given.items() if one is not None and not isinstance(one, tuple | Range)}


def of_labels(recipe: Recipe) -> dict[str, Any]:
    """The objective of a student without a teacher; its labels weigh what they do in the recipe's own."""
    name = recipe.labels_alone
    weighted = getattr(recipe.objective.terms.get(name), "class_weights", None)
    return {name: {"class_weights": weighted} if weighted else {}}


def own_objective(recipe: Recipe) -> str:
    """How a search calls the recipe's own objective: by its terms that ask the teacher, ``kd`` or ``kd+fitnets``."""
    terms = recipe.objective.terms
    return "+".join([name for name in terms if CATALOGUE[name].needs != (LABELS,)] or terms)


def objective_named(recipe: Recipe, name: str) -> dict[str, Any]:
    """The plain values of an objective by its name: the recipe's own, or the published one.

    A weight that is published as a schedule is that which it comes to, for a search changes how many epochs there are.
    """
    if name == own_objective(recipe):
        return recipe.objective.model_dump(mode="json", exclude_none=True)
    entry = CATALOGUE[name]
    made = {name: {}, **{term: dict(said) for term, said in entry.beside.items()}}
    for said in made.values():
        if isinstance(said.get("weight"), Mapping):
            said["weight"] = next(way["end"] for way in said["weight"].values())
    labels = of_labels(recipe)
    return {term: {**said, **labels.get(term, {})} for term, said in made.items()}


def value_at(values: Mapping[str, Any], path: str) -> Any:
    """What stands at a path of a recipe's plain values; None where there is nothing."""
    here: Any = values
    for part in path.split("."):
        here = here.get(part) if isinstance(here, Mapping) else None
    return here


def _choose(made: dict[str, Any], recipe: Recipe, path: str, value: Any) -> None:
    if path == FAMILY:
        if value != made[STUDENT]["model"]:
            made[STUDENT] = _taking(made, {"model": value}, recipe.student.knobs)
    elif path == OBJECTIVE and isinstance(value, str):
        made[OBJECTIVE] = objective_named(recipe, value)
    else:
        made[path] = value


def _taking(made: Mapping[str, Any], student: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The student with those of the fields that its family has, in an order in which each is right."""
    left, taken = dict(fields), True
    while left and taken:
        taken = False
        for name in list(left):
            tried = copy.deepcopy(student)
            _put(tried, name, left[name])
            try:
                from_dict({**made, STUDENT: tried}, WHERE)
            except BadInput:
                continue
            student, taken = tried, True
            left.pop(name)
    return student


def _has_term(made: Mapping[str, Any], path: str) -> bool:
    """Whether a field that is pinned is not one of an objective's term that this candidate has not."""
    root, _, rest = path.partition(".")
    return root != OBJECTIVE or made[OBJECTIVE].get(rest.partition(".")[0]) is not None


def _put(made: dict[str, Any], path: str, value: Any) -> None:
    *before, last = path.split(".")
    here = made
    for part in before:
        if not isinstance(here.get(part), dict):
            here[part] = {}
        here = here[part]
    here[last] = value


def _keep_teacher(made: dict[str, Any], recipe: Recipe) -> None:
    """Where views vary: a teacher that is trained on the recipe's views goes on being, and unvaried views are answered once."""
    kind, own = type(recipe.views), recipe.views.model_dump(mode="json")
    try:
        views = kind.model_validate(made[VIEWS])
    except ValidationError:  # whoever reads the recipe says what is wrong
        return
    if views == recipe.views:
        return
    for section in _members(made[TEACHER]):
        if section.get("train") is not None and section.get("views") is None:
            section["views"] = own
    if views == kind() and made["targets"]["store"] is None:
        made["targets"] = {**made["targets"], "views": 1}


def _keep_assistant(made: dict[str, Any], recipe: Recipe) -> None:
    """What of an assistant is by default its student's is written out, as it is in the recipe that is searched."""
    section = made.get(ASSISTANT)
    if isinstance(section, dict):
        for name in OWN:
            if section.get(name) is None:
                section[name] = getattr(recipe, name).model_dump(mode="json", exclude_none=True)


def _members(teacher: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from teacher.get("ensemble") or [teacher]
