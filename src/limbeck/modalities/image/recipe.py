"""The recipes of images, with classes or with numbers, and their sections that are of images alone. No torch."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from ...objectives.catalogue.entry import NUMBERS
from ...sections import teacher
from ...sections.assistant import Assistant
from ...sections.objective import Objective
from ...sections.pruned import PRUNED, Pruned, named, one_of_the_two, unless_pruned
from ...sections.recipe import Baseline, Recipe
from ...sections.section import (
    ENSEMBLE,
    MODEL,
    ONE,
    ONNX,
    SEVERAL,
    Count,
    Names,
    Number,
    Section,
    Sides,
    one_or_several,
)
from ...sections.teacher import Model
from ...sections.train import Train
from ...vision.sections import Crop, Preprocess, Views


class Transfer(Section):
    """Examples without labels that the teacher answers and the student learns from, beside the training set."""

    name: str
    """A Hugging Face data set, a local folder of one, or a folder of images."""
    config: str | None = None
    """The data set's configuration, where it has several."""
    split: str = "train"
    """The split to use; its labels, if any, are ignored."""
    limit: Count | None = None
    """Use at most so many examples (those with the smallest ids)."""
    license: str | None = None
    """Under which licence it was published, as the hub calls it (``apache-2.0``); what its card says where not given."""


class Data(Section):
    """Where the examples come from."""

    name: str
    """``digits``, a Hugging Face data set, a local folder of one, or a folder of images (one sub-folder a class)."""
    config: str | None = None
    """The data set's configuration, where it has several."""
    train: str = "train"
    """Name of the training split."""
    validation: str | None = None
    """Name of the validation split; where there is none, it is carved from train by a fixed hash of the id."""
    test: str | None = "test"
    """Name of the test split, read once, at the end; where the data has none, it is carved from train likewise."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=0.9)
    """Share of the training examples carved off for validation (and for test, where the data has none)."""
    image: str | None = None
    """Column of the images; found by its type where not given."""
    label: str | None = None
    """Column of the labels; found by its type where not given."""
    group: str | None = None
    """What groups examples that must not be split between train, validation and test (a patient, a track): a column, or, of
    image files, a regular expression whose parentheses find the group in the path, such as ``(patient_[0-9]+)``."""
    crop: Crop | None = None
    """The part of each picture that is kept, before it is brought to a size."""
    size: Sides | None = None
    """Side in pixels that every image is resized and centre-cropped to, or height and width (``[24, 80]``); needed where
    images differ in size."""
    channels: Literal[1, 3] | None = None
    """1 grey, 3 colour; that of the first image where not given."""
    background: Literal["white", "grey", "black"] = "white"
    """What images with transparent places are laid on."""
    on_corrupt: Literal["refuse", "skip"] = "refuse"
    """What to do with an image that cannot be read: stop and name it, or leave it out and say so."""
    limit: Count | None = None
    """Use at most so many training examples (those with the smallest ids): for trying a recipe out."""
    transfer: Transfer | None = None
    """A transfer set: unlabelled examples for the soft targets."""
    license: str | None = None
    """Under which licence it was published, as the hub calls it (``apache-2.0``); what its card says where not given."""


class Camera(Section):
    """A further camera: its picture of each training frame is a training example too, with a label of its own."""

    add: Annotated[
        Annotated[Number, Tag(ONE)] | Annotated[tuple[Number, ...], Field(min_length=1), Tag(SEVERAL)],
        Discriminator(one_or_several),
    ] = 0.0
    """What is added to the frame's number, in its unit: what one who sees this picture would answer differently. Several
    where the label is several numbers."""

    @property
    def added(self) -> tuple[float, ...]:
        """One for each number, or one for all."""
        return self.add if isinstance(self.add, tuple) else (self.add,)


class NumberData(Data):
    """Where the examples come from, each with one or several numbers."""

    label: Names | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Column of the numbers, or several columns; one may hold lists of them. Found by its type where not given."""
    unit: Names | None = None
    """What the numbers are in (``degrees``), for people to read; several where they differ."""
    cameras: dict[str, Camera] | None = None
    """Further cameras, by the column of their pictures: ``{left: {add: 0.05}, right: {add: -0.05}}``. They add training
    examples; validated and tested is on the pictures of ``image`` alone."""

    @model_validator(mode="after")
    def _each_number_once(self) -> NumberData:
        if not isinstance(self.label, tuple):
            return self
        if not self.label:
            raise ValueError("label is an empty list: name a column of numbers, or several, or leave it out")
        if twice := [name for name in self.label if self.label.count(name) > 1]:
            raise ValueError(f"label names column '{twice[0]}' twice: name each column of numbers once")
        return self

    @model_validator(mode="after")
    def _one_main_camera(self) -> NumberData:
        if self.cameras and self.image is None:
            raise ValueError(
                "with cameras, image must name the column of the main one, which is validated and tested on"
            )
        if self.image in (self.cameras or ()):
            raise ValueError(f"'{self.image}' is the main camera, data.image: cameras names the further ones")
        return self


