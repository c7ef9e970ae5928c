"""`limbeck report`: the report of a finished run once more, with the figures of a device"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import TrustCode, say


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    device: Annotated[
        Path | None,
        typer.Option(
            metavar="PROFILE",
            help="The profile.json that the run's measure.py wrote on the device; without it the report is of this machine alone.",
        ),
    ] = None,
    trust_code: TrustCode = False,
) -> None:
    """Make the report of a finished run again, with what its files cost on the device that they are for.

    Copy measure.py and the exported files of the run to the device, run it there (it needs onnxruntime and NumPy alone), and
    name the profile.json that it writes. Latency, memory and energy of teacher and student there land in results.json and
    report.html, under the device's name. Nothing is trained.
    """
    from ..evaluation.verdict import headline
    from ..pipeline.report_again import report_again
    from ..report.device import lines

    results = report_again(run, device, trust_code=trust_code)
    if results.get("in_use"):
        say(headline(results))
    for line in lines(results):
        say(line)
    say(f"{run / 'report.html'}")
