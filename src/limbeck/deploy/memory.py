"""Memory of an exported model, measured in a fresh process that holds its runtime and what that brings alone.

The file is both the question (:func:`memory_mb`) and, run as a script, the process that answers it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RUNS = 3
ASKED = "--memory"
"""What a script that holds this module is started with, to answer with :func:`answer`."""

FIRST = {
    ".onnx": ("eNrj4LAK4JLkYk3PLEvNE2JLzCsuTy1S4vBMSc0rySypFOLIhLKihGGKuLg4OBiFWLiYOBiTRLigWpBFnVi4GAQEARICE2Y="),
    ".tflite": (
        "eNqTYGBgCHHzMWZg4GMQYRBg4GHgAIqwAHkMQB4DgwQQvwBiZiBmBMswMCj8//+fESrPA9fFAiQhYgEgM4E4AqpHhAEE+MA0SC03kvlAwA3T"
        "VwE1F4SZGBCAEQkzQOVMoG55ANTDAdXPBsSJecXlqUUI9TxQHzFA3QdTywrE6ZllqXlo5kN8zwI2GwCPaBSX"
    ),
}
"""A model of one operation for each runtime, by the suffix of its files, compressed: Identity in ONNX (opset 17), an addition in LiteRT."""

Loaded = Callable[[Mapping[str, Any]], object]


def memory_mb(path: Path, inputs: Mapping[str, Any], *, script: Path = Path(__file__)) -> dict[str, float | None]:
    """What loading and running a model adds to the memory of a process that ran another model before, in MB (10^6 bytes).

    ``inputs`` are the arrays that it is run on, by name. ``peak_memory_mb`` is how far the highest resident memory rises,
    ``anonymous_memory_mb`` how much of it is the process's own and no page of a file (None where the system does not tell: it
    is Linux that does).

    The file's suffix says in which runtime: ``.onnx`` or ``.tflite``; ``script`` is what the fresh process runs, with :data:`ASKED`, the
    file's path and that of the inputs. The other model has one operation. Without it, the figure for a small network would be some
    9 MB whatever its size in ONNX Runtime: pages of the runtime's own code that its first session touches.

    Raises ``RuntimeError`` where the fresh process fails.
    """
    import numpy as np

    # Alone with what is installed: what lies beside this file is called like the library that it is about.
    alone = ["-I"] if sys.flags.isolated else ["-P"] if sys.version_info >= (3, 11) else []
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "inputs.npz"
        np.savez(kept, **inputs)
        command = [sys.executable, *alone, str(script), ASKED, str(Path(path).resolve()), str(kept)]
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"measuring the memory of {path} failed: {done.stderr.decode(errors='replace').strip()}")
    return json.loads(done.stdout.splitlines()[-1])


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
    """Prints what :func:`memory_mb` says of a file that is run on these inputs."""
    suffix = Path(path).suffix
    opened = {".onnx": _in_onnxruntime, ".tflite": _in_litert}[suffix]
    told(path, inputs_path, opened, zlib.decompress(base64.b64decode(FIRST[suffix])))


def told(path: str, inputs_path: str, opened: Callable[[str | bytes], Loaded], small: bytes) -> None:
    """Prints what :func:`memory_mb` says, where ``opened`` loads a file, or the content of one, and ``small`` is the other model."""
    import numpy as np

    with np.load(inputs_path) as kept:  # before the memory is looked at: what the model is asked is no cost of its own
        inputs = {name: kept[name] for name in kept.files}
    first = opened(small)
    first({"given": np.zeros(1, dtype=np.float32)})
    peak, anonymous = _peak_bytes(), _of_this_process("RssAnon")
    run = opened(path)
    for _ in range(RUNS):
        run(inputs)
    after = _of_this_process("RssAnon")
    rise = None if anonymous is None or after is None else (after - anonymous) / 1e6
    # the last line, since runtimes say things too
    print(json.dumps({"peak_memory_mb": (_peak_bytes() - peak) / 1e6, "anonymous_memory_mb": rise}))


def _in_onnxruntime(model: str | bytes) -> Loaded:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)


def _in_litert(model: str | bytes) -> Loaded:
    from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]

    given: dict[str, Any] = {"model_content" if isinstance(model, bytes) else "model_path": model}
    interpreter: Any = Interpreter(**given, num_threads=1)
    places = {one["name"]: one["index"] for one in interpreter.get_input_details()}
    for signature in interpreter.get_signature_list():
        details = interpreter.get_signature_runner(signature).get_input_details()
        places |= {name: one["index"] for name, one in details.items()}

    def run(inputs: Mapping[str, Any]) -> list[Any]:
        for name, array in inputs.items():
            interpreter.resize_tensor_input(places[name], array.shape)
        interpreter.allocate_tensors()
        for name, array in inputs.items():
            interpreter.set_tensor(places[name], array)
        interpreter.invoke()
        return [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]

    return run


if __name__ == "__main__":
    answer(sys.argv[2], sys.argv[3])
