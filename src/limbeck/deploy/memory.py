"""Peak memory of an exported model, measured in a fresh process that holds ONNX Runtime and NumPy alone.

The file is both the question (:func:`peak_memory_mb`) and, run as a script, the process that answers it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUNS = 3


def peak_memory_mb(path: Path, *, batch: int = 1, length: int = 32, threads: int = 1) -> float:
    """How far loading and running the model raises the process's peak resident memory, in MB (10^6 bytes).

    ``length`` is the number of tokens, for models of texts. What Python, NumPy and ONNX Runtime take by themselves is not counted. Raises ``RuntimeError`` where the
    fresh process fails.
    """
    command = [sys.executable, "-I", __file__, str(Path(path).resolve()), str(batch), str(length), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"measuring the memory of {path} failed: {done.stderr.strip()}")
    return float(done.stdout)


def _peak_bytes() -> int:
    """The highest resident memory of this program so far."""
    # getrusage would do, but on Linux its figure survives exec: it would start at the size of the process
    # that started this one.
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        status = ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _answer(path: str, batch: int, length: int, threads: int) -> None:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    before = _peak_bytes()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {}
    for given in session.get_inputs():
        if given.type == "tensor(int64)":  # ids of tokens, or a mask without padding
            inputs[given.name] = np.full((batch, length), given.name == "attention_mask", dtype=np.int64)
        else:
            inputs[given.name] = np.zeros((batch, *given.shape[1:]), dtype=np.float32)
    for _ in range(RUNS):
        session.run(None, inputs)
    print((_peak_bytes() - before) / 1e6)


if __name__ == "__main__":
    _answer(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
