"""ONNX with weights in 4 bits, asked in ONNX Runtime: a third or less of the file in float32, computed in float32.

Weights of convolutions and products are whole multiples, -7 to 7, of a scale for each output channel, and become float32 when the file
is loaded: it takes less room on disk, not in memory, and answers about as fast as the file in float32. Activations are not quantised, so
there is nothing to calibrate. A table of embeddings keeps 8 bits, with a scale for each row, as in :mod:`limbeck.deploy.formats.onnx_int8`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
from onnx import TensorProto, helper, numpy_helper

from ...interfaces import Exportable
from ..graphs import of_file
from ..memory import memory_mb
from ..onnx import translate, written
from ..runtime import runtime_name
from .format import Format, Inputs
from .onnx import ANY
from .onnx_int8 import shorten_names, tables_by_row, takers_of

LEVELS = 7
OPSET = 21
"""The first whose ``DequantizeLinear`` takes 4 bits."""
SMALLEST = 64
"""Weights of a tensor below which its scales would take as much as they save."""


def write(graph: Exportable, path: Path, inputs: Inputs) -> None:
    """Writes a graph with weights in 4 bits; there is nothing to calibrate. Raises :class:`BadInput` where it cannot be exported."""
    del inputs
    proto = translate(graph, ANY)
    del proto.graph.value_info[:]
    if "Gather" in graph.int8:
        tables_by_row(proto)
    if any(one.domain == "" and one.version < OPSET for one in proto.opset_import):
        proto = onnx.version_converter.convert_version(proto, OPSET)
    weights_by_channel(proto)
    shorten_names(proto.graph)
    with written(proto, path, graph.said, name=graph.name):
        pass


def weights_by_channel(proto: onnx.ModelProto) -> None:
    """Quantises every weight that nothing but convolutions and products take as their second input: -7 to 7, with a scale for each
    output channel.

    A channel w becomes round(7 w / max |w|), and ``DequantizeLinear`` makes float32 of it again.
    """
    graph = proto.graph
    uses = takers_of(graph)
    for weight in list(graph.initializer):
        takers = uses.get(weight.name, [])
        axes = {_channels(node, len(weight.dims)) if place == 1 else None for node, place in takers}
        axis = axes.pop() if len(axes) == 1 else None
        if weight.data_type != TensorProto.FLOAT or axis is None or np.prod(weight.dims) < SMALLEST:
            continue
        _quantise(graph, weight, axis)


def _channels(node: onnx.NodeProto, dims: int) -> int | None:
    """The axis of a weight's output channels; None where the node is neither a convolution nor a product with it."""
    if node.op_type == "Conv" and dims >= 3:
        return 0
    if node.op_type == "Gemm" and dims == 2:
        return 0 if any(one.name == "transB" and one.i for one in node.attribute) else 1
    return 1 if node.op_type == "MatMul" and dims == 2 else None


def _quantise(graph: onnx.GraphProto, weight: onnx.TensorProto, axis: int) -> None:
    values = numpy_helper.to_array(weight)
    others = tuple(place for place in range(values.ndim) if place != axis)
    scale = np.abs(values).max(axis=others, keepdims=True) / np.float32(LEVELS)
    scale[scale == 0] = 1
    steps = np.rint(values / scale).astype(np.int8)
    name = weight.name
    graph.initializer.remove(weight)
    graph.initializer.extend(
        [
            helper.make_tensor(f"{name}.int4", TensorProto.INT4, values.shape, steps.ravel()),
            numpy_helper.from_array(scale.astype(np.float32).ravel(), f"{name}.scale"),
        ]
    )
    node = helper.make_node("DequantizeLinear", [f"{name}.int4", f"{name}.scale"], [name], name=name, axis=axis)
    graph.node.insert(0, node)


ONNX_INT4 = Format(
    name="onnx-int4",
    suffix=".int4.onnx",
    extra=None,
    missing=lambda: None,
    write=write,
    ask=of_file,
    runtime=runtime_name,
    exact=False,
    predicts=True,
    memory=memory_mb,
    weight_levels=LEVELS,
    rounds_activations=False,
)
