"""What every section of a recipe is, and the kinds of value that objectives' sections share. No torch."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    ValidationError,
    model_validator,
)

from ..errors import BadInput, did_you_mean


class _Called(type(BaseModel)):
    """What a person calls in Python, ``limbeck.Train(epochs=3)``, answers in sentences.

    Only that call: where pydantic makes a section of what a recipe holds, its own error goes to `recipe_problems`.
    """

    def __call__(cls, *args: Any, **fields: Any) -> Any:
        try:
            return super().__call__(*args, **fields)
        except ValidationError as error:
            told = [_told(cls, dict(problem)) for problem in error.errors(include_url=False)]
            raise BadInput("\n".join(dict.fromkeys(told))) from None


def _told(section: type, problem: dict[str, Any]) -> str:
    place = [str(part) for part in problem["loc"] if part not in TAGS]
    where = f"{section.__name__}({'.'.join(place)}=...)" if place else section.__name__
    if problem["type"] == "extra_forbidden":
        known = section.model_fields if len(place) == 1 and issubclass(section, BaseModel) else ()
        return f"{where}: there is no such field.{did_you_mean(place[-1], known) if known else ''}"
    if problem["type"] == "missing":
        return f"{where}: it must be given."
    reason = str(problem["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    given = f"{problem['input']!r} was given; it " if not str(problem["msg"]).startswith("Value error") else ""
    return f"{where}: {given}{reason}{'' if reason.endswith('?') else '.'}"


class Section(BaseModel, metaclass=_Called):
    """Strict: unknown fields are refused, and a recipe does not change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        fields = handler.resolve_ref_schema(schema)["properties"]
        for name, meaning in meanings(cls).items():
            if meaning and name in fields:
                fields[name].setdefault("description", meaning)
        return schema


class AnyViews(Section):
    """How examples are varied; nothing, where nothing is said."""

    @property
    def mixes(self) -> tuple[str, ...]:
        """The fields that give an example a partner, so that its labels are shares of two and it depends on all others."""
        return ()


def meanings(section: type[BaseModel]) -> Mapping[str, str]:
    """What each field of a section means, by its name: what its type says, or the text that stands below it.

    That text is read from the source when somebody asks. Pydantic would read it (``use_attribute_docstrings``) whenever a
    section is imported, which takes longer than all else that a command does before it can refuse a recipe.
    """
    below: dict[str, str] = {}
    for one in reversed(section.__mro__):
        if issubclass(one, Section):
            below |= _below_fields(one.__module__, one.__name__)
    return {name: field.description or below.get(name, "") for name, field in section.model_fields.items()}


def _below_fields(module: str, section: str) -> dict[str, str]:
    found = {}
    for pair in pairwise(_classes(module).get(section, [])):
        match pair:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
            case _:
                pass
    return found


@cache
def _classes(module: str) -> Mapping[str, list[ast.stmt]]:
    source = inspect.getsource(sys.modules[module])
    return {one.name: one.body for one in ast.parse(source).body if isinstance(one, ast.ClassDef)}


# The kinds of number in a recipe. What is meant in earnest lies far within their bounds; a slip of the keys does not.
ORDINARY = 1_000_000
Count = Annotated[int, Field(gt=0, le=1_000_000_000)]
"""Of examples, steps, tokens."""
Times = Annotated[int, Field(gt=0, le=ORDINARY)]
"""How often something is done: passes over the data, views."""
Seeds = Annotated[int, Field(gt=0, le=1_000)]
"""How many models are trained alike but for the seed."""
LARGEST_SIDE = 4_096
Side = Annotated[int, Field(gt=0, le=LARGEST_SIDE)]
"""Of an image, in pixels: as many as ``limbeck.vision.pixels.MOST_PIXELS`` allows."""
Pixel = Annotated[int, Field(ge=0, le=LARGEST_SIDE)]
"""A row or a column of an image, from 0."""
Width = Annotated[int, Field(gt=0, le=ORDINARY)]
"""Of a layer, or of what is kept of an answer."""
Depth = Annotated[int, Field(gt=0, le=1_000)]
"""How many layers, or heads."""
Layer = Annotated[int, Field(ge=0, le=1_000)]
"""The number of a layer, from 0."""
Frames = Annotated[int, Field(ge=0, le=ORDINARY)]
"""How many frames of a recording."""
Positive = Annotated[float, Field(gt=0, le=ORDINARY)]
"""A number above 0 of ordinary size."""
NotNegative = Annotated[float, Field(ge=0, le=ORDINARY)]
"""A number of at least 0, of ordinary size."""
Number = Annotated[float, Field(ge=-ORDINARY, le=ORDINARY)]
"""A number of ordinary size."""


