"""The recipe of text classification, and its sections that are of texts alone. No torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from ...objectives.catalogue.entry import ONE_CLASS, YES_OR_NO
from ...sections import teacher
from ...sections.assistant import OWN
from ...sections.objective import Objective
from ...sections.pruned import PRUNED, Pruned, named, one_of_the_two, unless_pruned
from ...sections.recipe import Recipe
from ...sections.section import (
    ENSEMBLE,
    MODEL,
    ONNX,
    AnyViews,
    Count,
    Depth,
    Layer,
    Names,
    NotNegative,
    Positive,
    Section,
    Times,
    Width,
)
from ...sections.targets import Targets
from ...sections.train import Train


def _one_or_two(text: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    if isinstance(text, tuple) and not (len(text) == 2 and len(set(text)) == 2):
        raise ValueError("text names one column, or the two different ones of a pair, such as [premise, hypothesis]")
    return text


class TextTransfer(Section):
    """Texts without labels that the teacher answers and the student learns from, beside the training set."""

    name: str
    """A Hugging Face data set, or a local folder or file of CSV, JSONL or parquet."""
    config: str | None = None
    """The data set's configuration, where it has several."""
    split: str = "train"
    """The split to use; its labels, if any, are ignored."""
    text: Names | None = None
    """Column of the texts, or of pairs the two columns; found by type and name where not given, those of pairs by the
    names that ``data.text`` has."""
    sentences: bool = False
    """Cut the texts into sentences, and leave out those of fewer than four words."""
    limit: Count | None = None
    """Use at most so many texts (those with the smallest ids)."""
    license: str | None = None
    """Under which licence it was published, as the hub calls it (``apache-2.0``); what its card says where not given."""

    _sides = field_validator("text")(_one_or_two)


class TextData(Section):
    """Where the texts come from."""

    name: str
    """A Hugging Face data set, or a local folder or file of CSV, JSONL or parquet."""
    config: str | None = None
    """The data set's configuration, where it has several."""
    train: str = "train"
    """Name of the training split."""
    validation: str | None = None
    """Name of the validation split; where there is none, it is carved from train by a fixed hash of the text."""
    test: str | None = "test"
    """Name of the test split, read once, at the end; where the data has none, it is carved from train likewise."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=0.9)
    """Share of the training examples carved off for validation (and for test, where the data has none)."""
    text: Names | None = None
    """Column of the texts; found by type and name where not given. Two columns, such as ``[premise, hypothesis]``, are read
    as pairs, which the teacher's tokenizer puts together; pairs are always named."""
    label: Names | None = None
    """Column of the labels; a text may have several where it is a column of lists, or where several columns of 0 and 1
    are named. Found by type and name where not given."""
    group: str | None = None
    """Column that groups texts which must not be split between train, validation and test: an author, a conversation."""
    max_length: Width = 128
    """Tokens of a text, special ones included; longer texts are cut off there, of a pair the longer side first."""
    on_empty: Literal["refuse", "skip"] = "refuse"
    """What to do with an empty text (or side of a pair): stop and name it, or leave it out and say so."""
    limit: Count | None = None
    """Use at most so many training examples (those with the smallest ids): for trying a recipe out. Validation, test and
    transfer set stay whole."""
    transfer: TextTransfer | None = None
    """A transfer set: unlabelled texts for the soft targets."""
    license: str | None = None
    """Under which licence it was published, as the hub calls it (``apache-2.0``); what its card says where not given."""

    _sides = field_validator("text")(_one_or_two)

    @model_validator(mode="after")
    def _labels(self) -> TextData:
        if isinstance(self.label, tuple) and len(set(self.label)) < max(len(self.label), 1):
            raise ValueError("label names one column, or several columns of 0 and 1 that all differ")
        return self


class WordViews(AnyViews):
    """How a text is varied, token by token; special tokens never are. View 0 is the text as it is.

    Whatever is random is computed from (seed, view, example id, place in the text), so a stored soft target belongs to
    the very tokens that the student sees.
    """

    replace: float = Field(default=0.0, ge=0, le=1)
    """Probability that a token is replaced by another, drawn as often as it occurs in the training texts."""
    mask: float = Field(default=0.0, ge=0, le=1)
    """Probability that a token is replaced by the tokenizer's mask token."""
    drop: float = Field(default=0.0, ge=0, lt=1)
    """Probability that a token is left out."""


