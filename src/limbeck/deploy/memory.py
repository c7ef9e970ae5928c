"""Memory of an exported model, measured in a fresh process that holds ONNX Runtime and NumPy alone.

The file is both the question (:func:`memory_mb`) and, run as a script, the process that answers it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

RUNS = 3
ASKED = "--memory"
"""What a script that holds this module is started with, to answer with :func:`answer`."""

IDENTITY = base64.b64decode(
    "CAg6UAoZCgVnaXZlbhIGYW5zd2VyIghJZGVudGl0eRIIaWRlbnRpdHlaEwoFZ2l2ZW4SCgoICAESBAoCCAFiFAoGYW5zd2VyEgoKCAgBEgQKAggBQgQKABAR"
)
"""A model that gives back its input, as a file's content; any runtime takes it (opset 17)."""


def memory_mb(path: Path, *, batch: int = 1, length: int = 32) -> dict[str, float | None]:
    """What loading and running a model adds to the memory of a process that ran another model before, in MB (10^6 bytes).

    ``peak_memory_mb`` is how far the highest resident memory rises, ``anonymous_memory_mb`` how much of it is the process's
    own and no page of a file (None where the system does not tell: it is Linux that does). ``length`` is the number of
    tokens, for models of texts.

    The other model does nothing, in one node. Without it, the figure for a small network would be some 9 MB whatever its
    size: pages of the runtime's own code that its first session touches.

    Raises ``RuntimeError`` where the fresh process fails.
    """
    # Alone with what is installed: what lies beside this file is called like the library that it is about.
    alone = ["-I"] if sys.flags.isolated else ["-P"] if sys.version_info >= (3, 11) else []
    command = [sys.executable, *alone, __file__, ASKED, str(Path(path).resolve()), str(batch), str(length)]
    done = subprocess.run(command, input=IDENTITY, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"measuring the memory of {path} failed: {done.stderr.decode(errors='replace').strip()}")
    return json.loads(done.stdout)


def _of_this_process(field: str) -> int | None:
    """Bytes that Linux states of this process."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{field}:")), None)


def _peak_bytes() -> int:
    """The highest resident memory of this program so far."""
    # getrusage would do, but on Linux its figure survives exec: it would start at the size of the process
    # that started this one.
    if (peak := _of_this_process("VmHWM")) is not None:
        return peak
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def answer(path: str, batch: int, length: int) -> None:
    """Prints what :func:`memory_mb` says of a file, with another model on standard input."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3

    def opened(model: str | bytes) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    first = opened(sys.stdin.buffer.read())
    first.run(None, {"given": np.zeros(1, dtype=np.float32)})
    peak, anonymous = _peak_bytes(), _of_this_process("RssAnon")
    session = opened(path)
    inputs = {}
    for given in session.get_inputs():
        if given.type == "tensor(int64)":  # ids of tokens, or a mask without padding
            inputs[given.name] = np.full((batch, length), given.name == "attention_mask", dtype=np.int64)
        else:
            precision = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(given.type, np.float32)
            inputs[given.name] = np.zeros((batch, *given.shape[1:]), dtype=precision)
    for _ in range(RUNS):
        session.run(None, inputs)
    after = _of_this_process("RssAnon")
    rise = None if anonymous is None or after is None else (after - anonymous) / 1e6
    print(json.dumps({"peak_memory_mb": (_peak_bytes() - peak) / 1e6, "anonymous_memory_mb": rise}))


if __name__ == "__main__":
    answer(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
