"""What the drafts of all tasks share. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from . import recipe_file
from .errors import BadInput

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
