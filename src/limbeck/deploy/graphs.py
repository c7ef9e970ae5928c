"""Graphs as they are asked: a module, and its file in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ..interfaces import Exportable, Graph
from ..models.inference import device_of
from .onnx import evaluating
from .runtime import open_session


def of_module(graph: Exportable) -> Graph:
    """The module itself, in evaluation mode, on the device where it is; its mode is left as it was. Answers in float32."""
    module = graph.module

    def ask(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        device = device_of(module)
        given = (torch.from_numpy(inputs[name]).to(device) for name in graph.inputs)
        with evaluating(module), torch.no_grad():
            return [module(*given).float().cpu().numpy()]

    return ask


def of_file(path: Path) -> Graph:
    """An exported file, on the CPU."""
    session = open_session(path)
    return lambda inputs: [np.asarray(answer) for answer in session.run(None, dict(inputs))]
