"""What is wrong with a recipe, in sentences: one line per problem, each naming the field.

`sentences` turns pydantic's findings into words; `contradictions` finds fields that are right alone and wrong
together.
"""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from .errors import did_you_mean
from .recipe import Model, Recipe, Train
from .recipe_section import TAGS, most

# Fields of `train` that people look for right under the teacher or student, and that no model has as a knob.
_TRAIN_FIELDS = ("epochs", "batch_size", "optimizer", "learning_rate", "weight_decay", "schedule", "patience")
_TEST_NAMES = ("test", "testing")
_ONE_CLASS = ("dkd", "nkd")  # objectives that tell the true class from the others

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


def shown(value: Any) -> str:
    """A given value as the sentence quotes it: short, on one line."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, str):
        text = repr(value)
    else:
        try:
            text = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section class behind a field's annotation (`Train | None` gives `Train`); None for a value."""
    for member in members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            return member
    return None


def members(annotation: Any) -> tuple[Any, ...]:
    """What a union is made of (``Train | None`` gives ``Train`` and ``None``'s type); else the annotation alone."""
    parts = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    return tuple(typing.get_args(part)[0] if typing.get_origin(part) is typing.Annotated else part for part in parts)


def accepts_none(annotation: Any) -> bool:
    """Whether a field may be null."""
    return type(None) in members(annotation)


def _is_union(annotation: Any) -> bool:
    return isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union


def sentences(error: ValidationError) -> list[str]:
    """One line per problem: the field's dotted path, what was given, what would be right."""
    return list(dict.fromkeys(_sentence(dict(problem)) for problem in error.errors(include_url=False)))


def _sentence(problem: dict[str, Any]) -> str:
    location = tuple(part for part in problem["loc"] if part not in TAGS)
    path = ".".join(str(part) for part in location) or "recipe"
    kind, given, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{path}: no such field.{_hint(location)}"
    if kind == "missing" and isinstance(location[-1], int):
        parent = ".".join(str(part) for part in location[:-1])
        return f"{parent}: {shown(given)} was given; a value is missing at place {location[-1] + 1}"
    if kind == "missing":
        return f"{path}: is missing.{_what_it_is(location)}"
    if kind == "literal_error":
        return f"{path}: {shown(given)} is not one of {_choices(location)}.{_nearest(given, location)}"
    if kind in _LIMIT:
        key, words = _LIMIT[kind]
        return f"{path}: {shown(given)} was given; it must be {words} {context[key]:g}"
    if kind == "too_long":
        return f"{path}: {shown(given)} was given; it must hold {context['max_length']} values"
    if kind == "too_short":
        return f"{path}: {shown(given)} was given; it must hold at least {context['min_length']}"
    if kind == "string_pattern_mismatch":
        return f"{path}: {shown(given)} was given; it must be letters, digits, '.', '_' and '-' alone"
    if kind == "value_error":
        return f"{path}: {context['error']}"
    if kind in _WANTED:
        return f"{path}: {shown(given)} was given; it must be {_WANTED[kind]}{_as_section(location, given)}"
    return f"{path}: {shown(given)} was given; {problem['msg']}"


def _as_section(location: tuple[str | int, ...], given: Any) -> str:
    """How to write it, where the name of a section was given in the place of the section around it."""
    around = section_of(getattr(_field_at(location), "annotation", None))
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


def _section_at(location: tuple[str | int, ...]) -> type[BaseModel] | None:
    section: type[BaseModel] | None = Recipe
    for part in location:
        if section is None or part not in section.model_fields:
            return None
        section = section_of(section.model_fields[str(part)].annotation)
    return section


def _hint(location: tuple[str | int, ...]) -> str:
    section = _section_at(location[:-1])
    name = str(location[-1])
    if section is None:
        return ""
    if difflib.get_close_matches(name, section.model_fields, n=1, cutoff=0.6):
        return did_you_mean(name, section.model_fields)
    # Not a slip of the keys: perhaps the right field in the wrong place.
    places = [path for path in field_paths(Recipe) if path.split(".")[-1] == name]
    if places:
        return f" Did you mean '{min(places, key=lambda path: path.count('.'))}'?"
    return did_you_mean(name, section.model_fields)


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


def _field_at(location: tuple[str | int, ...]) -> Any:
    section = _section_at(location[:-1])
    return section.model_fields.get(str(location[-1])) if section is not None else None


def _what_it_is(location: tuple[str | int, ...]) -> str:
    field = _field_at(location)
    return f" {' '.join(field.description.split())}" if field is not None and field.description else ""


def _literals(location: tuple[str | int, ...]) -> list[Any]:
    field = _field_at(location)
    if field is None:
        return []
    literals = (member for member in members(field.annotation) if typing.get_origin(member) is typing.Literal)
    return [value for literal in literals for value in typing.get_args(literal)]


