"""A file of a model in its own runtime, on one thread, ready to be run again and again on an example that is made up"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime

from .runtime import example_inputs, open_session

RUNTIME = "onnxruntime, CPU"


class Opened(NamedTuple):
    """A model at batch 1. ``inputs`` are by name, ``run`` takes them as they are."""

    run: Callable[[], object]
    inputs: dict[str, np.ndarray]
    runtime: str
    version: str


def in_onnxruntime(path: Path, length: int) -> Opened:
    """Opens an ONNX file; inputs of which any length will do are of ``length``."""
    session = open_session(path)
    inputs = example_inputs(session, 1, length)
    return Opened(partial(session.run, None, inputs), inputs, RUNTIME, onnxruntime.__version__)
