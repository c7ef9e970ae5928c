"""The script that lies beside an exported model and runs it without Limbeck."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ..files import write_text


def write_standalone(module: str, path: Path) -> None:
    """Writes a modality's ``predict`` (the dotted name of its module) to ``path``, atomically: its very source.

    So both prepare their input alike.
    """
    package, _, name = module.rpartition(".")
    source = resources.files(package).joinpath(f"{name}.py").read_text(encoding="utf-8")
    write_text(Path(path), source)
