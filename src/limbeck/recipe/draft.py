"""What `limbeck init` does: which modality, its draft, written and checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import BadInput
from ..files import write_text
from ..modalities import DEFAULT_TASK, TASKS, outline_of, part_of
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

    Where no `task` is given, it is the first that teacher or data plainly are of, and the usual one otherwise.
    `overrides` are fields of data, such as `data.text=review`.

    Raises `BadInput` where `out` exists, the data cannot be read, a model is not known, or the teacher's
    classes do not fit the data; nothing is written then.
    """
    if out.exists():
        raise BadInput(f"{out} exists and is not overwritten; choose another file with --out.")
    plain = task or next((one for one in TASKS if part_of(one, "draft").plainly(teacher, data)), None)
    chosen = plain or DEFAULT_TASK
    try:
        given = data_fields(overrides, chosen, data)
    except BadInput as error:
        raise BadInput(f"{error}{'' if task else _of_its_kind(overrides, chosen, data)}") from None
    try:
        drafted: Drafted = part_of(chosen, "draft").draft(chosen, teacher, data, student, given)
    except BadInput as error:
        said = str(error) if plain else f"{error}{_others(chosen)}"
        if named := re.search(r"name one (\(or several, in a list\) )?with (data\.\w+)", said):
            several = f", or --set '{named[2]}=[COLUMN, COLUMN]'" if named[1] else ""
            said = f"{said} Here: --set {named[2]}=COLUMN{several}."
        raise BadInput(*said.split("\n")) from None
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
    # the rest stands for what is found later; an objective that reads no answers fits any labels
    rest = {**outline_of(task).smallest, "objective": {"rkd": {"student": "any", "teacher": "any"}}}
    values = recipe_file.apply_overrides({"task": task, **rest, "data": {"name": name}}, overrides)
    recipe_file.from_dict(values, "--set")
    return {field: value for field, value in values["data"].items() if field != "name"}


def _of_its_kind(overrides: Sequence[str], chosen: str, name: str) -> str:
    """What to say where fields of data are wrong for the task that was taken, and right for another of the same modality."""
    for task, folder in TASKS.items():
        if folder == TASKS[chosen] and task != chosen:
            try:
                data_fields(overrides, task, name)
            except BadInput:
                continue
            return f" (This was taken for {chosen}; with --task {task} it is right.)"
    return ""


def _others(chosen: str) -> str:
    """What to say where these are examples of another modality than the usual one that was taken."""
    firsts = {folder: task for task, folder in reversed(TASKS.items()) if folder != TASKS[chosen]}
    said = [f"Where these are {outline_of(task).examples}, say --task {task}." for task in reversed(firsts.values())]
    return f" ({' '.join(said)})" if said else ""
