"""ExecuTorch (``.pte``), with XNNPACK for what it takes, in float32 and in 8 bits: PyTorch's own runtime for phones and boards.

A file says of itself what it takes (its method ``limbeck``), since the runtime does not hold what it is given to it: images of half
the size are answered, and a wrong type is a bare number on standard error.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import BadInput, not_installed
from ...files import atomic_path
from ...interfaces import Exportable, Graph
from ..onnx import silence
from ..runtime import THREADS
from .executorch_memory import program_memory_mb
from .format import Format, Inputs
from .given import gate
from .quiet import quiet

FORWARD = "forward"


def missing() -> str | None:
    """What to install to write such files; None where it is there."""
    for name in ("executorch", "torchao"):  # which rounds; without it a graph would seem to be what cannot be lowered
        if find_spec(name) is None:
            return str(not_installed("files of ExecuTorch", ModuleNotFoundError(name=name), "executorch"))
    return None


def write(graph: Exportable, path: Path, inputs: Inputs | None = None) -> None:
    """Writes a graph as an ExecuTorch program, in 8 bits where there are ``inputs`` to calibrate on.

    Raises :class:`BadInput` as :func:`limbeck.deploy.formats.xnnpack.lowered` does.
    """
    from .xnnpack import lowered

    with quiet():
        program = lowered(graph, json.dumps(graph.said, allow_nan=False), inputs)
        with atomic_path(path) as temporary:
            temporary.write_bytes(program.buffer)


def ask(path: Path) -> Graph:
    """A program, loaded into the runtime. Raises :class:`BadInput` where it is none that Limbeck wrote, or it is damaged.

    What it gives back raises :class:`BadInput` as :func:`limbeck.deploy.formats.given.checked` does.
    """
    if (why := missing()) is not None:
        raise BadInput(why)
    with quiet(), silence():
        from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
        from executorch.runtime import Runtime

        _unsafe_reset_threadpool(THREADS)
        try:
            program: Any = Runtime.get().load_program(path)
            says = json.loads(program.load_method("limbeck").execute([])[0])
            method = program.load_method(FORWARD)
        except (RuntimeError, ValueError, LookupError, AttributeError, TypeError) as error:
            raise BadInput(
                f"{path} is no ExecuTorch program that Limbeck wrote, or it is damaged: {' '.join(str(error).split())}."
            ) from error
    takes: Mapping[str, Any] = says["inputs"]
    most: dict[str, int] = {}
    for place, one in enumerate(takes.values()):
        for word, size in zip(one["shape"], method.metadata.input_tensor_meta(place).sizes(), strict=True):
            if isinstance(word, str):
                most[word] = size
    passed = gate(path, takes, most)

    def answer(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return [one.numpy() for one in method.execute([torch.from_numpy(one) for one in passed(inputs)])]

    return answer


def facts(path: Path) -> dict[str, Any]:
    """What there is to say of a file: ``most_examples``, the largest batch, ``delegates``, how many parts of the graph XNNPACK
    takes, and ``outside``, how often each operator stands outside of them, by its name."""
    with silence():
        from executorch.exir._serialize._program import deserialize_pte_binary

        program: Any = deserialize_pte_binary(path.read_bytes()).program
    (plan,) = [one for one in program.execution_plan if one.name == FORWARD]
    kernels = [
        plan.operators[one.instr_args.op_index].name
        for chain in plan.chains
        for one in chain.instructions
        if hasattr(one.instr_args, "op_index")
    ]
    sizes = plan.values[plan.inputs[0]].val.sizes
    return {"most_examples": sizes[0], "delegates": len(plan.delegates), "outside": dict(Counter(kernels))}


def runtime() -> str:
    """For the record: ``executorch 1.5.1, XNNPACK, CPU``."""
    return f"executorch {version('executorch')}, XNNPACK, CPU"


EXECUTORCH = Format(
    name="executorch",
    suffix=".pte",
    extra="executorch",
    missing=missing,
    write=lambda graph, path, inputs: write(graph, path),
    ask=ask,
    runtime=runtime,
    facts=facts,
    memory=program_memory_mb,
    version=2,
)
EXECUTORCH_INT8 = Format(
    name="executorch-int8",
    suffix=".int8.pte",
    extra="executorch",
    missing=missing,
    write=write,
    ask=ask,
    runtime=runtime,
    exact=False,
    weight_levels=127,
    facts=facts,
    memory=program_memory_mb,
    version=2,
)
