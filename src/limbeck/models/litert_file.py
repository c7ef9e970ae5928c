"""A LiteRT file, asked as a session of ONNX Runtime is, so that what asks the one can ask the other. Stands alone; no torch"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LITERT_KEY = "limbeck"  # under which a file of ONNX says what it says of itself
_TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)", "int32": "tensor(int32)"}


class LiteRTTensor(NamedTuple):
    """What a file takes or answers; in the shape a word where any number will do."""

    name: str
    shape: list[int | str]
    type: str


class LiteRTMetadata(NamedTuple):
    """What a file says of itself."""

    custom_metadata_map: dict[str, str]


class LiteRTFile:
    """A ``.tflite`` file with ``FILE.tflite.json`` beside it, which has what the file says of itself.

    It has the methods of ``onnxruntime.InferenceSession`` that ``predict.py`` uses. ``threads``: 0 leaves it to the runtime. Raises
    ``ValueError``, with a sentence, where the runtime is not installed or the file cannot be read.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ModuleNotFoundError:
            raise ValueError(
                f"model {path} is a LiteRT file, which needs its runtime: pip install ai-edge-litert."
            ) from None
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads or None)
            runner = self._interpreter.get_signature_runner(next(iter(self._interpreter.get_signature_list())))
        except (RuntimeError, ValueError, StopIteration) as error:
            raise ValueError(f"model {path} is no LiteRT model, or it is damaged: export or copy it again.") from error
        self._takes, self._answers = runner.get_input_details(), runner.get_output_details()
        self._beside = path.with_name(f"{path.name}.json")
        self._shapes: dict[str, tuple[int, ...]] = {}

    def get_inputs(self) -> list[LiteRTTensor]:
        return [_tensor(name, one) for name, one in self._takes.items()]

    def get_outputs(self) -> list[LiteRTTensor]:
        return [_tensor(name, one) for name, one in self._answers.items()]

    def get_modelmeta(self) -> LiteRTMetadata:
        said = {LITERT_KEY: self._beside.read_text(encoding="utf-8")} if self._beside.is_file() else {}
        return LiteRTMetadata(said)

    def run(self, names: None, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """All answers; ``names`` of answers are not chosen among."""
        shapes = {name: array.shape for name, array in inputs.items()}
        if shapes != self._shapes:
            for name, shape in shapes.items():
                self._interpreter.resize_tensor_input(self._takes[name]["index"], shape)
            self._interpreter.allocate_tensors()
            self._shapes = shapes
        for name, array in inputs.items():
            self._interpreter.set_tensor(self._takes[name]["index"], array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(one["index"]) for one in self._answers.values()]


def _tensor(name: str, details: Mapping[str, Any]) -> LiteRTTensor:
    kind = np.dtype(details["dtype"]).name
    shape = [int(side) if side >= 0 else "any" for side in details["shape_signature"]]
    return LiteRTTensor(name, shape, _TYPES.get(kind, kind))