class TeacherSection(Model):
    """The large model. Trained here with ``train``, or ready-made with ``weights``."""

    train: Train | None = None
    """Train it here (from ``weights``, where given)."""
    views: Views | None = None
    """How its training examples are varied; the recipe's ``views`` where not given."""
    preprocess: Preprocess | None = None
    """What it wants done to its input, where that differs from the data's own mean and deviation."""
    license: str | None = None
    """Under which licence it was published, as the hub calls it (``apache-2.0``); what its card says where not given."""

    @property
    def comes_from(self) -> str | None:
        """Where it was published: the folder of its weights, or the hub; None where it is trained here from the start."""
        if self.weights is not None:
            return str(PurePath(self.weights).parent)
        return self.model if self.model.startswith("timm/") and self.knobs.get("pretrained") is True else None

    @property
    def title(self) -> str:
        """How a person sees it."""
        return self.model

    @property
    def opaque(self) -> str | None:
        """None: its inner modules can be looked at."""
        return None


class OnnxTeacher(teacher.OnnxTeacher):
    """An ONNX file, run by ONNX Runtime on the CPU as it is: one input, images (batch, channels, height, width)."""

    preprocess: Preprocess | None = None
    """What it wants done to its input; a file that Limbeck exported says so itself."""


Member = Annotated[
    Annotated[TeacherSection, Tag(MODEL)] | Annotated[OnnxTeacher, Tag(ONNX)], Discriminator(teacher.kind_of_member)
]
"""One teacher: a model by name, or an ONNX file."""


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
    """The small model: by name, or the teacher pruned, which begins with its teacher's weights. Further fields are the knobs of
    one by name (``width: 8``)."""

    model_config = ConfigDict(json_schema_extra=one_of_the_two)

    model: str
    """A family of ours (``convnet``, ``mobile``, ``pilotnet``, ``resnet20``, ``wrn_16_2``), ``timm/NAME``, or
    ``module:callable``; not needed where ``pruned`` is given."""
    pruned: Pruned | None = None
    """The teacher with channels taken out. It needs ``pip install limbeck[prune]``."""

    @property
    def knobs(self) -> dict[str, Any]:
        """The further fields, and how it is pruned."""
        return super().knobs | ({} if self.pruned is None else {PRUNED: self.pruned.model_dump(mode="json")})

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        return named(values)

    @model_validator(mode="after")
    def _one_of_them(self) -> Student:
        if self.pruned is None:
            return self
        if self.model != PRUNED:
            raise ValueError(
                "pruned makes the student of its teacher, and model names another: leave out one of the two"
            )
        if self.weights is not None:
            raise ValueError("a pruned student begins with its teacher's weights: leave out weights")
        if extra := next(iter(super().knobs), None):
            raise ValueError(f"a pruned student has no knob '{extra}': its fields are pruned.keep and pruned.criterion")
        return self

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return unless_pruned(handler(self))


