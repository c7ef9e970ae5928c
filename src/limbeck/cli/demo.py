"""`limbeck demo`: a page on which a student answers beside its teacher"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from .common import say


def demo(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write it into this folder, and open nothing.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="N", help="By default the first free one from 7860 on.")
    ] = None,
) -> None:
    """Open a local page on which a run's student answers beside its teacher, about examples of your own.

    Probabilities, how long each took, the size of each file, whether they agree; and the validation examples on which they
    differ most. It needs limbeck[demo], and is seen on this machine alone.

    With --out it is written into a folder, which runs as it is (python app.py, without torch) and as a Space on the Hugging
    Face hub.
    """
    from .. import progress
    from ..serving.demo import write_demo

    if out is not None:
        files = write_demo(run, out)
        say(f"demo     {out} ({len(files)} files)", f"see it   python {out / 'app.py'}")
        return
    with tempfile.TemporaryDirectory(prefix="limbeck-demo-") as made:
        folder = Path(made) / "demo"
        write_demo(run, folder)
        progress.note("The page is opened, on which Gradio says where it is.")
        asked = [] if port is None else ["--port", str(port)]
        try:
            code = subprocess.run([sys.executable, str(folder / "app.py"), *asked], check=False).returncode
        except KeyboardInterrupt:  # which the page was sent as well
            code = 0
    if code:
        raise typer.Exit(code)
