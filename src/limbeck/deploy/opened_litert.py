"""A LiteRT file as :mod:`limbeck.deploy.opened` has one of ONNX"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .opened import Opened
from .runtime import THREADS

LITERT = "LiteRT, CPU"


def in_litert(path: Path, length: int) -> Opened:
    """Opens a LiteRT file; inputs of which any length will do are of ``length``.

    Raises ``ImportError`` where LiteRT is not installed, in a sentence.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError("LiteRT runs such a file, and is not installed: pip install ai-edge-litert") from None
    from importlib import metadata

    interpreter: Any = Interpreter(model_path=str(path), num_threads=THREADS)
    random, inputs = np.random.default_rng(0), dict[str, np.ndarray]()
    for given in interpreter.get_input_details():
        first, *sides = (int(side) for side in given["shape_signature"])
        shape = [1 if first < 0 else first, *(length if side < 0 else side for side in sides)]
        interpreter.resize_tensor_input(given["index"], shape)
        kind = np.dtype(given["dtype"])
        if np.issubdtype(kind, np.floating):
            inputs[given["name"]] = random.standard_normal(shape, dtype=np.float32).astype(kind)
        elif kind in (np.int8, np.uint8):  # of a model that takes its input in 8 bits: every one of them
            inputs[given["name"]] = random.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind)
        else:  # an id in every vocabulary, and no padding in a mask
            inputs[given["name"]] = np.ones(shape, kind)
    interpreter.allocate_tensors()
    for given in interpreter.get_input_details():
        interpreter.set_tensor(given["index"], inputs[given["name"]])
    return Opened(interpreter.invoke, inputs, LITERT, metadata.version("ai-edge-litert"))
