"""The recipe of speech recognition by CTC, and its sections that no other has. No torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Tag

from ...objectives.catalogue.entry import SYMBOLS
from ...sections import assistant, teacher
from ...sections.objective import Objective
from ...sections.recipe import Recipe
from ...sections.section import ENSEMBLE, MODEL, ONNX, Count, Section
from ...sections.teacher import Model, OnnxTeacher
from .data_sections import SoundViews, SpeechData
from .families import elsewhere
from .model_sections import SoundTrain, TeacherSection


class SpeechTrain(SoundTrain):
    """One training run; the same fields for teacher and student."""

    batch_size: Count = 16
    """Clips in a step, over all processes and micro-batches."""


class SpeechTeacher(TeacherSection):
    """The large model. Trained here with ``train``, or ready-made with ``weights``."""

    model: str
    """A family of ours (``ds_ctc``, ``conformer_ctc``), ``module:callable``, or a checkpoint of transformers: a folder, ``package:NAME/FOLDER``, or a
    name on the Hugging Face hub. Of Whisper (``openai/whisper-tiny.en``) the encoder is taken, under a head of the data's symbols; of a model
    for CTC that takes samples (wav2vec2, HuBERT, WavLM) those of its outputs that are the data's symbols."""
    train: SpeechTrain | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Train it here (from ``weights``, where given)."""


class RecogniserTeacher(Section):
    """A recogniser that gives transcripts and nothing else: its transcripts are what the student learns from. Further fields are
    arguments of the callable (``size: tiny``)."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False, defer_build=True)

    recogniser: str
    """A model of transformers that writes down what is said, Whisper or another: a folder, ``package:NAME/FOLDER``, or a name on the Hugging
    Face hub; further fields are arguments of its ``generate`` (``language: en``). Or ``module:callable``, which makes a recogniser: a function of
    samples (float32 in [-1, 1]) and their rate that gives what is said, or that and how sure it is, from 0 to 1."""
    license: str | None = None
    """Under which licence it was published, as the hub calls it (``apache-2.0``)."""

    @property
    def knobs(self) -> dict[str, Any]:
        """The further fields."""
        return dict(self.__pydantic_extra__ or {})

    @property
    def comes_from(self) -> str | None:
        """Where it was published: itself; of a person's own code nobody knows."""
        return self.recogniser if elsewhere(self.recogniser) else None

    @property
    def title(self) -> str:
        """How a person sees it."""
        return self.recogniser

    @property
    def train(self) -> None:
        """None: it comes ready-made."""
        return

    @property
    def views(self) -> None:
        """None: it is not trained."""
        return

    @property
    def opaque(self) -> str:
        """Why its inner modules cannot be looked at."""
        return "a recogniser gives its transcripts alone"


SpeechMember = Annotated[
    Annotated[SpeechTeacher, Tag(MODEL)] | Annotated[OnnxTeacher, Tag(ONNX)], Discriminator(teacher.kind_of_member)
]
"""One teacher: a model by name, or an ONNX file that takes samples (batch, samples) and answers at frames."""


class SpeechEnsemble(teacher.Ensemble):
    """Several teachers that answer as one, frame by frame: all have the same frames. Those that are trained here are stages of their own.

    Their answers are put together at temperature 1, whatever temperature the student is trained at.
    """

    ensemble: tuple[SpeechMember, ...]
    """The teachers, each as if it were the only one; a model that is listed again is trained from another seed."""


def _kind(value: Any) -> str:
    given = isinstance(value, RecogniserTeacher) or (isinstance(value, dict) and "recogniser" in value)
    return _RECOGNISER if given else teacher.kind_of_teacher(value)


_RECOGNISER = "recogniser"
SpeechTeachers = Annotated[
    Annotated[SpeechTeacher, Tag(MODEL)]
    | Annotated[OnnxTeacher, Tag(ONNX)]
    | Annotated[SpeechEnsemble, Tag(ENSEMBLE)]
    | Annotated[RecogniserTeacher, Tag(_RECOGNISER)],
    Discriminator(_kind),
]
"""The large model: by name, an ONNX file, an ensemble of these, or a recogniser."""


class SpeechStudent(Model):
    """The small model. Further fields are its knobs (``width: 96``)."""

    model: str
    """A family of ours (``ds_ctc``, ``conformer_ctc``), or ``module:callable``."""


class SpeechAssistant(assistant.Assistant):
    """A model of a size between the two: it learns from the teacher, and the students learn from what it says."""

    train: SpeechTrain | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """How it is trained; as the student is where not given."""


class SpeechRecipe(Recipe):
    """Speech recognition: what is said in a clip, letter by letter, by CTC."""

    task: Literal["automatic-speech-recognition"]  # pyright: ignore[reportIncompatibleVariableOverride]
    """The modality."""
    data: SpeechData
    """Where the examples come from."""
    views: SoundViews = SoundViews()
    """How examples are varied, for the soft targets and for every student."""
    teacher: SpeechTeachers
    """The large model."""
    student: SpeechStudent
    """The small model."""
    assistant: SpeechAssistant | None = None
    """A model between the two: it learns from the teacher, and the students learn from it."""
    objective: Objective = Objective.model_validate({"ctc_frame_kd": {"weight": 1.0}, "ctc": {"weight": 1.0}})
    """What the student is asked to match."""
    train: SpeechTrain = SpeechTrain()  # pyright: ignore[reportIncompatibleVariableOverride]
    """How the student and its baselines are trained."""

    @property
    def asked_once(self) -> bool:
        """True of a recogniser, which hears each clip once."""
        return isinstance(self.teacher, RecogniserTeacher)

    @property
    def reads(self) -> tuple[tuple[str, ...], str]:
        """As symbols over frames."""
        return (SYMBOLS,), f"with task: {self.task} an example has a transcript"
