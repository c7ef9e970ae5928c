"""What is wrong with a recipe, in sentences: one line per problem, each naming the field.

`sentences` turns pydantic's findings into words; `contradictions` finds fields that are right alone and wrong
together.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import did_you_mean, shown
from ..modalities import DEFAULT_TASK, TASKS, recipe_class
from ..sections.recipe import Recipe
from ..sections.section import ENSEMBLE, MODEL, ONNX, PLANNER, POLICY, TAGS, meanings
from ..sections.teacher import kind_of_section

_KINDS = (MODEL, ONNX, ENSEMBLE, PLANNER, POLICY)  # of teachers

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of ordinary size",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text (put it in quotes)",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "model_type": "a section with fields of its own",
    "model_attributes_type": "a section with fields of its own",
    "dict_type": "a section with fields of its own",
    "tuple_type": "a list",
    "list_type": "a list",
}
_LIMIT = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def recipe_for(values: Mapping[str, Any]) -> type[Recipe]:
    """The recipe of the task that plain values name; the usual one where they name none, or one that there is not."""
    task = values.get("task", DEFAULT_TASK)
    return recipe_class(task if isinstance(task, str) and task in TASKS else DEFAULT_TASK)


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section class behind a field's annotation (`Train | None` gives `Train`); None for a value."""
    for member in members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            return member
    return None


