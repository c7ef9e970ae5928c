"""What a draft says of the data and of both models: built on it, sized, and how a teacher's input is prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...deploy.sizing import Size, size_of
from ...errors import BadInput
from ...sections.drafting import FEW_TO_MEASURE, coarse, flow
from ...sections.teacher import Model
from ...vision.networks import RESNETS, WIDE_RESNETS

_WEIGHTS = (".safetensors", ".pt", ".pth", ".th", ".bin", ".ckpt", ".tar")
# Below this what is learnt is mostly chance.
FEW_TO_TRAIN = 1000
_HEADS = ("fc.weight", "head.weight", "classifier.weight", "linear.weight", "head.fc.weight")


@dataclass(frozen=True)
class Found:
    """What was seen of the data."""

    name: str
    examples: int  # in train, after validation is carved off
    classes: int
    channels: int
    size: int | tuple[int, int]  # side in pixels, or height and width
    validation: int | None = None  # examples; None: not known
    test: int | None = None
    given: Mapping[str, Any] = field(default_factory=dict)  # other fields of data, as a person named them
    names: Sequence[str] = ()  # of the classes
    notes: Sequence[str] = ()  # what was read, in sentences
    mean: Sequence[float] = ()  # of each channel, on a scale of 0 to 1; empty: not known
    std: Sequence[float] = ()
    numbers: bool = False  # whether the labels are numbers, of which ``classes`` says how many

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def warnings(self) -> list[str]:
        """What so few examples mean for the figures, in sentences; usually nothing."""
        said = []
        if self.examples < FEW_TO_TRAIN:
            said.append(
                f"{self.examples:,} training examples are few: strong views, a transfer set of unlabelled images "
                "(data.transfer) or a pretrained teacher (timm) make up for some of it; train several seeds."
            )
        if self.given.get("test", "test") is None:
            said.append("no test split is named, or it has no labels, so one is carved from train (data.test: null).")
        if not self.numbers:
            return [*said, *coarse("examples", self.validation, self.test)]
        few = {"validation": self.validation, "test": self.test}
        return [
            *said,
            *(
                f"{count:,} {split} examples measure coarsely: a few that are far off rule the error."
                for split, count in few.items()
                if count is not None and count < FEW_TO_MEASURE
            ),
        ]


def teacher_lines(name: str, found: Found) -> tuple[list[str], Size | None, *tuple[str, ...]]:
    """The lines of the section, the model's size (None where it is not known yet), and what to note of it."""
    if is_file_of_weights(name):
        return _teacher_of_weights(name, found)
    if name.endswith(".onnx"):
        return _teacher_of_onnx(name, found)
    if name.startswith("timm/"):
        return _teacher_of_timm(name, found)
    comment = "# It runs code that the recipe names: limbeck run --trust-code." if ":" in name else None
    lines = [
        *([comment] if comment else []),
        "teacher:",
        f"  model: {flow(name)}",
        f"  train: {flow(train_for(found, 2_000_000, most=40))}",
    ]
    return lines, size_as(Model(model=name), found, "teacher")


def is_file_of_weights(name: str) -> bool:
    return name.partition("#")[0].endswith(_WEIGHTS)  # `file.pt#student` asks for one of several in a file


def _teacher_of_weights(path: str, found: Found) -> tuple[list[str], Size | None, str]:
    from ...models.state_file import read_state

    shapes = {name: tuple(tensor.shape) for name, tensor in read_state(path).items()}
    answers = classes_of(shapes)
    one_logit = answers == 1 and found.classes == 2  # of the second class against the first
    if answers is not None and answers != found.classes and not one_logit:
        raise BadInput(
            f"the teacher in {path} answers {answers} classes, and {found.name} has {found.classes}; "
            "give a teacher and data of the same classes."
        )
    model = _recognised(shapes, found)
    if model is None:
        lines = [
            "# The file does not name the model it belongs to: put it here, for instance timm/NAME,",
            "# or module:callable together with limbeck run --trust-code.",
            "teacher:",
            "  model: module:callable",
            f"  weights: {flow(path)}",
            *_preprocess_lines(found),
        ]
        return lines, None, _own_statistics(path, found)
    lines = [
        "teacher:",
        f"  model: {model}  # the names and shapes in the file are this model's",
        f"  weights: {flow(path)}",
        *_preprocess_lines(found),
    ]
    return lines, size_as(Model(model=model), found, "teacher"), _own_statistics(path, found)


def _preprocess_lines(found: Found, size: int | tuple[int, int] | None = None) -> list[str]:
    """The field that says how a network from a file wants its images: a comment, but for a ``size`` that it must have."""
    values = ", ".join(["0.5"] * found.channels), ", ".join(["0.25"] * found.channels)
    said = f"mean: [{values[0]}], std: [{values[1]}], size: {flow(size or found.size)}"
    return [
        "  # Images are given to it less a mean and divided by a deviation, one for each channel on a scale of 0 to 1, and",
        "  # in the size of the data. Without mean and std these are the data's own, so say those that it was trained with:",
        f"  # preprocess: {{{said}}}",
        *([] if size is None else [f"  preprocess: {{size: {flow(size)}}}"]),
    ]


def _own_statistics(path: str, found: Found) -> str:
    """What a network from a file that says nothing of it is given."""
    own = f" (mean {_rounded(found.mean)}, std {_rounded(found.std)})" if found.mean else ""
    return (
        f"{path} does not say which mean and deviation its images had in training, so it is asked with the data's own"
        f"{own}; where it was trained with others, say so in teacher.preprocess."
    )


