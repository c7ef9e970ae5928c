"""`limbeck init`: a recipe to start from, written for a teacher and data"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..modalities import TASKS
from .common import say

Task = StrEnum("Task", {task.replace("-", "_"): task for task in TASKS})


def init(
    teacher: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="A name (wrn_16_2, speech_resnet, ds_ctc), timm/NAME, or a name on the Hugging Face hub; a folder, or "
            "package:NAME/FOLDER; a file of weights, or an ONNX file; or module:callable. To drive: planner, or mlp.",
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="digits, a Hugging Face data set, a folder of files or of a data set, or a CSV or JSONL file; an environment to drive in "
            "(highway-fast-v0).",
        ),
    ],
    student: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The small model; one that suits the teacher where not given."),
    ] = None,
    task: Annotated[
        Task | None,  # pyright: ignore[reportInvalidTypeForm]
        typer.Option(help="What it is to do; found by teacher and data where that is plain."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="A field of data, e.g. data.text=review, 'data.text=[premise, hypothesis]' or 'data.label=[billing, delivery]'. May be repeated.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The recipe to write.")] = Path("recipe.yaml"),
) -> None:
    """Look at a teacher and at data, and write a recipe to start from.

    The recipe is commented, and sized by what was found: of the examples their size and number, and the number of classes. A teacher whose classes do not fit the data is refused. An existing file is never overwritten.
    """
    from ..recipe import draft

    named = None if task is None else task.value
    drafted = draft.write(teacher=teacher, data=data, student=student, out=out, task=named, overrides=set_ or ())
    say(*drafted.said, *(f"Beware: {warning}" for warning in drafted.warnings))
    say(f"{out} written. Look it over, then:", "", f"  limbeck run {out} --plan --measure", f"  limbeck run {out}")
