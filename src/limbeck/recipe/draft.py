"""What `limbeck init` does: which modality, its draft, written and checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import BadInput
from ..files import write_text
from ..modalities.image.draft import TEXT, draft, look_at_data
from ..modalities.text import draft as draft_text
from ..sections.drafting import Drafted
from . import read as recipe_file


def write(
    *,
    teacher: str,
    data: str,
    student: str | None,
    out: Path,
    task: str | None = None,
    overrides: Sequence[str] = (),
) -> Drafted:
    """Writes a commented recipe for `teacher` and `data` to `out`; returns it, with what to say of it.

    Where no `task` is given, it is text classification if teacher or data plainly are of texts, and images otherwise.
    `overrides` are fields of data, such as `data.text=review`.

    Raises `BadInput` where `out` exists, the data cannot be read, a model is not known, or the teacher's
    classes do not fit the data; nothing is written then.
    """
    if out.exists():
        raise BadInput(f"{out} exists and is not overwritten; choose another file with --out.")
    draft_text.refuse_image_model_with_table(teacher, data)
    of_texts = task == TEXT or (task is None and draft_text.is_text(teacher, data))
    given = data_fields(overrides, TEXT if of_texts else "image-classification", data)
    try:
        if of_texts:
            drafted = draft_text.draft(teacher, data, student, given)
        else:
            try:
                found = look_at_data(data, given)
            except BadInput as error:
                hint = "" if task else " (Where these are texts, say --task text-classification.)"
                raise BadInput(f"{error}{hint}") from None
            drafted = draft(teacher, found, student or "convnet")
    except BadInput as error:
        if named := re.search(r"name one with (data\.\w+)", str(error)):
            raise BadInput(f"{error} Here: --set {named[1]}=COLUMN.") from None
        raise
    recipe_file.from_dict(yaml.safe_load(drafted.text), "the draft")
    write_text(out, drafted.text)
    return drafted


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
