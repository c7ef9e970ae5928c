"""ONNX in float32, asked in ONNX Runtime: what every other format is set beside."""

from __future__ import annotations

from pathlib import Path

from ...interfaces import Exportable
from ...sections.outline import Outline
from ..graphs import of_file
from ..memory import memory_mb
from ..onnx import write_onnx
from ..runtime import runtime_name
from .format import Format, Inputs

ANY = Outline("", "", "an", "example", "examples", {}, "", positions="positions")
"""Examples of whatever modality, for messages."""


def write(graph: Exportable, path: Path, inputs: Inputs) -> None:
    """As :func:`limbeck.deploy.onnx.write_onnx`; there is nothing to calibrate."""
    del inputs
    write_onnx(graph, path, ANY)


ONNX = Format(
    name="onnx",
    suffix=".onnx",
    extra=None,
    missing=lambda: None,
    write=write,
    ask=of_file,
    runtime=runtime_name,
    predicts=True,
    memory=memory_mb,
)
