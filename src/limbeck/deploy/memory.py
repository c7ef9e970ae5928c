"""Memory of an exported model, measured in a fresh process that holds ONNX Runtime and NumPy alone.

The file is both the question (:func:`memory_mb`) and, run as a script, the process that answers it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUNS = 3
ASKED = "--memory"
"""What a script that holds this module is started with, to answer with :func:`answer`."""

IDENTITY = base64.b64decode(
    "CAg6UAoZCgVnaXZlbhIGYW5zd2VyIghJZGVudGl0eRIIaWRlbnRpdHlaEwoFZ2l2ZW4SCgoICAESBAoCCAFiFAoGYW5zd2VyEgoKCAgBEgQKAggBQgQKABAR"
)
"""A model that gives back its input, as a file's content; any runtime takes it (opset 17)."""


def memory_mb(path: Path, inputs: Mapping[str, Any]) -> dict[str, float | None]:
    """What loading and running a model adds to the memory of a process that ran another model before, in MB (10^6 bytes).

    ``inputs`` are the arrays that it is run on, by name. ``peak_memory_mb`` is how far the highest resident memory rises,
    ``anonymous_memory_mb`` how much of it is the process's own and no page of a file (None where the system does not tell: it
    is Linux that does).

    The other model does nothing, in one node. Without it, the figure for a small network would be some 9 MB whatever its
    size: pages of the runtime's own code that its first session touches.

    Raises ``RuntimeError`` where the fresh process fails.
    """
    import numpy as np

    # Alone with what is installed: what lies beside this file is called like the library that it is about.
    alone = ["-I"] if sys.flags.isolated else ["-P"] if sys.version_info >= (3, 11) else []
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "inputs.npz"
        np.savez(kept, **inputs)
        command = [sys.executable, *alone, __file__, ASKED, str(Path(path).resolve()), str(kept)]
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


def answer(path: str, inputs_path: str) -> None:
    """Prints what :func:`memory_mb` says of a file that is run on these inputs, with another model on standard input."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3

    def opened(model: str | bytes) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    with np.load(inputs_path) as kept:  # before the memory is looked at: what the model is asked is no cost of its own
        inputs = {name: kept[name] for name in kept.files}
    first = opened(sys.stdin.buffer.read())
    first.run(None, {"given": np.zeros(1, dtype=np.float32)})
    peak, anonymous = _peak_bytes(), _of_this_process("RssAnon")
    session = opened(path)
    for _ in range(RUNS):
        session.run(None, inputs)
    after = _of_this_process("RssAnon")
    rise = None if anonymous is None or after is None else (after - anonymous) / 1e6
    print(json.dumps({"peak_memory_mb": (_peak_bytes() - peak) / 1e6, "anonymous_memory_mb": rise}))


if __name__ == "__main__":
    answer(sys.argv[2], sys.argv[3])
