"""`limbeck browser`: a page on which an exported model answers in the browser, without a server"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .answers import model_file
from .common import say


def browser(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="An exported .onnx file, a student's folder, or a run's; or a search's candidates."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder of the page, not there yet.")],
) -> None:
    """Write a page on which an exported model answers in the browser: on any phone, without a server or a network.

    A folder of static files: the model, what it takes made in JavaScript exactly as in training, and onnxruntime-web. Put it
    where web pages come from. It measures the model where it is opened, and writes a profile.json.

    Of the folder that limbeck search --candidates wrote, a page that measures them all: the search takes its profile with --device.

    The libraries come from npm's registry, once.
    """
    from ..deploy.profile import CANDIDATES

    if (model / CANDIDATES).is_file():
        from ..serving.browser.candidates import write_candidates_page

        files = write_candidates_page(model, out)
    else:
        from ..serving.browser import write_page

        files = write_page(model_file(model), out)
    size = sum((out / name).stat().st_size for name in files)
    say(
        f"page     {out / 'index.html'} ({len(files)} files, {size / 1e6:.1f} MB)",
        f"see it   python -m http.server --bind 127.0.0.1 --directory {out} 8000, then http://127.0.0.1:8000",
    )
