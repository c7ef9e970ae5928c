"""`limbeck serve`: an exported student behind HTTP, without torch"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .answers import model_file


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
) -> None:
    """Serve a student over HTTP, in onnxruntime (torch is not needed).

    POST /predict takes one example or many: files as they are (curl -F file=@shoe.png, or --data-binary with their type), or JSON,
    {"instances": [{"b64": "..."}]} of images and {"instances": ["a text"]} of texts. It answers {"predictions": [...]}, one for
    each, with what limbeck predict --json says; ?top=N asks for N classes. Examples that come at the same time are answered
    together. What cannot be read is refused with a sentence, {"error": "..."}.

    GET /healthz says whether it answers, /metrics what it did, for Prometheus. SIGTERM and Ctrl-C stop it when the requests in
    flight are answered.
    """
    from ..serving.launch import launch
    from ..serving.settings import Settings

    launch(Settings(model_file(model), host, port, batch, wait_ms, max_mb, max_size))
