"""`limbeck diagnose`: why the student of a run stays behind its teacher, and what to run next"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import ComputeOn, Device, TrustCode, say


def diagnose(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    trust_code: TrustCode = False,
    device: ComputeOn = Device.auto,
) -> None:
    """Say why the student of a run stays behind its teacher, and what to do next.

    How closely it follows its teacher, on examples that it learnt from and on others, and how its loss fell tell a student that
    is too small from one that had too few steps or too little data, a temperature that is too low or too high, or a teacher that
    is too weak. The report of a run says the same. Nothing is trained, and the test split is not read.
    """
    from ..pipeline.diagnose import diagnose as diagnosed

    said, step = diagnosed(run, trust_code=trust_code, device=device.value)
    say(said)
    if step is not None:
        say(f"Next: {step}")
