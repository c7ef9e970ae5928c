"""`limbeck compare`: objectives and students side by side, or what comparing them would do"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput
from .common import ComputeOn, Device, Jobs, Threads, TrustCode

CompareStage = StrEnum(
    "CompareStage", ["teacher", "targets", "student", "baseline", "smoothed", "evaluate", "measure", "compare"]
)


def compare(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The comparison file, a YAML file.")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Change a field of its recipe, e.g. seeds=5. May be repeated."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The comparison's folder; runs/NAME where not given.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Read the data, say what would run and about how long; run nothing."),
    ] = False,
    measure: Annotated[bool, typer.Option("--measure", help="With --plan: time a few steps of each model.")] = False,
    force: Annotated[
        list[CompareStage] | None,
        typer.Option(metavar="STAGE", help="Do a finished stage of all rows again. May be repeated."),
    ] = None,
    trust_code: TrustCode = False,
    device: ComputeOn = Device.auto,
    threads: Threads = None,
    jobs: Jobs = 1,
) -> None:
    """Compare objectives (and students) over seeds: one teacher, one store of soft targets, the same budget for all.

    Finished students are never trained again, so the same command resumes a comparison that was stopped, and a row more
    costs that row alone. Results land in the folder: compare.html, compare.csv, compare.tex, compare.json.
    """
    from ..compare import file as comparison_file
    from ..recipe import files

    read = comparison_file.read(file, set_ or ())
    for row in read.rows:
        files.look_for(row.recipe)
    folder = out if out is not None else Path("runs") / read.name
    if measure and not plan:
        raise BadInput("--measure goes with --plan: add it.")
    if plan:
        from ..compare import plan as comparison_plan
        from . import console

        console.print_plan(
            comparison_plan.plan(
                read, folder, measure=measure, trust_code=trust_code, device=device.value, threads=threads, jobs=jobs
            )
        )
        return
    from ..compare import run as comparing
    from . import console

    results = comparing.compare(
        read,
        out=folder,
        trust_code=trust_code,
        force=tuple(str(stage) for stage in force or ()),
        device=device.value,
        threads=threads,
        jobs=jobs,
    )
    console.print_comparison(results)
