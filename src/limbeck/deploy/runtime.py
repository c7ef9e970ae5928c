"""ONNX Runtime as every measurement uses it: on the CPU, in order, on one thread."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime

from .metadata import METADATA_KEY

THREADS = 1
"""On how many threads everything is measured: one, which is that of the caller, so that its processor time can be taken."""

_PRECISIONS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """A sequential CPU session whose operators run on the thread that calls."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def example_inputs(session: onnxruntime.InferenceSession, batch: int, length: int = 32) -> dict[str, np.ndarray]:
    """Inputs by name, as the model's file asks for them.

    Standard normal numbers (batch, channels, height, width) of the precision it takes for images; for texts int64 (batch, length): random ids
    within the vocabulary that the metadata states, a mask without padding, and one segment.
    """
    random = np.random.default_rng(0)
    inputs: dict[str, np.ndarray] = {}
    for given in session.get_inputs():
        if given.type == "tensor(int64)":
            if given.name in ("attention_mask", "token_type_ids"):
                inputs[given.name] = np.full((batch, length), given.name == "attention_mask", dtype=np.int64)
            else:
                inputs[given.name] = random.integers(0, _vocabulary(session), (batch, length), dtype=np.int64)
        else:
            shape = (batch, *(int(n) for n in given.shape[1:]))
            inputs[given.name] = random.standard_normal(shape, dtype=np.float32).astype(_PRECISIONS[given.type])
    return inputs


def _vocabulary(session: onnxruntime.InferenceSession) -> int:
    """How many tokens a text model's metadata says that it knows; 1 (so id 0 alone) where it does not say."""
    try:
        content = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        return max(1, int(content["input"]["vocabulary"]))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return 1


def runtime_name() -> str:
    """Which runtime measured, for the record: ``onnxruntime 1.31.0, CPU``."""
    return f"onnxruntime {onnxruntime.__version__}, CPU"