def _rounded(values: Sequence[float]) -> str:
    return flow([round(value, 4) for value in values])


def classes_of(shapes: dict[str, tuple[int, ...]]) -> int | None:
    """How many classes a state dict's last layer answers, where its name gives it away; else None."""
    heads = [shape[0] for name, shape in shapes.items() if len(shape) == 2 and name.endswith(_HEADS)]
    return heads[0] if len(heads) == 1 else None


def _teacher_of_onnx(path: str, found: Found) -> tuple[list[str], Size, str]:
    from ...vision.build import check_fits
    from .onnx_file import OnnxModel
    from .teachers import preprocess_said

    model = OnnxModel(path)
    height, width = model.takes[2:]
    size = found.size if height is None or width is None else height if height == width else (height, width)
    model.check_takes(found.channels, size)
    model.two_classes = found.classes == 2 and model.answers == 1
    check_fits(model, classes=found.classes, channels=found.channels, size=size, name="teacher")
    costs = Size(model.parameter_count, None, file_bytes=Path(path).stat().st_size)
    lines, says = ["teacher:", f"  onnx: {flow(path)}"], preprocess_said(model.metadata.get("input"), found.channels)
    if says is None:
        lines += _preprocess_lines(found, size if size != found.size else None)
        return lines, costs, _own_statistics(path, found)
    told = f"mean {_rounded(says.mean or ())}, std {_rounded(says.std or ())} and size {flow(says.size)}"
    lines.append(f"  # The file's metadata say how its images are prepared: {told}; preprocess would say otherwise.")
    return lines, costs, f"{path} says in its metadata how its images are prepared, and they are: {told}."


def _recognised(shapes: dict[str, tuple[int, ...]], found: Found) -> str | None:
    counts = {"num_batches_tracked"}  # absent from old files
    wanted = {name: shape for name, shape in shapes.items() if name.rpartition(".")[2] not in counts}
    for name in (*RESNETS, *WIDE_RESNETS):
        model = build(Model(model=name), found, "teacher")
        own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        if wanted == {key: shape for key, shape in own.items() if key.rpartition(".")[2] not in counts}:
            return name
    return None


def _teacher_of_timm(name: str, found: Found) -> tuple[list[str], Size | None]:
    build(Model(model=name), found, "teacher")  # says what is wrong with a name, or that timm is not there
    import timm

    config = timm.get_pretrained_cfg(name.removeprefix("timm/"), allow_unregistered=False)
    if config is None or not config.has_weights:
        size = size_as(Model(model=name), found, "teacher")
        lines = ["teacher:", f"  model: {name}", f"  train: {flow(train_for(found, 2_000_000, most=40))}"]
        return lines, size
    size = size_as(Model(model=name), found, "teacher", config.input_size[-1])
    preprocess = {"size": config.input_size[-1]}
    if len(config.mean) == found.channels:
        preprocess |= {"mean": list(config.mean), "std": list(config.std)}
    fits = config.num_classes == found.classes
    comment = (
        f"# Its published weights know {config.num_classes} classes, as many as the data: used as they are."
        if fits
        else f"# Its published weights know {config.num_classes} classes, the data has {found.classes}: "
        "it is trained on from them."
    )
    gentle = {"epochs": 10, "batch_size": 64, "optimizer": "adamw", "learning_rate": 0.0003}
    lines = [
        comment,
        "teacher:",
        f"  model: {name}",
        "  pretrained: true",
        f"  preprocess: {flow(preprocess)}",
        *([] if fits else [f"  train: {flow(gentle)}"]),
    ]
    return lines, size


def size_as(section: Model, found: Found, role: str, side: int | None = None) -> Size | None:
    """What the model costs, built and tried on the data's shape (or images of `side`); None for code not trusted yet."""
    if ":" in section.model:
        return None
    import torch

    from ...vision.build import check_fits

    model, size = build(section, found, role), side or found.size
    sides = (side, side) if side else found.sides
    if not section.model.startswith("timm/"):
        check_fits(model, classes=found.classes, channels=found.channels, size=size, name=role)
        return size_of(model, torch.zeros(1, found.channels, *sides))
    try:
        return size_of(model, torch.zeros(1, found.channels, *sides))
    except Exception:  # some of timm's want another size, which preprocess gives them
        return Size(sum(parameter.numel() for parameter in model.parameters()), None)


def build(section: Model, found: Found, role: str) -> Any:
    from ...vision.build import build

    try:
        return build(
            section,
            classes=found.classes,
            channels=found.channels,
            size=found.size,
            trust_code=False,
            seed=0,
        )
    except BadInput as error:
        raise BadInput(f"--{role} {section.model}: {error}") from None


def width_for(found: Found) -> int:
    """Width of the convolutional student: 8 for small images, more where there is more to tell."""
    width = 8 if min(found.sides) <= 40 else 12 if min(found.sides) <= 96 else 16
    return width if found.classes <= 20 else width * 2


def train_for(found: Found, examples: int, most: int) -> dict[str, Any]:
    """Epochs that show about `examples`, from 10 to `most`; batches that leave an epoch 20 steps."""
    epochs = min(most, max(10, round(examples / max(1, found.examples) / 5) * 5))
    batch_size = next((size for size in (128, 64, 32) if found.examples >= 20 * size), 16)
    return {"epochs": epochs, "batch_size": batch_size}
