"""`limbeck run`: a recipe run, or what running it would do"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadInput
from .common import ComputeOn, Device, Jobs, RecipeFile, Threads, TrustCode, read_recipe, say

if TYPE_CHECKING:
    from ..sections.recipe import Recipe


class Stage(StrEnum):
    """A stage of a run, as `--force` names it."""

    teacher = "teacher"
    targets = "targets"
    assistant = "assistant"
    student = "student"
    baseline = "baseline"
    smoothed = "smoothed"
    evaluate = "evaluate"
    export = "export"
    formats = "formats"
    quantization_aware = "quantization_aware"
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
        typer.Option("--plan", help="Say at once what would run and about how long, by what runs noted; run nothing."),
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="With --plan: read the data and build the models, so that nothing is not known."),
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="With --plan: as --check, and time a few steps of each model.")
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
    if (check or measure) and not plan:
        raise BadInput(f"{'--check' if check else '--measure'} goes with --plan: add it.")
    if plan:
        _print_plan(read, folder, check or measure, measure, trust_code, device, threads)
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


def _print_plan(
    recipe: Recipe, folder: Path, check: bool, measure: bool, trust_code: bool, device: Device, threads: int | None
) -> None:
    from . import console

    if check:
        from ..pipeline import check as checking

        planned = checking.check(
            recipe, folder, measure=measure, trust_code=trust_code, device=device.value, threads=threads
        )
        console.print_plan(planned)
        return
    from ..pipeline import plan as planning

    planned = planning.plan(recipe, folder)
    console.print_plan(planned)
    waiting = [stage for stage in planned if stage.state != planning.FINISHED]
    if any(stage.state == planning.NOT_KNOWN for stage in waiting):
        say("--check reads the data and builds the models, and knows of every stage.")
    if any(stage.seconds is None for stage in waiting):
        say("--measure also times a few steps of each model, and knows how long all takes.")
