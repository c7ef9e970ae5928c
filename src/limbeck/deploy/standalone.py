"""The script that lies beside an exported model and runs it without Limbeck."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ..files import write_text


def write_standalone(path: Path) -> None:
    """Writes the stand-alone script (ONNX Runtime, NumPy, Pillow) to ``path``, atomically.

    It is the very source of :mod:`limbeck.deploy.predict`, so both preprocess alike.
    """
    _write("predict.py", path)


def write_standalone_text(path: Path) -> None:
    """The same for models of texts (ONNX Runtime, NumPy, tokenizers): :mod:`limbeck.deploy.predict_text`."""
    _write("predict_text.py", path)


def _write(name: str, path: Path) -> None:
    source = resources.files("limbeck.deploy").joinpath(name).read_text(encoding="utf-8")
    write_text(Path(path), source)
