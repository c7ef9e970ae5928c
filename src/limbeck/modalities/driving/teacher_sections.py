"""How a recipe of driving names its teacher: the planner, a network, or a policy of stable-baselines3. No torch."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Tag

from ...sections.section import MODEL, PLANNER, POLICY, Positive, Section, Times
from ...sections.teacher import Model
from ...sections.train import Train

Gives = Literal["values", "probabilities", "logits"]


class ControlTrain(Train):
    """One training run."""

    epochs: Times = 200
    """Passes over the training set."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """SGD with Nesterov momentum 0.9 unless said otherwise, or AdamW."""
    learning_rate: Positive | None = 0.005
    """Peak learning rate."""


class PlannerSection(Section):
    """A driver that looks six seconds ahead, and sees more than a student: every car, and what its own is on the way to."""

    tau: Positive = 0.5
    """In rewards of a second: soft targets are softmax(values / tau), at a temperature of 1."""


class _AsItCame(Section):
    """A teacher that is not trained here: states are labelled by it, when they are driven to."""

    @property
    def train(self) -> Train | None:
        """None: it comes ready-made."""
        return None

    @property
    def views(self) -> None:
        """None: states are not varied."""
        return None

    @property
    def opaque(self) -> str | None:
        """Why its inner modules cannot be looked at."""
        return "what it said of a state is kept with it, and nothing else of it"


class PlannerTeacher(_AsItCame):
    """The planner teaches: it drives, labels every state with its best action, and its values are the soft targets."""

    KIND: ClassVar[str] = PLANNER
    by_planner: ClassVar[bool] = True
    planner: PlannerSection
    """The planner; ``{}``: as it is."""

    @property
    def title(self) -> str:
        """How a person sees it."""
        return "planner"

    @property
    def scale(self) -> float:
        """What its answers are divided by."""
        return self.planner.tau

    @property
    def opaque(self) -> str | None:
        """Why its inner modules cannot be looked at."""
        return "a planner gives the values of its actions alone"


class PolicyTeacher(_AsItCame):
    """A policy of stable-baselines3 for the same observation and actions: it drives, labels every state with its best action, and its
    answers are the soft targets. Nothing of the file is unpickled."""

    KIND: ClassVar[str] = POLICY
    by_planner: ClassVar[bool] = False
    stable_baselines3: str
    """The zip that it was saved to, or a file of its ``policy.state_dict()``: of a DQN, whose values it gives, or of PPO or A2C, whose
    logits it gives."""
    activation: Literal["relu", "tanh", "elu", "leaky_relu"]
    """What is between its layers, which the file does not say: ``relu`` of a DQN, ``tanh`` of PPO and A2C, where nothing else was asked for."""
    known: str
    """A file of NumPy (``.npz``) with ``states`` (N, numbers) and the ``answers`` (N, actions) to them: by these it is seen to be the same
    policy."""
    tau: Positive = 0.5
    """Of a DQN: soft targets are softmax(values / tau), at a temperature of 1."""

    @property
    def title(self) -> str:
        """How a person sees it."""
        return PurePath(self.stable_baselines3).name


class NetworkTeacher(Model):
    """A network between the planner and the student, trained here with ``train`` from what the planner says; or, ready-made, a person's own:
    it drives, labels every state with its best action, and its answers are the soft targets."""

    model: str
    """``mlp``, whose knobs are ``width`` and ``second``; or ``module:callable``, which makes a torch module from ``numbers`` and ``classes``."""
    train: ControlTrain | None = None
    """Train it here, from softmax(values / tau) of the planner, who drives and whose best actions are the labels."""
    gives: Gives = "logits"
    """What a ready-made one answers with: a number for each action."""
    tau: Positive = 0.5
    """In rewards of a second: values are taken as softmax(values / tau), at a temperature of 1."""

    @property
    def title(self) -> str:
        """How a person sees it."""
        return self.model

    @property
    def views(self) -> None:
        """None: states are not varied."""
        return None

    @property
    def opaque(self) -> str | None:
        """Why its inner modules cannot be looked at."""
        return None if self.train else "what it said of a state is kept with it, and nothing else of it"

    @property
    def by_planner(self) -> bool:
        """Whether the planner drives and labels the states."""
        return self.train is not None

    @property
    def scale(self) -> float:
        """What the answers of whoever labels the states are divided by."""
        return self.tau if self.by_planner or self.gives == "values" else 1.0


def kind_of_teacher(value: Any) -> str:
    """The tag of a teacher's kind."""
    for kind, name in ((PLANNER, "planner"), (POLICY, "stable_baselines3")):
        if getattr(value, "KIND", None) == kind or (isinstance(value, dict) and name in value):
            return kind
    return MODEL


Teacher = Annotated[
    Annotated[NetworkTeacher, Tag(MODEL)]
    | Annotated[PlannerTeacher, Tag(PLANNER)]
    | Annotated[PolicyTeacher, Tag(POLICY)],
    Discriminator(kind_of_teacher),
]
"""Who is learnt from."""
