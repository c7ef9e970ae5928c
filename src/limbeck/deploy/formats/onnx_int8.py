"""ONNX in 8 bits, asked in ONNX Runtime: static where convolutions do the work, dynamic where matrix products do.

**Static** (QDQ, activations uint8, weights int8 with a scale for each output channel): the ranges of all activations are those
that calibration inputs gave. int8 activations, the quantiser's default, would leave additions, and convolutions that end in one, in
float32 on x86. Products answer in float32, and what follows the last of them stays so: 256 levels over the range of logits, or of
numbers in their unit, are coarser than their differences.

**Dynamic** (an ``Exportable`` that names operators, ``int8``): activations are quantised as they come, weights of products int8 with a
scale for each output channel. A table of embeddings is quantised here, with a scale for each row: the quantiser of ONNX Runtime
gives a table one scale, whatever ``per_channel`` says, so that one large row coarsens all others.

Weights keep seven bits: a CPU with AVX2 or AVX-512 but without VNNI adds products of eight in 16 bits, and cuts them off.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, compose, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from ...errors import BadInput
from ...interfaces import Exportable
from ...models.fake_quantization import FEWEST_ROWS
from ..graphs import of_file, of_module
from ..memory import memory_mb
from ..onnx import silence, translate, written
from ..runtime import runtime_name
from .format import Format, Inputs
from .onnx import ANY

PRODUCTS = ("Gemm", "MatMul")
INTEGER = (
    "ConvInteger", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QAttention", "QGemm", "QLinearAdd",
    "QLinearAveragePool", "QLinearConv", "QLinearGlobalAveragePool", "QLinearMatMul", "QLinearMul",
)  # fmt: skip
FLOAT = ("Attention", "Conv", "FusedConv", "FusedGemm", "FusedMatMul", "Gemm", "MatMul")


def write(graph: Exportable, path: Path, inputs: Inputs) -> None:
    """Writes a graph in 8 bits; ``inputs`` are real ones, batch by batch, for the static way to calibrate on.

    Raises :class:`BadInput` where it cannot be exported, or there is nothing to calibrate on.
    """
    front, behind = graph.parts or (None, graph)
    proto = translate(behind, ANY)
    # Shapes that the exporter noted of weights are wrong once the quantiser has turned them round.
    del proto.graph.value_info[:]
    with silence(), tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "int8.onnx"
        if graph.int8:
            _dynamic(proto, made, graph.int8)
        else:
            _static(proto, made, inputs if front is None else answers_of(front, inputs), graph.name)
        quantised = onnx.load(made)
    if front is not None:
        quantised = joined(translate(front, ANY), quantised)
    shorten_names(quantised.graph)
    with written(quantised, path, graph.said, name=graph.name):
        pass


def answers_of(front: Exportable, inputs: Inputs) -> Inputs:
    """What the network behind a front end is given, of what the front end is given, batch by batch."""
    ask = of_module(front)
    return [{front.says: ask(batch)[0]} for batch in inputs]


def joined(front: onnx.ModelProto, behind: onnx.ModelProto) -> onnx.ModelProto:
    """One model of two: the second takes what the first answers."""
    front = compose.add_prefix(front, "front.", rename_inputs=False, rename_outputs=False)
    front.ir_version = behind.ir_version = max(front.ir_version, behind.ir_version)
    (said,), (taken,) = front.graph.output, behind.graph.input
    return compose.merge_models(front, behind, [(said.name, taken.name)])


def _static(proto: onnx.ModelProto, path: Path, inputs: Inputs, name: str) -> None:
    if not inputs:
        raise BadInput(f"{name} cannot be quantised: there are no examples to calibrate its activations on.")
    quantize_static(
        proto,
        path,
        Calibration(inputs),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        nodes_to_exclude=behind_products(proto.graph),
        extra_options={"OpTypesToExcludeOutputQuantization": list(PRODUCTS)},
    )


def behind_products(graph: onnx.GraphProto) -> list[str]:
    """The names of the nodes from which no product or convolution is reached any more.

    That these are excluded leaves them in float32, which it would not do to a node with weights: ONNX Runtime quantises those by
    itself where its neighbours are quantised.
    """
    before: set[str] = set()  # values from which one is reached
    behind = []
    for node in reversed(graph.node):  # which stand in an order in which they can be computed
        if node.op_type in (*PRODUCTS, "Conv") or before.intersection(node.output):
            before.update(node.input)
        else:
            behind.append(node.name)
    return behind


def _dynamic(proto: onnx.ModelProto, path: Path, operators: Sequence[str]) -> None:
    if "Gather" in operators:
        tables_by_row(proto)
    quantize_dynamic(
        proto,
        path,
        op_types_to_quantize=[one for one in operators if one != "Gather"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
    )


def tables_by_row(proto: onnx.ModelProto, fewest: int = FEWEST_ROWS) -> None:
    """Quantises every table (V, H) of ``fewest`` rows and more that nothing but ``Gather`` takes rows of: int8, with a scale for each row.

    A row x becomes round(127 x / max |x|), and what is looked up is multiplied by max |x| / 127, which is looked up beside it.
    Nothing is made larger when the file is loaded: the table stays in 8 bits.
    """
    graph = proto.graph
    uses = takers_of(graph)
    for table in list(graph.initializer):
        takers = uses.get(table.name, [])
        if table.data_type != TensorProto.FLOAT or len(table.dims) != 2 or not takers:
            continue
        if table.dims[0] < fewest:
            continue
        if not all(node.op_type == "Gather" and place == 0 and _axis(node) == 0 for node, place in takers):
            continue
        rows_VH = numpy_helper.to_array(table)
        scale_V1 = np.abs(rows_VH).max(axis=1, keepdims=True) / np.float32(127)
        scale_V1[scale_V1 == 0] = 1
        small_VH = np.rint(rows_VH / scale_V1).astype(np.int8)
        graph.initializer.remove(table)
        graph.initializer.extend(
            [
                numpy_helper.from_array(small_VH, f"{table.name}.int8"),
                numpy_helper.from_array(scale_V1.astype(np.float32), f"{table.name}.scale"),
            ]
        )
        for node, _ in takers:
            _look_up_quantised(graph, node, table.name)


def takers_of(graph: onnx.GraphProto) -> dict[str, list[tuple[onnx.NodeProto, int]]]:
    """By the name of a value the nodes that take it, each with the place of its input."""
    found: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            found.setdefault(name, []).append((node, place))
    return found


def _look_up_quantised(graph: onnx.GraphProto, node: onnx.NodeProto, table: str) -> None:
    """In the place of a ``Gather`` of float32 rows one of 8 bits, one of their scales, and the product of both."""
    place, looked_up = list(graph.node).index(node), node.output[0]
    rows, real, scale = (f"{looked_up}.{part}" for part in ("int8", "real", "scale"))
    made = [
        helper.make_node("Gather", [f"{table}.int8", node.input[1]], [rows], name=rows, axis=0),
        helper.make_node("Cast", [rows], [real], name=real, to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{table}.scale", node.input[1]], [scale], name=scale, axis=0),
        helper.make_node("Mul", [real, scale], [looked_up], name=f"{looked_up}.product"),
    ]
    graph.node.remove(node)
    for offset, one in enumerate(made):
        graph.node.insert(place + offset, one)


def shorten_names(graph: onnx.GraphProto) -> None:
    """Gives all values but inputs and answers names of a few letters, and nodes none: of a small file names are a fifth.

    A graph with graphs inside it, which take values by name, stays as it is.
    """
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        return
    kept = {one.name for one in (*graph.input, *graph.output)} | {""}  # an input that is left out has no name
    short: dict[str, str] = {}

    def of(name: str) -> str:
        return name if name in kept else short.setdefault(name, f"{len(short):x}")

    for node in graph.node:
        node.name = ""
        for names in (node.input, node.output):
            names[:] = [of(name) for name in names]
    for one in graph.initializer:
        one.name = of(one.name)
    del graph.value_info[:]


def _axis(node: onnx.NodeProto) -> int:
    return next((one.i for one in node.attribute if one.name == "axis"), 0)


class Calibration(CalibrationDataReader):
    """Inputs to calibrate on, as ONNX Runtime's quantiser asks for them: batch by batch, then None."""

    def __init__(self, inputs: Inputs) -> None:
        self._left = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override]
        batch = next(self._left, None)
        return None if batch is None else dict(batch)


def kernels(path: Path) -> Mapping[str, Any]:
    """``kernels``: how many products and convolutions ONNX Runtime runs in ``int8`` on this machine, and how many in ``float32``, by the
    operator of the graph that it makes of the file when it is loaded. What is stored in 8 bits need not be computed so.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        options.log_severity_level = 4
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        found = Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)
    return {
        "kernels": {
            kind: {name: found[name] for name in names if found[name]}
            for kind, names in (("int8", INTEGER), ("float32", FLOAT))
        }
    }


ONNX_INT8 = Format(
    name="onnx-int8",
    suffix=".int8.onnx",
    extra=None,
    missing=lambda: None,
    write=write,
    ask=of_file,
    runtime=runtime_name,
    exact=False,
    predicts=True,
    facts=kernels,
    memory=memory_mb,
)
