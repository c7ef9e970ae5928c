"""What the drafts of all tasks share. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from . import recipe_file
from .console import bytes_text
from .errors import BadInput


@dataclass(frozen=True)
class Drafted:
    """A recipe's text, and what a person should know of it."""

    text: str
    said: tuple[str, ...]  # sizes, and what was chosen and why, in sentences
    warnings: Sequence[str]  # what to beware of


@dataclass(frozen=True)
class Size:
    """What a model costs."""

    parameters: int
    macs: int | None  # multiply-accumulates of one example; None: not counted
    example: str = "an image"  # what one example is
    file_bytes: int | None = None  # of a file that is used as it is

    def __str__(self) -> str:
        kept = f"{bytes_text(4 * self.parameters)} as float32"
        if self.file_bytes is not None:
            kept = f"a file of {bytes_text(self.file_bytes)}"
        macs = "MACs not counted" if self.macs is None else f"{_count_text(self.macs)} MACs {self.example}"
        return f"{self.parameters:,} parameters, {kept}, {macs}"


def size_of(model: Any, example: Any, what: str = "an image") -> Size:
    """A module's size; ``example`` is an image (1, C, H, W), or a text's inputs by name, (1, L) each."""
    from .deploy.measure import macs, parameters

    return Size(parameters(model), macs(model, example), what)


def size_sentences(teacher: str, of_teacher: Size | None, student: str, of_student: Size | None) -> tuple[str, ...]:
    """Both sizes, and how much smaller the student is; None: the model is not known, or its code not trusted yet."""
    unknown = "its size is not known before the model can be built"
    said = [f"teacher {teacher}: {of_teacher or unknown}.", f"student {student}: {of_student or unknown}."]
    if of_teacher is not None and of_student is not None:
        times = of_teacher.parameters / max(1, of_student.parameters)
        said.append(
            f"The student has 1/{times:.3g} of the teacher's parameters."
            if times > 1
            else "The student has no fewer parameters than the teacher."
        )
    return tuple(said)


def _count_text(count: int) -> str:
    """`812`, `36.1 thousand`, `2.4 million`."""
    for word, size in (("billion", 1e9), ("million", 1e6), ("thousand", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {word}"
    return str(count)


def knob_lines(knobs: Mapping[str, tuple[str, str]], there: Mapping[str, Any]) -> list[str]:
    """Comments that show a student's knobs: by name the range and what it means; ``there`` are those that are set."""
    lines = ["# Its knobs; change them here, or with limbeck run RECIPE --set student.KNOB=VALUE:"]
    for name, (allowed, meaning) in knobs.items():
        here = f"; {flow(there[name])} here" if name in there else ""
        lines.append(f"#   {name}: {allowed}{here}. {meaning}")
    return lines


# Below this what is measured is mostly chance.
FEW_TO_MEASURE = 200


def coarse(what: str, validation: int | None, test: int | None) -> list[str]:
    """A sentence for each split that is too small to measure by; ``what`` is its examples, in words."""
    return [
        f"{count:,} {split} {what} measure coarsely: one of them is {100 / max(1, count):.1f} points of "
        "accuracy, so small differences mean nothing."
        for split, count in (("validation", validation), ("test", test))
        if count is not None and count < FEW_TO_MEASURE
    ]


def data_fields(overrides: Sequence[str], task: str, name: str) -> dict[str, Any]:
    """The fields of data that ``section.field=value`` overrides name, as plain values. Raises `BadInput` for any other field."""
    for override in overrides:
        if not override.strip().startswith("data."):
            raise BadInput(
                f"--set {override}: init takes fields of data alone, such as data.label=COLUMN; change any other in the recipe "
                "that it writes, or with limbeck run --set."
            )
    # the rest stands for what is found later, and fits any labels
    rest: dict[str, Any] = {"teacher": {"model": "resnet20", "train": {}}, "student": {"model": "convnet"}}
    if task == "text-classification":
        rest = {"teacher": {"model": "any"}, "student": {"model": "shrunk"}, "objective": {"binary_kd": {}}}
    values = recipe_file.apply_overrides({"task": task, "data": {"name": name}, **rest}, overrides)
    recipe_file.from_dict(values, "--set")
    return {field: value for field, value in values["data"].items() if field != "name"}


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")
