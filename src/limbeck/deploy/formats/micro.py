"""For a microcontroller: a LiteRT file all in 8 bits, one example at a time, asked in TensorFlow Lite for Microcontrollers.

The interpreter that answers here is the one that is compiled for the board, with its reference kernels: it gives the same integers there.
What it needs of flash, beside its own code, is the file, and of memory the arena, whose size it tells.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput, not_installed
from ...interfaces import Exportable, Graph
from ...interfaces.exportable import BATCH
from . import litert_environment
from .format import Format, Inputs
from .given import checked
from .litert import convert
from .quiet import quiet

INT8 = (-128, 127)
LEAST_ARENA = 1 << 20
"""Bytes for activations, beside ten times the file's size, with which files are opened here."""


def missing() -> str | None:
    """What to install to write such files; None where it is there."""
    if find_spec("tflite_micro") is None:
        return str(not_installed("files for microcontrollers", ModuleNotFoundError(name="tflite-micro"), "micro"))
    return litert_environment.missing()


def write(graph: Exportable, path: Path, inputs: Inputs) -> None:
    """Writes a graph all in 8 bits, with its input and its answer, in the ranges that ``inputs`` give.

    Raises :class:`BadInput` where it cannot be converted, there is nothing to calibrate on, the runtime has no kernel for one of its
    operators, or its inputs are no real numbers or of no one size.
    """
    for name, one in graph.inputs.items():
        if one.range != "normal" or any(isinstance(side, str) for side in one.shape[1:]):
            raise BadInput(
                f"{graph.name} cannot be written for a microcontroller: its input {name} must be real numbers of one size "
                f"for each example, and is {one.said['dtype']} {tuple(one.shape)}."
            )
    if not inputs:
        raise BadInput(f"{graph.name} cannot be written in 8 bits: there is no example to calibrate on.")
    convert(graph, path, "static", inputs)
    try:
        ask(path)
    except BadInput as error:
        path.unlink()
        raise BadInput(f"{graph.name} cannot be written for a microcontroller: {error}") from error


def ask(path: Path) -> Graph:
    """A file, opened by the interpreter. Numbers are rounded to the 256 values of the input on the way in, and answers come back in float32.

    Raises :class:`BadInput` where it is no file that Limbeck wrote, it is damaged, or an operator has no kernel. What it gives back raises
    it as :func:`limbeck.deploy.formats.given.checked` does.
    """
    names = _inputs(path)
    with quiet():
        interpreter = _opened(path)
    if interpreter is None:
        raise BadInput(
            f"{path} is no file for a microcontroller that Limbeck wrote, or the interpreter has no kernel for it."
        )
    given = [interpreter.get_input_details(place) for place in range(len(names))]
    takes = {
        name: {"dtype": "float32", "shape": [BATCH, *map(int, one["shape"][1:])]}
        for name, one in zip(names, given, strict=True)
    }
    scale, zero = _steps(interpreter.get_output_details(0))

    def answer(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        arrays = checked(path, takes, inputs, {})
        integers = [_rounded(array, *_steps(one)) for array, one in zip(arrays, given, strict=True)]
        found = []
        for each in zip(*integers, strict=True):
            for place, example in enumerate(each):
                interpreter.set_input(example[None], place)
            interpreter.invoke()
            found.append(interpreter.get_output(0)[0].astype(np.float32))
        return [(np.stack(found) - zero) * scale]

    return answer


def facts(path: Path) -> dict[str, Any]:
    """``flash_bytes``, what the file takes on a board, ``arena_bytes``, the memory in which the interpreter runs it, and ``kernels``, the
    names of those that it needs.

    The interpreter's own code and its stack come to both. On a board with pointers of 32 bits the arena is smaller than here.
    """
    with tempfile.TemporaryFile() as told:
        with quiet(told.fileno()):
            _opened(path).print_allocations()  # to standard error, which is all that the interpreter offers
        told.seek(0)
        said = told.read().decode(errors="replace")
    found = re.search(r"Arena allocation total (\d+) bytes", said)
    return {
        "flash_bytes": path.stat().st_size,
        "arena_bytes": None if found is None else int(found[1]),
        "kernels": _kernels(path),
    }


def memory(path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """The arena as ``peak_memory_mb``: on a board the file lies in flash, and nothing else is asked for."""
    del inputs
    arena = facts(path)["arena_bytes"]
    return {"peak_memory_mb": None if arena is None else arena / 1e6, "anonymous_memory_mb": None}


def runtime() -> str:
    """For the record: ``tflite-micro 0.dev20261023182759, CPU``."""
    return f"tflite-micro {version('tflite-micro')}, CPU"


def _opened(path: Path) -> Any:
    """An interpreter that has run once; None where it cannot."""
    from tflite_micro.python.tflite_micro.runtime import Interpreter

    try:
        # an arena too small ends the process where it is smaller still: one that is large enough for every file
        interpreter = Interpreter.from_file(str(path), arena_size=LEAST_ARENA + 10 * path.stat().st_size)
        interpreter.invoke()
    except (RuntimeError, ValueError):
        return None
    return interpreter


def _inputs(path: Path) -> list[str]:
    """The names of a file's inputs, in the order of its graph."""
    from tflite_micro.python.tflite_micro.runtime import convert_bytearray_to_object

    try:
        content = path.read_bytes()
        if content[4:8] != b"TFL3":
            raise ValueError("it has another beginning")
        model: Any = convert_bytearray_to_object(content)
        names = {one.tensorIndex: one.name.decode() for one in model.signatureDefs[0].inputs}
        return [names[int(place)] for place in model.subgraphs[0].inputs]
    except Exception as error:
        raise BadInput(
            f"{path} is no file for a microcontroller that Limbeck wrote, or it is damaged: {error}."
        ) from error


def _kernels(path: Path) -> list[str]:
    from tflite_micro.python.tflite_micro.runtime import (
        convert_bytearray_to_object,
        get_builtin_code_from_operator_code,
    )
    from tflite_micro.tensorflow.lite.micro.python.schema_py_generated import BuiltinOperator

    names = {code: name for name, code in vars(BuiltinOperator).items() if isinstance(code, int)}
    model: Any = convert_bytearray_to_object(path.read_bytes())
    return sorted(names[get_builtin_code_from_operator_code(one)] for one in model.operatorCodes)


def _steps(details: Mapping[str, Any]) -> tuple[np.float32, int]:
    """The step and the zero of a tensor in 8 bits."""
    kept = details["quantization_parameters"]
    return np.float32(kept["scales"][0]), int(kept["zero_points"][0])


def _rounded(array: np.ndarray, scale: np.float32, zero: int) -> np.ndarray:
    return np.clip(np.rint(array / scale) + zero, *INT8).astype(np.int8)


MICRO = Format(
    name="micro",
    suffix=".micro.tflite",
    extra="micro",
    missing=missing,
    write=write,
    ask=ask,
    runtime=runtime,
    exact=False,
    weight_levels=127,
    facts=facts,
    memory=memory,
    version=2,
)
