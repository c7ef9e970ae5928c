"""`limbeck predict`: examples given to an exported model, without torch"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .answers import TOP, show


def predict(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="An exported .onnx file, a student's folder, or a run's.")
    ],
    examples: Annotated[
        list[str],
        typer.Argument(
            metavar="EXAMPLE",
            help="What the model takes: files, or texts in quotes; of a model of pairs two; of a driver numbers with commas.",
        ),
    ],
    top: Annotated[
        int, typer.Option(min=1, metavar="N", help="Of classes, show the N likeliest; numbers are all shown.")
    ] = TOP,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask an exported model about examples, in onnxruntime (torch is not needed).

    The model file says what it takes and what its answers mean; what else it needs, such as a tokenizer, lies beside it. A
    run's folder stands for the student that it exported.
    """
    show(model, examples, top, as_json)