class TextTrain(Train):
    """One training run; the same fields for teacher and student. The defaults are those of fine-tuning."""

    epochs: Times = 3
    """Passes over the training set."""
    batch_size: Count = 32
    """Examples in a step, over all processes and micro-batches."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """SGD with Nesterov momentum 0.9 unless said otherwise, or AdamW."""
    learning_rate: Positive | None = 5e-5
    """Peak learning rate. A student that starts from its teacher takes more (1e-4 to 1e-3), a fresh one more still."""
    weight_decay: NotNegative = 0.01
    """Decay of weight matrices and embeddings; biases and normalisation are never decayed."""
    warmup_epochs: NotNegative = 0.2
    """Epochs over which the rate rises from zero."""
    clip_norm: Positive | None = 1.0
    """Clip the gradient's global norm."""


class TextTargets(Targets):
    """How the teacher is asked."""

    views: Times = 1
    """How many views of each text it answers; more than one where ``views`` varies the texts."""


class TextTeacher(Section):
    """A Hugging Face sequence classifier, with the tokenizer that comes with it."""

    model: str
    """A local folder, a name on the Hugging Face hub, or ``package:some_package/folder`` (inside an installed package)."""
    train: TextTrain | None = None
    """Fine-tune it here; needed where its file has no head for the task."""
    views: WordViews | None = None
    """How its training texts are varied; the recipe's ``views`` where not given."""
    license: str | None = None
    """Under which licence it was published, as the hub calls it (``apache-2.0``); what its card says where not given."""

    @property
    def comes_from(self) -> str | None:
        """Where it was published: a folder, a package, or the hub."""
        return self.model

    @property
    def title(self) -> str:
        """How a person sees it."""
        return self.model

    @property
    def opaque(self) -> str | None:
        """None: its inner modules can be looked at."""
        return None

    @property
    def knobs(self) -> dict[str, Any]:
        """None: the folder says all about it."""
        return {}


class TextOnnxTeacher(teacher.OnnxTeacher):
    """An ONNX file, run by ONNX Runtime on the CPU as it is: ``input_ids`` and ``attention_mask`` (batch, length), and
    ``token_type_ids`` where it asks for them.
    """

    tokenizer: str | None = None
    """What cuts up its texts: a ``tokenizer.json``, a folder, ``package:some_package/folder``, or a name on the hub; the
    ``tokenizer.json`` beside the file where not given."""


Member = Annotated[
    Annotated[TextTeacher, Tag(MODEL)] | Annotated[TextOnnxTeacher, Tag(ONNX)],
    Discriminator(teacher.kind_of_member),
]
"""One teacher: a sequence classifier by name, or an ONNX file."""


class TextEnsemble(teacher.Ensemble):
    """Several teachers that answer as one. Those that are trained here are stages of their own.

    All read the same tokens, so they have the same tokenizer. Their answers are put together at temperature 1, whatever
    temperature the student is trained at. What a student takes of its teacher it takes of the first that is no ONNX file.
    """

    ensemble: tuple[Member, ...]
    """The teachers, each as if it were the only one; a model that is listed again is trained from another seed."""


Teacher = Annotated[
    Annotated[TextTeacher, Tag(MODEL)] | Annotated[TextOnnxTeacher, Tag(ONNX)] | Annotated[TextEnsemble, Tag(ENSEMBLE)],
    Discriminator(teacher.kind_of_teacher),
]
"""The large model: by name, an ONNX file, or an ensemble of these."""


