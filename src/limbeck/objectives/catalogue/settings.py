"""Settings of an objective: what it can be told, of which kind, and what holds where nothing is said. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Kind(Enum):
    """What a setting may be, where that has a name. The recipe knows how each is written."""

    WEIGHT = "factor of the term: a number of at least 0, or a schedule"
    TEMPERATURE = "a number above 0, or a schedule"
    CLASS_WEIGHTS = "what each class weighs: 'balanced', a number for each, or numbers by name"
    STUDENT_PATH = "a module of the student"
    TEACHER_PATH = "a module of the teacher"
    STUDENT_PATHS = "modules of the student, one or several"
    TEACHER_PATHS = "as many modules of the teacher"
    STUDENT_LAYERS = "modules of the student, or one with {} for the layer's number"
    TEACHER_LAYERS = "modules of the teacher, likewise"
    LAYERS = "how many layers student and teacher have"
    LAYER_MAP = "which layers are paired where paths have a {}"
    FOUND_LAYER_MAP = "which layers are paired where they are found in the models"
    PROJECTIONS = "names of the query, key and value projections"
    TWO_PATHS = "a module of the student and one of the teacher"
    NAMES = "names, as many as one likes"
    COUNT = "how many examples"
    WIDTH = "how wide a layer is"
    DEPTH = "how many layers, or heads"
    FRAMES = "how many frames"


WEIGHT, TEMPERATURE, CLASS_WEIGHTS = Kind.WEIGHT, Kind.TEMPERATURE, Kind.CLASS_WEIGHTS
STUDENT_PATH, TEACHER_PATH = Kind.STUDENT_PATH, Kind.TEACHER_PATH
STUDENT_PATHS, TEACHER_PATHS = Kind.STUDENT_PATHS, Kind.TEACHER_PATHS
STUDENT_LAYERS, TEACHER_LAYERS, LAYERS = Kind.STUDENT_LAYERS, Kind.TEACHER_LAYERS, Kind.LAYERS
LAYER_MAP, FOUND_LAYER_MAP, PROJECTIONS = Kind.LAYER_MAP, Kind.FOUND_LAYER_MAP, Kind.PROJECTIONS
TWO_PATHS, NAMES, COUNT, WIDTH, DEPTH = Kind.TWO_PATHS, Kind.NAMES, Kind.COUNT, Kind.WIDTH, Kind.DEPTH
FRAMES = Kind.FRAMES


@dataclass(frozen=True)
class Number:
    """A number within limits; None: of ordinary size."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None


def at_least(least: float) -> Number:
    """A number of ordinary size, not below ``least``."""
    return Number(at_least=least)


def above(bound: float) -> Number:
    """A number of ordinary size, above ``bound``."""
    return Number(above=bound)


def between(least: float, most: float) -> Number:
    """A number from ``least`` to ``most``, both allowed."""
    return Number(at_least=least, at_most=most)


SHARE = Number(at_least=0, below=1)
"""A share that is never the whole."""


@dataclass(frozen=True)
class OneOf:
    """One of some words."""

    words: tuple[str, ...]


def one_of(*words: str) -> OneOf:
    """One of these words."""
    return OneOf(words)


class Required(Enum):
    """What stands for a default where there is none."""

    REQUIRED = "required"


REQUIRED = Required.REQUIRED


@dataclass(frozen=True)
class Setting:
    """One argument of an objective, which is a field of its section in a recipe."""

    name: str
    kind: Kind | Number | OneOf | None  # None: of a function that no recipe has
    default: Any = REQUIRED  # None: it may be left open
    meaning: str = ""  # as the recipe's page says it; empty: what the kind says
    # another default where another setting has that value: {"match": {"cls": 500.0}}
    where: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def plain(**defaults: Any) -> tuple[Setting, ...]:
    """The settings of a function that no recipe has."""
    return tuple(Setting(name, None, default) for name, default in defaults.items())
