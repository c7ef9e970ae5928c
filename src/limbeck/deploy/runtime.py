"""ONNX Runtime as every measurement uses it: on the CPU, in order, on one thread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from .metadata import METADATA_KEY

THREADS = 1
"""On how many threads everything is measured: one, which is that of the caller, so that its processor time can be taken."""

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def open_session(model: Path | bytes) -> onnxruntime.InferenceSession:
    """A sequential CPU session of a file, or of what stands in one, whose operators run on the thread that calls."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
    )


def example_inputs(session: onnxruntime.InferenceSession, batch: int, length: int = 32) -> dict[str, np.ndarray]:
    """Inputs by name, made up as the file says that its inputs are: of so many examples, of ``length`` where any will do.

    The same each time: standard normal numbers, or whole numbers drawn from the range that its metadata have for the input
    (:class:`limbeck.interfaces.Input`).
    """
    random, ranges = np.random.default_rng(0), _ranges(session)
    return {
        given.name: drawn(
            random,
            (batch, *(side if isinstance(side, int) else length for side in given.shape[1:])),
            _TYPES[given.type],
            ranges[given.name],
        )
        for given in session.get_inputs()
    }


def drawn(random: np.random.Generator, shape: tuple[int, ...], kind: Any, range: tuple[int, int] | None) -> np.ndarray:
    """An input made up: standard normal numbers where ``range`` is None, else whole ones from its first on and below its second."""
    if range is None:
        return random.standard_normal(shape, dtype=np.float32).astype(kind)
    low, high = range
    return (random.integers(low, high, shape, dtype=np.int64) if high - low > 1 else np.full(shape, low)).astype(kind)


def _ranges(session: onnxruntime.InferenceSession) -> dict[str, Any]:
    """Of each input the first number that it takes and the first beyond; None: any, standard normal.

    Files that do not say it, those from elsewhere and those of Limbeck before it wrote so, take any real number, and of whole
    ones 1, which is an id in every vocabulary and no padding in a mask.
    """
    ranges: dict[str, Any] = {
        given.name: None if np.issubdtype(_TYPES[given.type], np.floating) else (1, 2) for given in session.get_inputs()
    }
    try:
        said = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])["inputs"]
        for name in ranges:
            if said[name]["range"] != "normal":
                low, high = (int(bound) for bound in said[name]["range"])
                ranges[name] = (low, max(high, low + 1))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        pass
    return ranges


def runtime_name() -> str:
    """Which runtime measured, for the record: ``onnxruntime 1.31.0, CPU``."""
    return f"onnxruntime {onnxruntime.__version__}, CPU"