class NumberTrain(Train):
    """One training run of a regression; the same fields for teacher and student."""

    # A squared error's slope is as large as the unit makes it: one learning rate of sgd could not suit degrees and turns alike.
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """SGD with Nesterov momentum 0.9 unless said otherwise, or AdamW, which suits numbers of any size."""


class NumberTeacher(TeacherSection):
    """The large model. Trained here with ``train``, or ready-made with ``weights``."""

    train: NumberTrain | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Train it here (from ``weights``, where given)."""


NumberMember = Annotated[
    Annotated[NumberTeacher, Tag(MODEL)] | Annotated[OnnxTeacher, Tag(ONNX)], Discriminator(teacher.kind_of_member)
]
"""One teacher: a model by name, or an ONNX file."""


class NumberEnsemble(Ensemble):
    """Several teachers that answer with the mean of their numbers. Those that are trained here are stages of their own."""

    ensemble: tuple[NumberMember, ...]  # pyright: ignore[reportIncompatibleVariableOverride]
    """The teachers, each as if it were the only one; a model that is listed again is trained from another seed."""
    combine: Literal["mean"] = "mean"  # pyright: ignore[reportIncompatibleVariableOverride]
    """The mean of their numbers, with ``weights`` where they should not count alike: there is no other way."""


class NumberAssistant(Assistant):
    """A model of a size between the two: it learns from the teacher, and the students learn from what it says."""

    train: NumberTrain | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """How it is trained; as the student is where not given."""


class RegressionRecipe(Recipe):
    """Image regression: from a picture to one or several numbers."""

    task: Literal["image-regression"] = "image-regression"  # pyright: ignore[reportIncompatibleVariableOverride]
    """The modality."""
    data: NumberData
    """Where the examples come from."""
    views: Views = Views()
    """How examples are varied, for the soft targets and for every student."""
    teacher: Annotated[
        Annotated[NumberTeacher, Tag(MODEL)]
        | Annotated[OnnxTeacher, Tag(ONNX)]
        | Annotated[NumberEnsemble, Tag(ENSEMBLE)],
        Discriminator(teacher.kind_of_teacher),
    ]
    """The large model."""
    student: Student
    """The small model."""
    assistant: NumberAssistant | None = None
    """A model between the two: it learns from the teacher, and the students learn from it."""
    train: NumberTrain = NumberTrain()  # pyright: ignore[reportIncompatibleVariableOverride]
    """How the student and its baselines are trained."""
    baseline: Baseline = Baseline(label_smoothing=0)
    """The student without a teacher, which every result is set beside; numbers are not smoothed."""
    objective: Objective = Objective.model_validate({"mse_values": {"weight": 0.5}, "mse": {"weight": 0.5}})
    """What the student is asked to match."""

    @property
    def reads(self) -> tuple[tuple[str, ...], str]:
        """Answers are read as numbers."""
        return (NUMBERS,), f"with task: {self.task} an example has numbers for a label"


class ImageRecipe(Recipe):
    """Image classification: what a recipe is where it names no task."""

    task: Literal["image-classification"] = "image-classification"  # pyright: ignore[reportIncompatibleVariableOverride]
    """The modality."""
    data: Data
    """Where the examples come from."""
    views: Views = Views()
    """How examples are varied, for the soft targets and for every student."""
    teacher: Teacher
    """The large model."""
    student: Student
    """The small model."""
    assistant: Assistant | None = None
    """A model between the two: it learns from the teacher, and the students learn from it."""


def made_of(recipe: ImageRecipe | RegressionRecipe) -> int | None:
    """Which of its teachers, from 0, a pruned student is made of: the first that is no ONNX file; None where all are."""
    members = (member for _, member in teacher.members_of(recipe.teacher))
    return next((k for k, member in enumerate(members) if isinstance(member, TeacherSection)), None)


RECIPES: dict[str, type[Recipe]] = {"image-classification": ImageRecipe, "image-regression": RegressionRecipe}