def _on_unit_scale(values: tuple[float, ...]) -> tuple[float, ...]:
    if max(values, default=0.0) <= 1:
        return values
    divided = ", ".join(f"{value / 255:.4g}" for value in values)
    raise ValueError(
        f"{max(values):g} was given, and images are on a scale of 0 to 1: divide by 255 what is for 0 to 255 ([{divided}])"
    )


Means = Annotated[tuple[Number, ...], AfterValidator(_on_unit_scale)]
"""Of each channel; one above 1 was taken from images on a scale of 0 to 255."""
Deviations = Annotated[tuple[Positive, ...], AfterValidator(_on_unit_scale)]
"""Of each channel, likewise."""


class Way(Section):
    """From one value to another."""

    start: Number
    """The value at the first step."""
    end: Number
    """The value after ``epochs``, and from there on."""
    epochs: Positive | None = None
    """Epochs that the change takes; the whole run where not given."""


class Schedule(Section):
    """A value that changes over the run: ``{linear: {start: 0, end: 8, epochs: 20}}``, or ``cosine`` or ``step`` likewise.

    A term whose weight steps to 0, ``{step: {start: 1, end: 0, epochs: 2}}``, is not worked out from there on: so one
    objective can follow another.
    """

    linear: Way | None = None
    """In equal steps."""
    cosine: Way | None = None
    """Along half a cosine: slowly at first and at last."""
    step: Way | None = None
    """All at once, when ``epochs`` are over."""

    @property
    def way(self) -> Way:
        """The one that was given."""
        way = self.linear or self.cosine or self.step
        assert way is not None
        return way

    @model_validator(mode="after")
    def _one(self) -> Schedule:
        if [self.linear, self.cosine, self.step].count(None) != 2:
            raise ValueError(
                "a schedule is one of linear, cosine and step, such as {linear: {start: 0, end: 8, epochs: 20}}"
            )
        if self.step is not None and self.step.epochs is None:
            raise ValueError("a step comes after so many epochs: {step: {start: 1, end: 0, epochs: 2}}")
        return self


def least(value: float | Schedule) -> float:
    """The smallest it gets."""
    return min(value.way.start, value.way.end) if isinstance(value, Schedule) else value


def most(value: float | Schedule) -> float:
    """The largest it gets."""
    return max(value.way.start, value.way.end) if isinstance(value, Schedule) else value


# Tags of what a value may be; no field is called so, and where a problem lies is said without them.
NUMBER, SCHEDULE, ONE, SEVERAL = ("<number>", "<schedule>", "<one>", "<several>")
MODEL, ONNX, ENSEMBLE = ("<model>", "<onnx>", "<ensemble>")
PLANNER, POLICY = ("<planner>", "<policy>")  # teachers of drivers
WORD, SECTION = ("<word>", "<section>")
BY_NAME = "<by name>"
TAGS = (NUMBER, SCHEDULE, ONE, SEVERAL, MODEL, ONNX, ENSEMBLE, PLANNER, POLICY, WORD, SECTION, BY_NAME)


def _number_or_schedule(value: Any) -> str:
    return SCHEDULE if isinstance(value, dict | Schedule) else NUMBER


def one_or_several(value: Any) -> str:
    return SEVERAL if isinstance(value, list | tuple) else ONE


def _word_or_numbers(value: Any) -> str:
    return BY_NAME if isinstance(value, dict) else SEVERAL if isinstance(value, list | tuple) else WORD


def _not_negative(schedule: Schedule) -> Schedule:
    if least(schedule) < 0:
        raise ValueError(f"a weight cannot be negative, and this schedule reaches {least(schedule):g}")
    return schedule


