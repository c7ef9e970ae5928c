"""The recipe of points. No torch."""

from typing import Literal

from limbeck.objectives.catalogue.entry import NUMBERS
from limbeck.sections.recipe import Recipe
from limbeck.sections.section import AnyViews, Count, NotNegative, Section
from limbeck.sections.teacher import Model
from limbeck.sections.train import Train


class Corners(Section):
    """Where the points come from; what every ``data`` has, and how many points there are."""

    name: Literal["corners"]
    config: None = None
    train: str = "train"
    validation: str | None = None
    test: str | None = "test"
    group: None = None
    transfer: None = None
    count: Count = 400
    """Points in all; half are trained on."""


class Jitter(AnyViews):
    """How a point is varied; view 0 is the point as it is."""

    width: NotNegative = 0.0
    """The largest step that each coordinate is moved by."""


class Teacher(Model):
    """A network; its knob is its width."""

    train: Train
    views: Jitter | None = None

    @property
    def title(self) -> str:
        return self.model

    @property
    def opaque(self) -> str | None:
        return None


class PointRecipe(Recipe):
    """Points, each with one label."""

    task: Literal["point-classification"]  # pyright: ignore[reportIncompatibleVariableOverride]
    data: Corners
    views: Jitter = Jitter()
    teacher: Teacher
    student: Model


class TurnedRecipe(PointRecipe):
    """Points, each with two numbers."""

    task: Literal["point-regression"]  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def reads(self) -> tuple[tuple[str, ...], str]:
        return (NUMBERS,), "with task: point-regression a point has two numbers"


RECIPES: dict[str, type[Recipe]] = {"point-classification": PointRecipe, "point-regression": TurnedRecipe}
