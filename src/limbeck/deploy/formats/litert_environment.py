"""The environment in which files of LiteRT are made: its converter needs an older torch, so it cannot lie beside ours.

uv makes it once, in a folder of caches, of pinned versions; running a file needs none of it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ... import progress
from ...errors import BadInput
from ...files import fingerprint

PINNED = ("litert-torch==0.10.0", "ai-edge-quantizer==0.10.0", "ai-edge-litert==2.3.0", "torch==2.14.1", "numpy<3")
PYTHON = "3.11"
GIGABYTES = 6.5
"""What the environment takes, most of it torch and what comes with it."""


def cache_folder() -> Path:
    """Where environments are kept: ``limbeck`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "limbeck"


def place() -> Path:
    """The folder of the environment of these versions."""
    return cache_folder() / f"litert-{fingerprint([PYTHON, *PINNED])[:12]}"


def missing() -> str | None:
    """What is wanting to make the environment; None where it is there already, or nothing is."""
    if _python(place()).exists() or shutil.which("uv"):
        return None
    return (
        "files of LiteRT are made by a converter that needs an environment of its own, which uv makes; there is no uv: "
        "pip install uv (https://docs.astral.sh/uv/)."
    )


def python() -> Path:
    """The interpreter of the environment, which is made where it is not there.

    Raises :class:`BadInput` where uv is missing, or cannot make it.
    """
    if (why := missing()) is not None:
        raise BadInput(why)
    here = place()
    if _python(here).exists():
        return _python(here)
    progress.note(
        f"making the environment of LiteRT's converter, once, in {here}: about {GIGABYTES} GB, a few minutes ..."
    )
    here.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=here.parent, prefix=f".{here.name}-") as unfinished:
        made = Path(unfinished) / "environment"
        # found wherever it lies, since it takes its name when it is whole
        _uv(["venv", "--relocatable", "--python", PYTHON, str(made)])
        _uv(["pip", "install", "--python", str(_python(made)), *PINNED])
        try:
            made.rename(here)
        except OSError:
            if not _python(here).exists():  # else someone else was quicker
                raise
    return _python(here)


def run(script: Path, arguments: Sequence[str]) -> None:
    """Runs a script in the environment, on the CPU; what it says on its last line is what is raised, as ``ValueError``."""
    quiet = {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUTF8": "1"}
    done = subprocess.run(
        [str(python()), "-I", str(script), *arguments],
        env={**os.environ, **quiet},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise ValueError(_reason(done.stderr))


def _uv(arguments: Sequence[str]) -> None:
    done = subprocess.run(
        ["uv", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise BadInput(
            f"the environment of LiteRT's converter cannot be made: uv {' '.join(arguments[:2])} failed. Is there a network? "
            f"({_last_line(done.stderr)})"
        )


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


def _reason(text: str) -> str:
    """What was raised last, by its first line: torch adds hints and where it was traced below it."""
    found = [line for line in text.splitlines() if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return _last_line(found[-1] if found else text)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"