def _positive(schedule: Schedule) -> Schedule:
    if not least(schedule) > 0:
        raise ValueError(f"a temperature must be greater than 0, and this schedule reaches {least(schedule):g}")
    return schedule


Weight = Annotated[
    Annotated[float, Field(ge=0, le=ORDINARY), Tag(NUMBER)]
    | Annotated[Schedule, AfterValidator(_not_negative), Tag(SCHEDULE)],
    Discriminator(_number_or_schedule),
    Field(description="Factor of the term in the loss."),
]
"""A number of at least 0, or a schedule of them."""

Temperature = Annotated[
    Annotated[float, Field(gt=0, le=ORDINARY), Tag(NUMBER)]
    | Annotated[Schedule, AfterValidator(_positive), Tag(SCHEDULE)],
    Discriminator(_number_or_schedule),
    Field(description="T, which divides both models' logits."),
]
"""A number above 0, or a schedule of them."""

_ClassWeight = Annotated[float, Field(gt=0, le=ORDINARY)]
ClassWeights = (
    Annotated[
        Annotated[Literal["balanced"], Tag(WORD)]
        | Annotated[tuple[_ClassWeight, ...], Field(min_length=1), Tag(SEVERAL)]
        | Annotated[dict[str, _ClassWeight], Field(min_length=1), Tag(BY_NAME)],
        Discriminator(_word_or_numbers),
    ]
    | None
)
"""What each class weighs in a cross-entropy."""

StudentPath = Annotated[
    str, Field(description="Module of the student: ``stages.2`` for what it gives, ``fc:in`` for what it is given.")
]
TeacherPath = Annotated[str, Field(description="Module of the teacher, likewise.")]
Names = Annotated[
    Annotated[str, Tag(ONE)] | Annotated[tuple[str, ...], Tag(SEVERAL)],
    Discriminator(one_or_several),
]
"""A name, or several."""

Sides = Annotated[Annotated[Side, Tag(ONE)] | Annotated[tuple[Side, Side], Tag(SEVERAL)], Discriminator(one_or_several)]
"""The side of square images in pixels, or their height and width."""

_Paths = Annotated[str, Tag(ONE)] | Annotated[tuple[str, ...], Field(min_length=1), Tag(SEVERAL)]
StudentPaths = Annotated[
    _Paths,
    Discriminator(one_or_several),
    Field(description="Modules of the student: ``stages.2`` for what it gives, ``fc:in`` for what it is given."),
]
TeacherPaths = Annotated[
    _Paths, Discriminator(one_or_several), Field(description="As many modules of the teacher, in the same order.")
]
_LayerMap = (
    Annotated[Literal["uniform", "last"], Tag(ONE)]
    | Annotated[tuple[tuple[Layer, Layer], ...], Field(min_length=1), Tag(SEVERAL)]
)
LayerMap = Annotated[
    _LayerMap,
    Discriminator(one_or_several),
    Field(
        description="Which layers are paired where paths have a ``{}``: ``uniform``, ``last``, or pairs such as "
        "``[[0, 1], [1, 3]]``, counted from 0."
    ),
]
FoundLayerMap = Annotated[
    _LayerMap,
    Discriminator(one_or_several),
    Field(
        description="Which layers are paired: ``uniform`` (at equal distances), ``last``, or pairs of student's and "
        "teacher's layers such as ``[[0, 1], [1, 3]]``, counted from 0."
    ),
]
Layers = Annotated[
    tuple[Depth, Depth],
    Field(description="How many layers student and teacher have; needed where paths have a ``{}``."),
]
Projections = Annotated[
    Annotated[str, Tag(ONE)] | Annotated[tuple[str, str, str], Tag(SEVERAL)],
    Discriminator(one_or_several),
    Field(
        description="Names of the query, key and value projections below those modules, or of the one that gives all "
        "three (``qkv`` in timm)."
    ),
]
StudentLayers = Annotated[
    _Paths,
    Discriminator(one_or_several),
    Field(
        description="Modules of the student: paths, or one with ``{}`` for the layer's number (``blocks.{}`` in timm)."
    ),
]
TeacherLayers = Annotated[_Paths, Discriminator(one_or_several), Field(description="Modules of the teacher, likewise.")]
