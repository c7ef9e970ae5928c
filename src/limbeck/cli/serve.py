"""`limbeck serve`: an exported student behind HTTP, without torch"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadInput
from .answers import model_file
from .common import say


def serve(
    model: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder of a finished run, or an exported .onnx file.")
    ],
    host: Annotated[str, typer.Option(metavar="NAME", help="The address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="The port; 0 takes any free one.")] = 8000,
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Answer at most so many examples together.")] = 32,
    wait_ms: Annotated[
        float,
        typer.Option(min=0, metavar="MS", help="Let an example wait so long for others, while the model is free."),
    ] = 0.0,
    max_mb: Annotated[float, typer.Option(min=0.001, metavar="MB", help="Refuse longer requests.")] = 16.0,
    max_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Refuse larger examples: pixels of an image, characters of a text (16777216, 100000).",
        ),
    ] = None,
    escalate: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT=X",
            help="Ask the teacher where the student is unsure: share=0.1 of the examples, or as many as accuracy=0.95 takes.",
        ),
    ] = None,
    container: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Serve nothing; write a Dockerfile, the server and the model there."),
    ] = None,
) -> None:
    """Serve a student over HTTP, in onnxruntime (torch is not needed).

    POST /predict takes one example or many: files as they are (curl -F file=@shoe.png, or --data-binary with their type), or JSON,
    {"instances": [{"b64": "..."}]} of images, {"instances": ["a text"]} of texts and {"instances": [[0.1, ...]]} of states. It answers {"predictions": [...]}, one for
    each, with what limbeck predict --json says; ?top=N asks for N classes. Examples that come at the same time are answered
    together. What cannot be read is refused with a sentence, {"error": "..."}.

    With --escalate the student answers, and what it is unsure of goes up to the run's teacher; each answer says by whom it is. The
    threshold is chosen on validation, and the run's report has what comes of it.

    With --container the folder needs ONNX Runtime and the server alone, neither Limbeck nor torch.

    GET /healthz says whether it answers, /metrics what it did, for Prometheus. SIGTERM and Ctrl-C stop it when the requests in
    flight are answered.
    """
    from ..serving.escalate import escalation_of
    from ..serving.launch import contain, launch
    from ..serving.settings import Settings

    for name, value in (("--wait-ms", wait_ms), ("--max-mb", max_mb)):
        if not math.isfinite(value):
            raise BadInput(f"{name} {value} is no number of anything: give a finite one.")
    student = model_file(model)
    settings = Settings(student, host, port, batch, wait_ms, max_mb, max_size)
    if escalate is not None:
        found = escalation_of(model, student, escalate)
        settings = settings._replace(teacher=found.teacher, threshold=found.threshold)
        said = f"of validation {found.share:.1%} went up to the teacher, and {found.accuracy:.2%} were answered right"
        print(f"below {found.threshold:.4g} the teacher is asked: {said}.", file=sys.stderr)
    if container is None:
        launch(settings)
    else:
        contain(settings, container)
        say(f"{container} is written: docker build -t student {container} && docker run --rm -p 8000:8000 student")
