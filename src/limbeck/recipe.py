"""The recipe: what a person asks for.

Pydantic models, strict: an unknown field is an error. Every field is documented here, and the documentation page
and the JSON schema are generated from these classes. Nothing here imports torch.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from .objectives.catalogue.entry import ONE_CLASS
from .recipe_codecs import Codec
from .recipe_objectives import Objective
from .recipe_section import (
    ENSEMBLE,
    MODEL,
    ONNX,
    Count,
    Deviations,
    Means,
    NotNegative,
    Number,
    Positive,
    Section,
    Seeds,
    Side,
    Times,
)
from .recipe_views import Views

LONGEST_NAME = 200  # file systems allow 255 bytes


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
    size: Side | None = None
    """Side in pixels that every image is resized and centre-cropped to; needed where images differ in size."""
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


class Train(Section):
    """One training run; the same fields for teacher and student."""

    epochs: Times = 30
    """Passes over the training set."""
    batch_size: Count = 128
    """Examples in a step, over all processes and micro-batches."""
    micro_batches: Count = 1
    """Split each step's batch into so many parts and add up their gradients, to save memory."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum 0.9 unless said otherwise, or AdamW."""
    learning_rate: Positive | None = None
    """Peak learning rate; 0.1 for sgd and 0.002 for adamw where not given."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of sgd; beta1 of adamw."""
    nesterov: bool = True
    """Nesterov's form of the momentum."""
    weight_decay: NotNegative = 5e-4
    """Decay of weight matrices and kernels; biases and normalisation are never decayed."""
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    """How the learning rate falls after warm-up: to zero along a cosine, at milestones, or not at all."""
    milestones: tuple[Times, ...] = ()
    """Epochs at which ``steps`` multiplies the rate by ``gamma``."""
    gamma: float = Field(default=0.1, gt=0, le=1)
    """The factor at each milestone."""
    warmup_epochs: NotNegative = 1.0
    """Epochs over which the rate rises from zero."""
    clip_norm: Positive | None = None
    """Clip the gradient's global norm."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is kept; 0: none."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the model's arithmetic; losses are float32 either way."""
    keep: Literal["last", "best"] = "last"
    """Keep the last epoch's weights, or those with the best validation accuracy."""
    patience: Times | None = None
    """Stop when so many epochs have not bettered the validation loss; keeps the best."""
    compile: bool = False
    """Compile the step with torch.compile (pays on a GPU)."""

    @model_validator(mode="after")
    def _consistent(self) -> Train:
        if self.schedule == "steps" and not self.milestones:
            raise ValueError("schedule 'steps' needs milestones, such as [150, 180, 210]")
        if self.schedule != "steps" and self.milestones:
            raise ValueError("milestones are for schedule 'steps'")
        if self.micro_batches > self.batch_size:
            raise ValueError("micro_batches cannot exceed batch_size")
        return self


class Preprocess(Section):
    """What a teacher from elsewhere wants done to its input."""

    mean: Means | None = None
    """Mean of each channel on a 0-1 scale, subtracted."""
    std: Deviations | None = None
    """Standard deviation of each channel on a 0-1 scale, divided by."""
    size: Side | None = None
    """Side in pixels the image is scaled to."""


class Model(Section):
    """A model by name; further fields are its knobs (``width: 8``)."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    model: str
    """A family of ours (``convnet``, ``resnet20``, ``wrn_16_2``), ``timm/NAME``, or ``module:callable``."""
    weights: str | None = None
    """A ``.safetensors`` file (or ``.pt``/``.th`` holding a plain state dict) to start from."""

    @property
    def knobs(self) -> dict[str, Any]:
        """The further fields: keyword arguments of the model."""
        return dict(self.__pydantic_extra__ or {})


class TeacherSection(Model):
    """The large model. Trained here with ``train``, or ready-made with ``weights``."""

    train: Train | None = None
    """Train it here (from ``weights``, where given)."""
    views: Views | None = None
    """How its training examples are varied; the recipe's ``views`` where not given."""
    preprocess: Preprocess | None = None
    """What it wants done to its input, where that differs from the data's own mean and deviation."""

    @property
    def title(self) -> str:
        """How a person sees it."""
        return self.model


class OnnxTeacher(Section):
    """An ONNX file, run by ONNX Runtime on the CPU as it is: one input, images (batch, channels, height, width)."""

    onnx: str
    """The file. Its batch may be dynamic or fixed."""
    preprocess: Preprocess | None = None
    """What it wants done to its input; a file that Limbeck exported says so itself."""

    @property
    def title(self) -> str:
        """How a person sees it."""
        return PurePath(self.onnx).name

    @property
    def train(self) -> Train | None:
        """None: it comes ready-made."""
        return None


def _kind_of_member(value: Any) -> str:
    return ONNX if isinstance(value, OnnxTeacher) or (isinstance(value, dict) and "onnx" in value) else MODEL


Member = Annotated[
    Annotated[TeacherSection, Tag(MODEL)] | Annotated[OnnxTeacher, Tag(ONNX)], Discriminator(_kind_of_member)
]
"""One teacher: a model by name, or an ONNX file."""


