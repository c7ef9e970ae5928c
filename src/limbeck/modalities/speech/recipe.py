"""The recipe of audio classification, and its sections that are of sounds alone. No torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from ...sections import assistant, teacher
from ...sections.recipe import Recipe
from ...sections.section import ENSEMBLE, MODEL, ONNX, Count, Section
from ...sections.teacher import Model, OnnxTeacher
from . import data_sections
from .data_sections import SoundViews
from .model_sections import SoundTrain, TeacherSection
from .recipe_ctc import SpeechRecipe


class Background(Section):
    """Sound that holds none of the classes, of which a device hears hours: how often a model takes it for one is measured on it."""

    name: str
    """A Hugging Face data set, a local folder of one, or a folder of sounds. Recordings shorter than a window are left out."""
    config: str | None = None
    """The data set's configuration, where it has several."""
    split: str = "train"
    """The split to use; its labels, if any, are ignored."""
    audio: str | None = None
    """Column of the sounds; found by its type where not given."""
    limit: Count | None = None
    """Use at most so many recordings, the first."""
    threshold: float = Field(default=0.9, gt=0, le=1)
    """The probability from which on a decision is accepted."""


class Data(data_sections.Data):
    """Where the clips come from, each with a class."""

    background: Background | None = None
    """Background sound, on which false accepts an hour are counted."""


Member = Annotated[
    Annotated[TeacherSection, Tag(MODEL)] | Annotated[OnnxTeacher, Tag(ONNX)], Discriminator(teacher.kind_of_member)
]
"""One teacher: a model by name, or an ONNX file that takes samples (batch, samples)."""


class Ensemble(teacher.Ensemble):
    """Several teachers that answer as one. Those that are trained here are stages of their own.

    Their answers are put together at temperature 1, whatever temperature the student is trained at.
    """

    ensemble: tuple[Member, ...]
    """The teachers, each as if it were the only one; a model that is listed again is trained from another seed."""


Teacher = Annotated[
    Annotated[TeacherSection, Tag(MODEL)] | Annotated[OnnxTeacher, Tag(ONNX)] | Annotated[Ensemble, Tag(ENSEMBLE)],
    Discriminator(teacher.kind_of_teacher),
]
"""The large model: by name, an ONNX file, or an ensemble of these."""


class Student(Model):
    """The small model. Further fields are its knobs (``width: 24``)."""

    model: str
    """A family of ours (``ds_cnn``, ``ds_cnn_causal`` for streams, ``speech_resnet``), or ``module:callable``."""


class SoundAssistant(assistant.Assistant):
    """A model of a size between the two: it learns from the teacher, and the students learn from what it says."""

    train: SoundTrain | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """How it is trained; as the student is where not given."""


class AudioRecipe(Recipe):
    """Audio classification: keywords, calls of animals, any sounds; one label each."""

    task: Literal["audio-classification"]  # pyright: ignore[reportIncompatibleVariableOverride]
    """The modality."""
    data: Data
    """Where the examples come from."""
    views: SoundViews = SoundViews()
    """How examples are varied, for the soft targets and for every student."""
    teacher: Teacher
    """The large model."""
    student: Student
    """The small model."""
    assistant: SoundAssistant | None = None
    """A model between the two: it learns from the teacher, and the students learn from it."""
    train: SoundTrain = SoundTrain()  # pyright: ignore[reportIncompatibleVariableOverride]
    """How the student and its baselines are trained."""


RECIPES: dict[str, type[Recipe]] = {"audio-classification": AudioRecipe, "automatic-speech-recognition": SpeechRecipe}
