"""LiteRT (``.tflite``), in float32 and with int8 weights: the fastest runtime measured, in 58 MB and without torch.

In 8 bits only the weights are, each channel with its own scale, and they are turned into float32 when a file is loaded: so its answers
move least, it is as fast as in float32, and nothing is calibrated. All of it in 8 bits is what :mod:`limbeck.deploy.formats.micro` is for.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ...errors import BadInput, not_installed
from ...files import atomic_path
from ...interfaces import Exportable, Graph
from ...interfaces.exportable import BATCH, LENGTH
from ..memory import memory_mb
from ..onnx import evaluating, interruptible, silence
from ..runtime import THREADS
from . import litert_environment
from .format import Format, Inputs
from .given import gate
from .programs import dynamic_shapes, of_call
from .quiet import quiet

Way = Literal["float32", "weights", "static"]

SCRIPT = Path(__file__).with_name("litert_convert.py")


def missing() -> str | None:
    """What to install to write such files; None where it is there."""
    if find_spec("ai_edge_litert") is None:
        return str(not_installed("files of LiteRT", ModuleNotFoundError(name="ai-edge-litert"), "litert"))
    return litert_environment.missing()


def convert(graph: Exportable, path: Path, way: Way, inputs: Inputs = ()) -> None:
    """Writes a graph as a LiteRT file, in one of the ways of :mod:`limbeck.deploy.formats.litert_convert`.

    Raises :class:`BadInput` where it cannot be exported or converted, or the converter's environment cannot be made.
    """
    module, shapes = graph.module, dynamic_shapes(graph, {})
    examples = tuple(one.example.cpu() for one in graph.inputs.values())
    with interruptible(), evaluating(module), torch.no_grad(), silence():
        try:
            program = torch.export.export(module, examples, dynamic_shapes=of_call(module, shapes))
        except Exception as error:
            raise BadInput(
                f"{graph.name} cannot be converted to LiteRT: its forward must be traceable by torch.export with any number of "
                f"examples. ({type(error).__name__}: {_first_line(str(error))})"
            ) from error
    with tempfile.TemporaryDirectory() as folder, atomic_path(path) as temporary:
        files = {name: str(Path(folder) / name) for name in ("program.pt2", "job.json", "calibration.npz")}
        torch.export.save(program, files["program.pt2"])
        if inputs:
            arrays: dict[str, Any] = {
                f"{name}:{place}": array for place, batch in enumerate(inputs) for name, array in batch.items()
            }
            np.savez(files["calibration.npz"], **arrays)
        job = {
            "program": files["program.pt2"],
            "out": str(Path(folder) / "made.tflite"),
            "inputs": [{"name": name, **one.said} for name, one in graph.inputs.items()],
            "most": dict(graph.most),
            "way": way,
            "calibration": files["calibration.npz"],
        }
        Path(files["job.json"]).write_text(json.dumps(job), encoding="utf-8")
        try:
            litert_environment.run(SCRIPT, [files["job.json"]])
        except ValueError as error:
            raise BadInput(f"{graph.name} cannot be converted to LiteRT: {error}") from error
        temporary.write_bytes(Path(job["out"]).read_bytes())


def write(graph: Exportable, path: Path, inputs: Inputs = ()) -> None:
    """Writes a graph in float32; there is nothing to calibrate. Raises as :func:`convert`."""
    del inputs
    convert(graph, path, "float32")


def write_int8(graph: Exportable, path: Path, inputs: Inputs = ()) -> None:
    """Writes a graph with int8 weights; there is nothing to calibrate. Raises as :func:`convert`."""
    del inputs
    convert(graph, path, "weights")


def ask(path: Path) -> Graph:
    """A file, opened by the runtime. Raises :class:`BadInput` where it is none, or it is damaged.

    What it gives back raises :class:`BadInput` as :func:`limbeck.deploy.formats.given.checked` does.
    """
    if find_spec("ai_edge_litert") is None:
        raise BadInput(missing() or "")
    from ai_edge_litert.interpreter import Interpreter

    try:
        with quiet():
            interpreter = Interpreter(str(path), num_threads=THREADS)
            interpreter.allocate_tensors()  # where it says that it has a delegate
        signature = next(iter(interpreter.get_signature_list()))
        runner = interpreter.get_signature_runner(signature)
    except (RuntimeError, ValueError, StopIteration) as error:
        raise BadInput(
            f"{path} is no LiteRT file that Limbeck wrote, or it is damaged: {' '.join(str(error).split())[:300]}"
        ) from error
    details = runner.get_input_details()
    takes = {name: _said(one) for name, one in details.items()}
    places = [int(one["index"]) for one in details.values()]
    answers = [int(one["index"]) for one in runner.get_output_details().values()]
    laid_out: list[tuple[int, ...]] = []
    passed = gate(path, takes, {})

    def answer(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        given = passed(inputs)
        shapes = [array.shape for array in given]
        if shapes != laid_out:
            for place, shape in zip(places, shapes, strict=True):
                interpreter.resize_tensor_input(place, shape)
            interpreter.allocate_tensors()
            laid_out[:] = shapes
        for place, array in zip(places, given, strict=True):
            interpreter.set_tensor(place, array)
        interpreter.invoke()
        return [interpreter.get_tensor(place) for place in answers]

    return answer


def runtime() -> str:
    """For the record: ``LiteRT 2.3.0, CPU``."""
    return f"LiteRT {version('ai-edge-litert')}, CPU"


def _said(details: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says of an input: whatever varies is the batch where it comes first, and the length elsewhere."""
    shape = [
        int(side) if side >= 0 else BATCH if place == 0 else LENGTH
        for place, side in enumerate(details["shape_signature"])
    ]
    return {"dtype": np.dtype(details["dtype"]).name, "shape": shape}


def _first_line(text: str) -> str:
    return next((line.strip()[:300] for line in text.splitlines() if line.strip()), "no reason given")


LITERT = Format(
    name="litert",
    suffix=".tflite",
    extra="litert",
    missing=missing,
    write=write,
    ask=ask,
    runtime=runtime,
    predicts=True,
    memory=memory_mb,
    version=2,
)
LITERT_INT8 = Format(
    name="litert-int8",
    suffix=".int8.tflite",
    extra="litert",
    missing=missing,
    write=write_int8,
    ask=ask,
    runtime=runtime,
    exact=False,
    weight_levels=127,
    rounds_activations=False,
    predicts=True,
    memory=memory_mb,
    version=2,
)