class Ensemble(Section):
    """Several teachers that answer as one. Those that are trained here are stages of their own.

    Their answers are put together at temperature 1, whatever temperature the student is trained at.
    """

    ensemble: tuple[Member, ...]
    """The teachers, each as if it were the only one; a model that is listed again is trained from another seed."""
    combine: Literal["probabilities", "logits", "confidence"] = "probabilities"
    """The mean of their probabilities or of their logits; or of probabilities, the surest weighing most."""
    weights: tuple[Number, ...] | None = None
    """A weight for each, in their order; equal where not given."""

    @property
    def title(self) -> str:
        """How a person sees it."""
        return f"ensemble of {', '.join(member.title for member in self.ensemble)}"

    @model_validator(mode="after")
    def _consistent(self) -> Ensemble:
        if len(self.ensemble) < 2:
            raise ValueError("an ensemble is made of two teachers or more")
        if self.weights is None:
            return self
        if self.combine == "confidence":
            raise ValueError("confidence weighs the teachers itself: leave out weights")
        if len(self.weights) != len(self.ensemble):
            raise ValueError(f"weights has {len(self.weights)} value(s) for {len(self.ensemble)} teachers")
        if min(self.weights) < 0 or not sum(self.weights) > 0:
            raise ValueError("weights must not be negative, nor all 0")
        return self


def _kind_of_teacher(value: Any) -> str:
    several = isinstance(value, Ensemble) or (isinstance(value, dict) and "ensemble" in value)
    return ENSEMBLE if several else _kind_of_member(value)


Teacher = Annotated[
    Annotated[TeacherSection, Tag(MODEL)] | Annotated[OnnxTeacher, Tag(ONNX)] | Annotated[Ensemble, Tag(ENSEMBLE)],
    Discriminator(_kind_of_teacher),
]
"""The large model: by name, an ONNX file, or an ensemble of these."""


class Targets(Section):
    """How the teacher is asked."""

    views: Times = 4
    """How many views of each example it answers; epoch e shows view (e + hash(id)) mod views."""
    codec: Codec = "dense"
    """How an answer is stored: ``dense`` is every class's logit in float16, ``int8`` in one byte; or a section."""
    average: bool = False
    """Answer every view with the mean of the teacher's probabilities over all stored views of the example."""
    live: bool = False
    """Ask at every step instead of storing: for endless views, at a teacher's pass each epoch."""
    store: str | None = None
    """A folder of finished soft targets to learn from instead of asking; number of views and codec are then its own."""
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    """Precision of the teacher's arithmetic; ``auto`` takes a faster one where its answers are measured to be as good."""
    compile: bool = False
    """Compile the teacher with torch.compile; for a large teacher on a GPU, where minutes of asking lie ahead."""

    @model_validator(mode="after")
    def _consistent(self) -> Targets:
        if self.live and self.store is not None:
            raise ValueError(
                "with live the teacher is asked at every step, and store names what was kept: leave out one"
            )
        if self.live and self.average:
            raise ValueError("average needs stored views: leave out live")
        if self.live and (self.precision != "float32" or self.compile):
            raise ValueError(
                "precision and compile are for answers that are stored: leave out live, or leave out these"
            )
        return self


class Baseline(Section):
    """The controls: the same student, under the same budget, without a teacher."""

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Smoothing of the second control, which asks whether soft labels of any kind would do as well; 0: leave it out."""
    epochs: Times | None = None
    """Passes over the labelled examples, which are all that a control learns from; as many as ``train.epochs`` where not
    given, or, beside a transfer set, as many as give it the student's number of steps."""


class Export(Section):
    """The exported model, and what it must prove."""

    max_abs_difference: Positive = 1e-3
    """Largest difference allowed between a logit in PyTorch and in onnxruntime."""
    agreement: float = Field(default=0.999, gt=0, le=1)
    """Smallest share of test examples on which both must name the same class."""


class Recipe(Section):
    """All that a run needs to know. What the examples, their views and the models are called depends on the task."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=LONGEST_NAME)
    """Names the run and its folder; the file's name where not given."""
    task: str
    """The modality."""
    data: Any
    """Where the examples come from."""
    views: Any
    """How examples are varied, for the soft targets and for every student."""
    teacher: Any
    """The large model."""
    targets: Targets = Targets()
    """How it is asked."""
    student: Any
    """The small model."""
    objective: Objective = Objective.model_validate(
        {"kd": {"temperature": 4, "weight": 0.9}, "cross_entropy": {"weight": 0.1}}
    )
    """What the student is asked to match."""
    train: Train = Train()
    """How the student and its baselines are trained."""
    baseline: Baseline = Baseline()
    """The student without a teacher, which every result is set beside."""
    seeds: Seeds = 1
    """How many students (and baselines) are trained, for mean and standard deviation."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    """The first seed; the views and the teacher use it too."""
    export: Export = Export()
    """The exported model, and what it must prove."""

    @property
    def reads(self) -> tuple[tuple[str, ...], str]:
        """How answers may be read, as the catalogue of objectives says it (more than one way: the data decides), and why."""
        return (ONE_CLASS,), f"with task: {self.task} an example has one label"


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
    student: Model
    """The small model."""
