"""The recipe of driving. No torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ...sections.objective import Objective
from ...sections.recipe import Recipe
from ...sections.section import AnyViews, Count, Positive, Section, Times
from ...sections.targets import Targets
from ...sections.teacher import Model
from .teacher_sections import ControlTrain, Teacher


class Rollouts(Section):
    """The student drives, the planner says of each state that it came to what it would have done, and the student is trained anew on all
    of them, round after round (DAgger: Ross et al. 2011)."""

    rounds: Times = 7
    """How often."""
    episodes: Count = 44
    """Episodes of a round; one in eight is for validation."""
    planner_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of the decisions of the first round that are the planner's; of round r this to the power of r."""
    epochs: Times = 200
    """Passes over all states so far, of the student that drives a round."""


class Data(Section):
    """Where is driven, and how much: every episode is known by its seed and by who drives."""

    name: str
    """An environment of highway-env: ``highway-fast-v0`` or ``highway-v0``."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of the environment where they are to differ from its own, such as ``{vehicles_count: 30}``."""
    episodes: Count = 60
    """Episodes that the planner drives, to train on."""
    validation_episodes: Count = 16
    """The same to select on."""
    test_episodes: Count = 16
    """The same to test on, state by state; how a student drives is judged in ``judge``."""
    rollouts: Rollouts | None = None
    """Episodes that the student drives, to train on; ``{}``: as many as is usual. A student that saw the planner's alone crashes."""
    processes: Count = 1
    """In how many processes is driven; the states are the same in any number."""
    config: None = None
    """None: an environment has ``settings``."""
    train: Literal["train"] = "train"
    """Its name; its episodes have seeds of their own, as those of the others have."""
    validation: Literal["validation"] = "validation"
    """Likewise."""
    test: Literal["test"] = "test"
    """Likewise."""
    group: None = None
    """None: no episode is in two splits."""
    transfer: None = None
    """None: every state is labelled."""


class Student(Model):
    """The small model. Further fields are its knobs (``width: 32``)."""

    model: str
    """``mlp``, whose knobs are ``width`` and ``second``: how wide its hidden layers are; or ``module:callable``."""


class AsTheyAre(AnyViews):
    """States are not varied: a state that nobody drove to is no state."""


class Judge(Section):
    """How drivers are judged: in closed loop, on seeds that no state was collected on and nothing is chosen by."""

    episodes: Count = 100
    """One for each seed, the same for all who are judged."""
    period_ms: Positive = 50.0
    """Milliseconds that a decision may take; more is a missed deadline."""


class ControlRecipe(Recipe):
    """Driving: one of five actions in every state."""

    task: Literal["control"]  # pyright: ignore[reportIncompatibleVariableOverride]
    """The modality."""
    data: Data
    """Where is driven, and how much."""
    views: AsTheyAre = AsTheyAre()
    """States are not varied."""
    teacher: Teacher
    """Who is learnt from."""
    targets: Targets = Targets(views=1)
    """How it is asked."""
    student: Student
    """The small model."""
    assistant: None = None
    """None: a planner's student is small."""
    objective: Objective = Objective.model_validate({"kd": {"temperature": 1}})
    """What the student is asked to match."""
    train: ControlTrain = ControlTrain()  # pyright: ignore[reportIncompatibleVariableOverride]
    """How the student and its baselines are trained."""
    judge: Judge = Judge()
    """How drivers are judged."""

    @property
    def collected(self) -> str | None:
        """What is driven to come by the states, in words."""
        data = self.data
        count = data.episodes + data.validation_episodes + data.test_episodes
        more = (
            "" if data.rollouts is None else f", {data.rollouts.rounds} rounds of {data.rollouts.episodes} by a student"
        )
        who = "the planner" if self.teacher.by_planner else self.teacher.title
        return f"{data.name}: {count} episodes driven by {who}{more}"


RECIPES: dict[str, type[Recipe]] = {"control": ControlRecipe}