def sections_of(annotation: Any) -> list[type[BaseModel]]:
    """All the section classes behind a field's annotation, those of a list's items too."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in typing.get_args(annotation) for section in sections_of(part)]


def members(annotation: Any) -> tuple[Any, ...]:
    """What a union is made of (``Train | None`` gives ``Train`` and ``None``'s type); else the annotation alone."""
    parts = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    return tuple(typing.get_args(part)[0] if typing.get_origin(part) is typing.Annotated else part for part in parts)


def accepts_none(annotation: Any) -> bool:
    """Whether a field may be null."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return bool({type(None), Any} & set(members(annotation)))


def by_name(annotation: Any) -> Any:
    """What stands in a field that holds values by name (``dict[str, float]`` gives ``float``); None where it holds sections, or a value."""
    for member in members(annotation):
        if typing.get_origin(member) is dict:
            value = typing.get_args(member)[1]
            return None if isinstance(value, type) and issubclass(value, BaseModel) else value
    return None


def _is_union(annotation: Any) -> bool:
    return isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union


def sentences(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """One line per problem of a recipe (or another file) of the kind ``root``: the field's dotted path, what was given, what is right."""
    return list(dict.fromkeys(_sentence(dict(problem), root) for problem in error.errors(include_url=False)))


def _sentence(problem: dict[str, Any], root: type[BaseModel]) -> str:
    location = tuple(part for part in problem["loc"] if part not in TAGS)
    path = ".".join(str(part) for part in location) or "recipe"
    kind, given, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{path}: no such field.{_elsewhere(problem['loc'], root) or _hint(problem['loc'], root)}"
    if kind == "missing" and isinstance(location[-1], int):
        parent = ".".join(str(part) for part in location[:-1])
        return f"{parent}: {shown(given)} was given; a value is missing at place {location[-1] + 1}"
    if kind == "missing":
        return f"{path}: is missing.{_what_it_is(location, root)}"
    if kind == "literal_error":
        return f"{path}: {shown(given)} is not one of {_choices(location, root)}.{_nearest(given, location, root)}"
    if kind in _LIMIT:
        key, words = _LIMIT[kind]
        return f"{path}: {shown(given)} was given; it must be {words} {limit_text(context[key])}"
    if kind == "too_long":
        most = "at most " if context["max_length"] >= 10 else ""  # pairs and triples are held to their number
        return f"{path}: {shown(given)} was given; it must hold {most}{context['max_length']} values"
    if kind == "string_too_long":
        return f"{path}: {shown(given)} was given; it must have at most {context['max_length']} characters"
    if kind == "too_short":
        return f"{path}: {shown(given)} was given; it must hold at least {context['min_length']}"
    if kind == "string_pattern_mismatch":
        return f"{path}: {shown(given)} was given; it must be letters, digits, '.', '_' and '-' alone"
    if kind == "value_error":
        return f"{path}: {context['error']}"
    if kind in _WANTED:
        return f"{path}: {shown(given)} was given; it must be {_WANTED[kind]}{_as_section(location, given, root)}"
    return f"{path}: {shown(given)} was given; {problem['msg']}"


def limit_text(value: float) -> str:
    """``1,000,000``, but ``0.9``."""
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _as_section(location: tuple[str | int, ...], given: Any, root: type[BaseModel]) -> str:
    """How to write it, where the name of a section was given in the place of the section around it."""
    around = section_of(getattr(_field_at(location, root), "annotation", None))
    if around is None or not isinstance(given, str):
        return ""
    sections = [name for name, field in around.model_fields.items() if section_of(field.annotation) is not None]
    near = [given] if given in sections else difflib.get_close_matches(given, sections, n=1)
    if not near:
        return ""
    inner = section_of(around.model_fields[near[0]].annotation)
    assert inner is not None
    required = ", ".join(f"{name}: ..." for name, field in inner.model_fields.items() if field.is_required())
    path = ".".join(str(part) for part in location)
    return f": write {path}={{{near[0]}: {{{required}}}}} (in a file, {path}: {{{near[0]}: {{{required}}}}})"


def _sections_at(location: tuple[str | int, ...], root: type[BaseModel]) -> list[type[BaseModel]]:
    """The sections that may stand there; one, where the location still has its tags."""
    sections: list[type[BaseModel]] = [root]
    for part in location:
        if part in _KINDS:
            sections = [section for section in sections if kind_of_section(section) == part]
        elif part not in TAGS and not isinstance(part, int):
            fields = [section.model_fields[part] for section in sections if part in section.model_fields]
            sections = [section for field in fields for section in sections_of(field.annotation)]
    return sections


def _elsewhere(tagged: tuple[str | int, ...], root: type[BaseModel]) -> str:
    """What to do about a field that a teacher of another kind has."""
    *before, name = tagged
    kind = before[-1] if before else None
    if kind not in _KINDS:
        return ""
    first = next(place for place, part in enumerate(before) if part in _KINDS)
    fields = {field for section in _sections_at(tagged[:first], root) for field in section.model_fields}
    if kind == ONNX and name in fields:
        return " An ONNX file is used as it is: leave it out."
    if kind == ENSEMBLE and name in fields:
        return " Each teacher of the ensemble has its own: leave it out."
    return ""


def _hint(tagged: tuple[str | int, ...], root: type[BaseModel]) -> str:
    sections, name = _sections_at(tagged[:-1], root), str(tagged[-1])
    fields = {field for section in sections for field in section.model_fields}
    if not fields:
        return ""
    recipes = {task: recipe_class(task) for task in TASKS}
    for task, other in recipes.items():
        if root in recipes.values() and other is not root and _field_at(tagged, other) is not None:
            return f" That is a field of task: {task}."
    if difflib.get_close_matches(name, fields, n=1, cutoff=0.6):
        return did_you_mean(name, fields)
    # Not a slip of the keys: perhaps the right field in the wrong place.
    places = [path for path in field_paths(root) if path.split(".")[-1] == name]
    if places:
        return f" Did you mean '{min(places, key=lambda path: path.count('.'))}'?"
    return did_you_mean(name, fields)


def field_paths(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted paths of all fields, those of a section before those of the sections inside it."""
    inner: list[tuple[type[BaseModel], str]] = []
    for name, field in section.model_fields.items():
        yield prefix + name
        below = section_of(field.annotation)
        if below is not None:
            inner.append((below, f"{prefix}{name}."))
    for below, deeper in inner:
        yield from field_paths(below, deeper)


def _field_at(location: tuple[str | int, ...], root: type[BaseModel]) -> Any:
    name = str(location[-1])
    fields = (section.model_fields.get(name) for section in _sections_at(location[:-1], root))
    return next((field for field in fields if field is not None), None)


def _what_it_is(location: tuple[str | int, ...], root: type[BaseModel]) -> str:
    name = str(location[-1])
    meaning = next((meanings(one)[name] for one in _sections_at(location[:-1], root) if name in one.model_fields), "")
    return f" {' '.join(meaning.split())}" if meaning else ""


def _literals(location: tuple[str | int, ...], root: type[BaseModel]) -> list[Any]:
    listed = isinstance(location[-1], int)
    field = _field_at(location[:-1] if listed else location, root)
    if field is None:
        return []
    values = typing.get_args(field.annotation)[:1] if listed else members(field.annotation)
    literals = (value for value in values if typing.get_origin(value) is typing.Literal)
    return [value for literal in literals for value in typing.get_args(literal)]


def _choices(location: tuple[str | int, ...], root: type[BaseModel]) -> str:
    return ", ".join(str(value) for value in _literals(location, root))


def _nearest(given: Any, location: tuple[str | int, ...], root: type[BaseModel]) -> str:
    near = difflib.get_close_matches(str(given), [str(value) for value in _literals(location, root)], n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""
