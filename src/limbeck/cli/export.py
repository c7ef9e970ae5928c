"""`limbeck export`: the student of a finished run in further formats"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .common import ComputeOn, Device, TrustCode


class Format(StrEnum):
    """A format, as a recipe's ``export.formats`` names it; written out, since what defines them takes long to import."""

    onnx = "onnx"
    onnx_int8 = "onnx-int8"
    onnx_int4 = "onnx-int4"
    executorch = "executorch"
    executorch_int8 = "executorch-int8"
    litert = "litert"
    litert_int8 = "litert-int8"
    micro = "micro"


class Prefer(StrEnum):
    """A recipe's ``export.prefer``."""

    exact = "exact"
    smallest = "smallest"
    fastest = "fastest"
    onnx = "onnx"
    onnx_int8 = "onnx-int8"
    onnx_int4 = "onnx-int4"
    litert = "litert"
    litert_int8 = "litert-int8"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    format_: Annotated[
        list[Format], typer.Option("--format", metavar="FORMAT", help=f"{', '.join(Format)}. May be repeated.")
    ],
    prefer: Annotated[
        Prefer | None, typer.Option(metavar="WHICH", help=f"Which `limbeck predict` takes: {', '.join(Prefer)}.")
    ] = None,
    trust_code: TrustCode = False,
    device: ComputeOn = Device.auto,
) -> None:
    """Deploy the student of a finished run in further formats, and measure each.

    Each file is held to the trained student on validation examples, put to the test split, and timed in turns with the float32
    file and the teacher. A format that does not fit the student says why, and the others go on. Files, results.json and
    report.html land in the run's folder; nothing is trained, unless the run's recipe has export.quantization_aware.
    """
    from ..pipeline.more_formats import export_as
    from . import console

    results = export_as(
        run,
        [one.value for one in format_],
        None if prefer is None else prefer.value,
        trust_code=trust_code,
        device=device.value,
    )
    console.print_formats(results)
