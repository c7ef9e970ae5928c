"""Memory of an ExecuTorch program, measured as :mod:`limbeck.deploy.memory` does, in a process that holds its runtime, which brings torch."""

from __future__ import annotations

import base64
import sys
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..memory import Loaded, memory_mb, told

ADDITION = (
    "eNqtU81Kw0AQnq2xxhokxiA9iITFg4ciqSeVHoooeBBPHgq1+NNGWgwx1BQV8e7jePAsPoIHDz6Az2Gc3cy226iI4IZv/+ebL7MzNQDYOaiu"
    "BV3f93D+PAGyqfGYwbDZUMbexdECEwwcxQpgGbGn4e0jTQ0cNVMo0D0LYUpLA8dxfkN+oyaOFuVsAVbQ2sNVWfO/QJzriJjwgngVGhD3SPBa"
    "yHyrdpzjF/6e0jS1SJtLZw+4R9LYLHaNKIpP2udbiCDqjOxtOSsNNZWIp05gw3+2YIb+2aaQmHJlUD/SyXIambYn7hzS/UfUKF4EJh1wYE56"
    "MimSDv1LWcWwWJT6ijk+NTdR+TRpUZwuzH/htHVOZH1HDfaPnFlMTDkH2EZsIJrVinfLk5s44JteNAjDisfbF1ESXCfaRrcXdvpBdHQZB23c"
    "brbuWmj7kbfnp4NemPSiy9VkEIcBH+Pigox/x/Zv9n/Rf/et7k6vneTcNlv8JwoMwhTG4Oyif3XSzxKxsev7SyCqt87GKwrkbmPfr4oa8uRb"
    "WPiGbvbG+IqihlyW1UuN8qtCdoZWIzzNavq3vMxyfRY1mpQ3wDJfDnorSv9AChxiUnXEiIflckjncslaMYmVrfGYOXu9Rh3JZMkaVVyMzlSO"
    "lzQ7H/EJW0Ogqg=="
)
"""A program of one addition, which XNNPACK does, compressed."""


def program_memory_mb(path: Path, inputs: Mapping[str, Any]) -> dict[str, float | None]:
    """As :func:`limbeck.deploy.memory.memory_mb`, of a program, whose inputs are in its order."""
    from ..standalone import write_standalone  # of which the script knows nothing

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "memory_of_a_program.py"
        write_standalone("limbeck.deploy.formats.executorch_memory", script)
        return memory_mb(path, inputs, script=script)


def opened(model: str | bytes) -> Loaded:
    """A program, by its path or its content, on one thread."""
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    _unsafe_reset_threadpool(1)
    program: Any = Runtime.get().load_program(model if isinstance(model, bytes) else Path(model))
    method = program.load_method("forward")
    return lambda inputs: method.execute([torch.from_numpy(array) for array in inputs.values()])


if __name__ == "__main__":
    told(sys.argv[2], sys.argv[3], opened, zlib.decompress(base64.b64decode(ADDITION)))