class TextStudent(Section):
    """The small model: the teacher made smaller, a small transformer from scratch, or no transformer at all."""

    model_config = ConfigDict(json_schema_extra=one_of_the_two)

    model: Literal["shrunk", "fresh", "bag", "conv", "pruned"]
    """``shrunk``: the teacher with layers, widths and tokens taken out, initialised from it; ``fresh``: its architecture
    from the seed; ``bag``: mean and maximum of embeddings, of each side of a pair; ``conv``: convolutions over embeddings, then the same;
    ``pruned``, which is meant where ``pruned`` is given: the first, with so much taken out that a share of the teacher stays."""
    pruned: Pruned | None = None
    """The teacher with layers, heads and widths taken out."""
    layers: Depth | tuple[Layer, ...] | None = None
    """How many layers, or, of ``shrunk``, which of the teacher's (from 0)."""
    layer_choice: Literal["uniform", "first", "last"] = "uniform"
    """Which of the teacher's layers a count takes."""
    hidden: Width | None = None
    """Width; the teacher's where not given (``bag`` and ``conv``: 64)."""
    heads: Depth | None = None
    """Attention heads; as few as keep them no wider than the teacher's where not given."""
    feed_forward: Width | None = None
    """Units of a layer's feed-forward part; in the teacher's proportion to the width where not given."""
    vocabulary: Literal["all", "used"] = "all"
    """``used``: only the tokens that the training texts (and the transfer set) use, with a tokenizer of its own."""
    min_count: Count = 1
    """How often a token must stand there to be kept, where the vocabulary is ``used``."""

    @property
    def knobs(self) -> dict[str, Any]:
        """What was said of it beside its kind."""
        said = {name: getattr(self, name) for name in sorted(self.model_fields_set - {"model", PRUNED})}
        return said if self.pruned is None else {**said, PRUNED: self.pruned.model_dump(mode="json")}

    @property
    def made_of_teacher(self) -> bool:
        """Whether its first weights are made of its teacher's, where that shows any."""
        return self.model != "fresh"

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(layers := values.get("layers"), list):
            values = {
                **values,
                "layers": tuple(layers),
            }  # what was seen here is no JSON any more, in which a list is a tuple
        return named(values)

    @model_validator(mode="after")
    def _consistent(self) -> TextStudent:
        if self.min_count > 1 and self.vocabulary == "all":
            raise ValueError("min_count is for vocabulary: used")
        if self.pruned is not None and self.model != PRUNED:
            raise ValueError(
                "pruned makes the student of its teacher, and model names another: leave out one of the two"
            )
        sizes = ("layers", "hidden", "heads", "feed_forward")
        if self.pruned is not None and (given := [name for name in sizes if getattr(self, name) is not None]):
            raise ValueError(
                f"{given[0]} is for pruned.keep to say: leave it out, or take model: shrunk, which is told its sizes"
            )
        return self

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return unless_pruned(handler(self))


class TextAssistant(TextStudent):
    """A model of a size between the two: it learns from the teacher, and the students learn from what it says.

    It reads the teacher's tokens, as they do. A student that is made of its teacher is made of the teacher itself.
    """

    train: TextTrain | None = None
    """How it is trained; as the student is where not given."""
    objective: Objective | None = None
    """What it is asked to match; what the student is where not given."""

    @property
    def knobs(self) -> dict[str, Any]:
        """What was said of it beside its kind and its training."""
        return {name: value for name, value in super().knobs.items() if name not in OWN}


class OwnTextStudent(TextStudent):
    """A module that a Python program made (:func:`limbeck.distill`)."""

    model: str  # pyright: ignore[reportIncompatibleVariableOverride]
    """What its class is called."""

    @property
    def made_of_teacher(self) -> bool:
        """Whether its first weights are made of its teacher's: whoever made it knows."""
        return False


class TextRecipe(Recipe):
    """Text classification: sentiment, topics, any labels; one label a text (or pair of texts), or several."""

    task: Literal["text-classification"]  # pyright: ignore[reportIncompatibleVariableOverride]
    """The modality."""
    data: TextData
    """Where the texts come from."""
    views: WordViews = WordViews()
    """How texts are varied, for the soft targets and for every student."""
    teacher: Teacher
    """The large model."""
    targets: TextTargets = TextTargets()  # pyright: ignore[reportIncompatibleVariableOverride]
    """How it is asked."""
    student: TextStudent
    """The small model."""
    assistant: TextAssistant | None = None
    """A model between the two: it learns from the teacher, and the students learn from it."""
    train: TextTrain = TextTrain()  # pyright: ignore[reportIncompatibleVariableOverride]
    """How the student and its baselines are trained."""

    @property
    def reads(self) -> tuple[tuple[str, ...], str]:
        if isinstance(self.data.label, tuple):
            return (YES_OR_NO,), "data.label names several columns, so that a text may have several labels"
        return (ONE_CLASS, YES_OR_NO), f"with task: {self.task} a text has one label, or several"


class OwnTextRecipe(TextRecipe):
    """That of modules that a Python program made."""

    student: OwnTextStudent  # pyright: ignore[reportIncompatibleVariableOverride]
    """The small model."""


def made_of(recipe: TextRecipe) -> int | None:
    """Which of its teachers, from 0, a student takes what it takes of them; None where all are ONNX files."""
    members = (member for _, member in teacher.members_of(recipe.teacher))
    return next((k for k, member in enumerate(members) if isinstance(member, TextTeacher)), None)


RECIPES: dict[str, type[Recipe]] = {"text-classification": TextRecipe}