def _choices(location: tuple[str | int, ...]) -> str:
    return ", ".join(str(value) for value in _literals(location))


def _nearest(given: Any, location: tuple[str | int, ...]) -> str:
    near = difflib.get_close_matches(str(given), [str(value) for value in _literals(location)], n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else ""


def contradictions(recipe: Recipe) -> list[str]:
    """Problems between fields, one line each: selection on the test split, a teacher that is never made."""
    return [
        *_splits(recipe),
        *_teacher(recipe),
        *_knobs("teacher", recipe.teacher),
        *_knobs("student", recipe.student),
        *_objective(recipe),
        *_schedule("train", recipe.train),
        *(_schedule("teacher.train", recipe.teacher.train) if recipe.teacher.train else ()),
    ]


def _splits(recipe: Recipe) -> Iterator[str]:
    data = recipe.data
    carved = "name another split, or leave validation out and it is carved from train"
    if data.validation is not None and (data.validation == data.test or data.validation.lower() in _TEST_NAMES):
        yield (
            f"data.validation: {shown(data.validation)} is the test split, and the test split cannot be used "
            f"for selection; {carved}"
        )
    elif data.validation == data.train:
        yield f"data.validation: {shown(data.validation)} is the training split; {carved}"
    if data.test == data.train:
        yield (
            f"data.test: {shown(data.test)} is the training split; name another split, "
            "or give null and it is carved from train"
        )
    transfer = data.transfer
    if transfer is None or (transfer.name, transfer.config) != (data.name, data.config):
        return
    for field, split in (("test", data.test), ("validation", data.validation)):
        if transfer.split == split:
            yield (
                f"data.transfer.split: {shown(transfer.split)} is the {field} split, and students may "
                "not learn from it; name another split"
            )


def _teacher(recipe: Recipe) -> Iterator[str]:
    teacher = recipe.teacher
    pretrained = teacher.model.startswith("timm/") and teacher.knobs.get("pretrained") is True
    # A person's own callable may hand back a trained model; nothing but running it can tell.
    own = ":" in teacher.model
    if teacher.train is None and teacher.weights is None and not pretrained and not own:
        yield "teacher: give train (to train it here) or weights (a file)" + (
            ", or pretrained: true" if teacher.model.startswith("timm/") else ""
        )
    if teacher.views is not None and teacher.train is None:
        yield "teacher.views: there is no teacher.train whose examples it could vary; leave it out"
    preprocess = teacher.preprocess
    if preprocess is None:
        return
    channels = recipe.data.channels
    for name, values in (("mean", preprocess.mean), ("std", preprocess.std)):
        if values is not None and channels is not None and len(values) != channels:
            yield (
                f"teacher.preprocess.{name}: {len(values)} values were given; "
                f"it must hold one for each of the {channels} channels of data.channels"
            )
    if preprocess.mean is not None and preprocess.std is not None and len(preprocess.mean) != len(preprocess.std):
        yield "teacher.preprocess: mean and std must hold as many values as one another, one for each channel"


def _knobs(where: str, section: Model) -> Iterator[str]:
    fields = type(section).model_fields
    train = "teacher.train" if where == "teacher" else "train"
    for knob in section.knobs:
        # A model's knobs are its own, so only near misses of a section's fields can be told here.
        near = difflib.get_close_matches(knob, fields, n=1, cutoff=0.75)
        if knob in _TRAIN_FIELDS and knob in Train.model_fields:
            yield f"{where}.{knob}: no such field. Did you mean '{train}.{knob}'?"
        elif knob in ("train", "views", "preprocess"):
            yield f"{where}.{knob}: no such field. Did you mean '{knob}', beside {where} and not inside it?"
        elif near:
            yield f"{where}.{knob}: no such field. Did you mean '{near[0]}'?"


def _objective(recipe: Recipe) -> Iterator[str]:
    terms = recipe.objective.terms
    if not any(most(term.weight) > 0 for term in terms.values()):
        yield "objective: every weight is 0, so nothing is learnt; give a term a weight above 0"
    mixes = [name for name in ("mixup", "cutmix") if getattr(recipe.views, name) > 0]
    for name in _ONE_CLASS:
        if name in terms and mixes:
            yield (
                f"objective.{name}: it needs one class for each example, and views.{mixes[0]} gives shares of two; "
                "leave out one of the two"
            )


def _schedule(where: str, train: Train) -> Iterator[str]:
    if train.warmup_epochs > train.epochs:
        yield (
            f"{where}.warmup_epochs: {train.warmup_epochs:g} was given; "
            f"it must be at most {where}.epochs ({train.epochs})"
        )
