"""`limbeck run`: a recipe run, or what running it would do"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .common import ComputeOn, Device, Jobs, RecipeFile, Threads, TrustCode, read_recipe


class Stage(StrEnum):
    """A stage of a run, as `--force` names it."""

    teacher = "teacher"
    targets = "targets"
    student = "student"
    baseline = "baseline"
    smoothed = "smoothed"
    evaluate = "evaluate"
    export = "export"
    report = "report"


def run(
    recipe: RecipeFile,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Change a field, e.g. train.epochs=3. May be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run's folder; runs/NAME where not given.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Say what would run, how long and how much disk it takes; run nothing."),
    ] = False,
    force: Annotated[
        list[Stage] | None, typer.Option(metavar="STAGE", help="Do a finished stage again. May be repeated.")
    ] = None,
    trust_code: TrustCode = False,
    device: ComputeOn = Device.auto,
    threads: Threads = None,
    jobs: Jobs = 1,
) -> None:
    """Run a recipe: train the teacher, keep its soft targets, train the student, measure, report.

    Finished stages are skipped and an unfinished one goes on from its last checkpoint, so the same command
    resumes a run that was stopped. Results land in the run's folder: report.html, results.json, and the exported
    student.
    """
    read = read_recipe(recipe, set_)
    folder = out if out is not None else Path("runs") / str(read.name)
    if plan:
        from ..pipeline.check import check
        from . import console

        console.print_plan(check(read, folder, trust_code=trust_code, device=device.value, threads=threads))
        return
    from ..pipeline import run as pipeline
    from . import console

    results = pipeline.run(
        read,
        out=folder,
        trust_code=trust_code,
        force=tuple(stage.value for stage in force or ()),
        device=device.value,
        threads=threads,
        jobs=jobs,
    )
    console.print_results(results)
