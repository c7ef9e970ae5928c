"""What every recipe asks for.

Pydantic models, strict: an unknown field is an error. Every field is documented here, and the documentation page
and the JSON schema are generated from these classes. Nothing here imports torch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ..objectives.catalogue import CATALOGUE
from ..objectives.catalogue.entry import ONE_CLASS
from ..objectives.catalogue.fit import INSTEAD
from .objective import Objective
from .search import Search
from .section import (
    NotNegative,
    Positive,
    Section,
    Seeds,
    Times,
)
from .sparsity import Sparsity
from .targets import Targets
from .train import Train

LONGEST_NAME = 200  # file systems allow 255 bytes


FormatName = Literal[
    "onnx", "onnx-int8", "onnx-int4", "executorch", "executorch-int8", "litert", "litert-int8", "micro"
]
IN_FLOAT32 = ("onnx", "executorch", "litert")
Preferred = Literal["exact", "smallest", "fastest", "onnx", "onnx-int8", "onnx-int4", "litert", "litert-int8"]


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"{twice[0]} is named {names.count(twice[0])} times")
    return names


class Baseline(Section):
    """The controls: the same student, under the same budget, without a teacher."""

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Smoothing of the second control, which asks whether soft labels of any kind would do as well; 0: leave it out."""
    epochs: Times | None = None
    """Passes over the labelled examples, which are all that a control learns from; as many as ``train.epochs`` where not
    given, or, beside a transfer set, as many as give it the student's number of steps."""


class QuantizationAware(Section):
    """The student goes on where a file in few bits costs it too much: taught as before, with weights and activations rounded as there."""

    epochs: Times = 3
    """Passes over what it learns from, at a tenth of ``train.learning_rate`` that falls to zero."""
    when: NotNegative = 0.3
    """It goes on where a file in 8 bits or less loses more than this on validation examples: points of accuracy, or of what else is a
    share; of any other figure per cent of it."""


class Export(Section):
    """The exported model, and what it must prove."""

    max_abs_difference: Positive = 1e-3
    """Largest difference allowed between a logit in PyTorch and in onnxruntime; between numbers, as a share of their deviation."""
    agreement: float = Field(default=0.999, gt=0, le=1)
    """Smallest share of test examples on which both must say the same: the same class, or numbers within a hundredth of their deviation."""
    formats: Annotated[tuple[FormatName, ...], AfterValidator(_each_once), Field(min_length=1)] = ("onnx",)
    """In which formats the student is deployed: of each its size, speed and memory are measured, and what its file is worth on the
    test split. The float32 ONNX file is always there."""
    prefer: Preferred = "exact"
    """Which of these files ``limbeck predict`` takes: the first in float32; the smallest or fastest of those that answer nearly
    as the trained student does, of a student that went on for its file as that one does, with a loss like the first's; or that of a
    format by its name, however it answers."""
    quantization_aware: QuantizationAware | None = None
    """Whether the student goes on with rounded weights and activations where a format in 8 bits or less costs it too much, and for how
    long; ``{}``: for as long as is usual. The files in float32 stay those of the student as it was."""

    @model_validator(mode="after")
    def _consistent(self) -> Export:
        if self.quantization_aware is not None and not self.quantised:
            raise ValueError(
                f"quantization_aware is for formats in 8 bits or less, and formats names none ({', '.join(self.formats)}): add onnx-int8"
            )
        if self.named not in (None, *self.formats):
            raise ValueError(
                f"prefer is {self.named}, and formats has {', '.join(self.formats)} alone: add {self.named}"
            )
        return self

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what stands at its default of the formats, so that what goes by a recipe's values stays as it was."""
        fields = type(self).model_fields
        untold = [
            name for name in ("formats", "prefer", "quantization_aware") if getattr(self, name) == fields[name].default
        ]
        return {name: value for name, value in handler(self).items() if name not in untold}

    @property
    def named(self) -> str | None:
        """The format that ``prefer`` names; None where it is told by what the files come to."""
        return None if self.prefer in ("exact", "smallest", "fastest") else self.prefer

    @property
    def limits(self) -> dict[str, float]:
        """What the exported file must prove, as the ingredients of a stage."""
        return {"max_abs_difference": self.max_abs_difference, "agreement": self.agreement}

    @property
    def more(self) -> tuple[str, ...]:
        """The formats, where there are others than the one that is always there; none otherwise."""
        return () if self.formats == ("onnx",) else self.formats

    @property
    def quantised(self) -> tuple[str, ...]:
        """Those of the formats that are not float32."""
        return tuple(name for name in self.formats if name not in IN_FLOAT32)


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
    assistant: Any = None
    """A model between the two: it learns from the teacher, and the students learn from it."""
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
    sparsity: Sparsity | None = None
    """Whether most weights of the student are to be zero once it is trained, for files that are small when compressed; ``{}``: as
    many as is usual."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    """The first seed; the views and the teacher use it too."""
    export: Export = Export()
    """The exported model, and what it must prove."""
    search: Search | None = Field(default=None, exclude=True)  # no part of what a run is: no fingerprint knows of it
    """What ``limbeck search`` varies; a run takes no notice of it."""

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without ``assistant`` and ``sparsity`` where there is none, so that what goes by a recipe's values stays as it was."""
        return {
            name: value
            for name, value in handler(self).items()
            if name not in ("assistant", "sparsity") or value is not None
        }

    @property
    def reads(self) -> tuple[tuple[str, ...], str]:
        """How answers may be read, as the catalogue of objectives says it (more than one way: the data decides), and why."""
        return (ONE_CLASS,), f"with task: {self.task} an example has one label"

    @property
    def collected(self) -> str | None:
        """What is done to come by the examples, in words; None where they lie there."""
        return None

    @property
    def asked_once(self) -> bool:
        """Whether the teacher is asked about each example as it is, once, and answers so for all of its views."""
        return False

    @property
    def labels_alone(self) -> str:
        """The term that labels alone teach, for answers that are read as the objective reads them."""
        ways = self.reads[0]
        read = next((way for name in self.objective.terms if (way := CATALOGUE[name].reads) in ways), ways[0])
        return INSTEAD[str(read)][0]

    @property
    def smoothed(self) -> bool:
        """Whether there is a control that learns from smoothed labels; there is nothing to smooth in a number."""
        return self.baseline.label_smoothing > 0 and "label_smoothing" in CATALOGUE[self.labels_alone].defaults
