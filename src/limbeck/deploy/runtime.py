"""ONNX Runtime as every measurement uses it: on the CPU, in order, on a stated number of threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime


def open_session(path: Path, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """A sequential CPU session whose operators run on ``threads`` threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def example_inputs(session: onnxruntime.InferenceSession, batch: int) -> dict[str, np.ndarray]:
    """Standard normal inputs, float32 (batch, channels, height, width), under the model's input name."""
    image = session.get_inputs()[0]
    shape = (batch, *(int(n) for n in image.shape[1:]))
    return {image.name: np.random.default_rng(0).standard_normal(shape, dtype=np.float32)}


def runtime_name() -> str:
    """Which runtime measured, for the record: ``onnxruntime 1.31.0, CPU``."""
    return f"onnxruntime {onnxruntime.__version__}, CPU"
