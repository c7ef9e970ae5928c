"""A graph as an ExecuTorch program whose work is done by XNNPACK, in float32 and in 8 bits by the same steps.

export -> rewritten -> (observed on real inputs, then quantised) -> exported again -> lowered.

Whatever XNNPACK does not take stays with ExecuTorch's portable kernels, which are hundreds of times slower for convolutions
and products: a graph of which it takes nothing is refused, and what stays outside is told.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from ...errors import BadInput
from ...interfaces import Exportable
from ...interfaces.exportable import BATCH
from ..graphs import of_module
from ..onnx import evaluating, interruptible, silence
from .format import Inputs
from .programs import dynamic_shapes, of_call
from .xnnpack_constants import with_constants_inside

MOST_EXAMPLES = 256
"""The largest batch of a file: memory for its answers is set aside for so many, and a larger one is refused."""

SAYS = "limbeck"
"""The method of a program that gives what it says of itself, as JSON."""

_ATEN = torch.ops.aten
_MOVES = ("clone", "permute", "slice", "squeeze", "unsqueeze", "view")


def lowered(graph: Exportable, said: str, inputs: Inputs | None) -> Any:
    """The program (``ExecutorchProgramManager``) of a graph, whose method ``limbeck`` answers with ``said``.

    In 8 bits where there are ``inputs``: of a graph that names operators (:attr:`Exportable.int8`) the linear layers, with int8 weights
    for each channel and activations quantised as they come, tables of embeddings in float32; of any other all that XNNPACK takes,
    with int8 weights for each output channel of convolutions and products, and activations in the ranges that the inputs give.

    Raises :class:`BadInput` where the graph cannot be exported, an operator has no kernel in ExecuTorch, or none is XNNPACK's.
    """
    from executorch.exir import EdgeProgramManager, ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir.passes import MemoryPlanningPass

    module = graph.module
    examples = tuple(_as_many(one.example.cpu(), MOST_EXAMPLES) for one in graph.inputs.values())
    shapes = dynamic_shapes(graph, {BATCH: MOST_EXAMPLES})
    with interruptible(), evaluating(module), torch.no_grad(), silence():
        try:
            if inputs is not None and graph.int8:
                module = _with_int8_products(module)
            if inputs is not None and graph.parts is not None:
                module = _joined(*graph.parts, inputs)
            first = torch.export.export(module, examples, dynamic_shapes=of_call(module, shapes))
            module = rewritten(first.module())
            if inputs is not None and graph.parts is None and not graph.int8:
                module = _observed_and_quantised(module, examples, shapes, graph, inputs)
            program = torch.export.export(module, examples, dynamic_shapes=of_call(module, shapes))
        except BadInput:
            raise
        except Exception as error:
            raise BadInput(
                f"{graph.name} cannot be lowered to ExecuTorch: its forward must be traceable by torch.export with any number of "
                f"examples. ({type(error).__name__}: {_first_line(error)})"
            ) from error
        try:
            edge = to_edge_transform_and_lower(
                program, partitioner=[_partitioner(graph)], constant_methods={SAYS: said}
            )
        except Exception as error:
            raise BadInput(
                f"{graph.name} cannot be lowered to ExecuTorch: XNNPACK takes an operator that it cannot hold, "
                f"{_at_fault(error, first)}. ({_first_line(error)})"
            ) from error
        delegated = edge.exported_program()
        if not _computes(delegated.graph_module):
            raise BadInput(
                f"{graph.name} cannot be lowered to ExecuTorch: XNNPACK takes none of its operators "
                f"({_told(outside(delegated.graph_module), first)}), and without it a file would be hundreds of times slower."
            )
        with_constants_inside(delegated.graph_module)
        # made anew, since it holds what its delegates asked for
        edge = EdgeProgramManager(delegated, {SAYS: said}, edge.compile_config)
        try:
            # an input that is not planned is read where it lies: no memory for the largest, and no copy
            made = edge.to_executorch(
                ExecutorchBackendConfig(memory_planning_pass=MemoryPlanningPass(alloc_graph_input=False))
            )
        except Exception as error:
            raise BadInput(
                f"{graph.name} cannot be lowered to ExecuTorch: an operator has no kernel there "
                f"({_told(outside(delegated.graph_module), first)}). ({_first_line(error)})"
            ) from error
    return made


def _partitioner(graph: Exportable) -> Any:
    """What chooses the operators for XNNPACK.

    A new dimension behind the last is left outside where two dimensions are unknown: the partitioner would take it, and the
    delegate then refuse it. It moves nothing, and costs next to nothing outside.
    """
    from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS, UnsqueezeCopyConfig
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    unknown = {side for one in graph.inputs.values() for side in one.shape if isinstance(side, str)}
    left_out = () if len(unknown) < 2 else (UnsqueezeCopyConfig,)
    return XnnpackPartitioner(configs=[one for one in ALL_PARTITIONER_CONFIGS if one not in left_out])


def rewritten(module: fx.GraphModule) -> fx.GraphModule:
    """An exported module, changed in place into operators of the same answer that XNNPACK takes with any number of examples.

    A mean over the area keeps its dimensions, and a shape whose one unknown is the batch is told as -1: what is left of either would
    part the network in two, with a copy between them. A convolution along positions of which any number will do becomes one over an
    area of width 1: XNNPACK would make it so itself, by reshapes that it refuses where two dimensions are unknown.
    """
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        if node.target is _ATEN.mean.dim and _over_area(node):
            shape = node.args[0].meta["val"].shape
            node.args = (node.args[0], [2, 3], True)
            with module.graph.inserting_after(node):
                flat = module.graph.call_function(_ATEN.reshape.default, (node, [-1, int(shape[1])]))
            node.replace_all_uses_with(flat, delete_user_cb=lambda user, flat=flat: user is not flat)
        elif node.target in (_ATEN.view.default, _ATEN.reshape.default):
            sides = list(node.args[1])
            if sum(isinstance(side, fx.Node) for side in sides) == 1 and -1 not in sides and _of_one_unknown(node):
                node.args = (node.args[0], [-1 if isinstance(side, fx.Node) else side for side in sides])
        elif node.target is _ATEN.flatten.using_ints:
            before, after = node.args[0].meta["val"].shape, node.meta["val"].shape
            if len(after) == 2 and len(before) > 2 and _of_one_unknown(node):
                node.target, node.args, node.kwargs = _ATEN.reshape.default, (node.args[0], [-1, int(after[1])]), {}
        elif node.target is _ATEN.conv1d.default and _unknowns(node.args[0]) > 1:
            _over_a_narrow_area(module, node)
    module.graph.eliminate_dead_code()
    module.recompile()
    for part in module.modules():
        # exported again, such a buffer stands among those that are kept as well, which ExecuTorch refuses
        part._non_persistent_buffers_set.clear()
    return module


def _over_a_narrow_area(module: fx.GraphModule, node: fx.Node) -> None:
    """In the place of ``conv1d`` a ``conv2d`` of its input (B, C, L, 1) and weights (O, C, K, 1), whose last dimension is taken off again.

    The dimension is put on and taken off outside of the delegate, where nothing is moved by either.
    """
    image, weight, bias, stride, padding, dilation, groups = (
        *node.args,
        *(None, [1], [0], [1], 1)[len(node.args) - 2 :],
    )
    assert isinstance(weight, fx.Node)
    assert isinstance(weight.target, str)
    *path, last = weight.target.split(".")
    holder = module.get_submodule(".".join(path))
    name = f"{last}_over_area"
    if not hasattr(holder, name):
        holder.register_parameter(name, nn.Parameter(getattr(holder, last).detach().unsqueeze(-1), requires_grad=False))
    sides = ([*stride, 1], [*padding, 0], [*dilation, 1])  # type: ignore[misc]
    with module.graph.inserting_before(node):
        wide = module.graph.call_function(_ATEN.unsqueeze.default, (image, -1))
        weights = module.graph.get_attr(".".join([*path, name]))
        made = module.graph.call_function(_ATEN.conv2d.default, (wide, weights, bias, *sides, groups))
        narrow = module.graph.call_function(_ATEN.squeeze.dim, (made, -1))
    node.replace_all_uses_with(narrow)


def outside(module: fx.GraphModule) -> Counter[str]:
    """How often each operator of a lowered graph stands outside of a delegate, by its name."""
    return Counter(_name(node) for node in module.graph.nodes if _works(node))


def _of_one_unknown(node: fx.Node) -> bool:
    """Whether what goes in and what comes out have the batch alone as their unknown: XNNPACK refuses more, late."""
    shapes = (node.args[0].meta["val"].shape, node.meta["val"].shape)  # type: ignore[union-attr]
    return all(not isinstance(shape[0], int) and all(isinstance(side, int) for side in shape[1:]) for shape in shapes)


def _unknowns(node: Any) -> int:
    """How many dimensions of a value are not known."""
    return sum(not isinstance(side, int) for side in node.meta["val"].shape)


def _over_area(node: fx.Node) -> bool:
    image, dims, keeps = node.args[0], node.args[1], len(node.args) > 2 and bool(node.args[2])
    assert isinstance(image, fx.Node)
    shape = image.meta["val"].shape
    return (
        not keeps
        and not node.kwargs
        and len(shape) == 4
        and isinstance(shape[1], int)
        and sorted(int(one) % 4 for one in dims) == [2, 3]  # type: ignore[union-attr]
    )


def _with_int8_products(module: nn.Module) -> nn.Module:
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerAxis, quantize_

    ours = copy.deepcopy(module)
    quantize_(ours, Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerAxis(0)))
    return ours


def _observed_and_quantised(
    module: nn.Module, examples: tuple[Tensor, ...], shapes: Any, graph: Exportable, inputs: Inputs
) -> Any:
    """PyTorch 2's way of post-training quantisation, for XNNPACK."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    if not inputs:
        raise BadInput(f"{graph.name} cannot be written in 8 bits: there is no example to calibrate on.")
    # exported once more, since the quantiser reads the shapes of what is new as well
    program = torch.export.export(module, examples, dynamic_shapes=of_call(module, shapes))
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    observed = prepare_pt2e(program.module(), quantizer)
    for batch in inputs:
        observed(*(torch.from_numpy(batch[name]) for name in graph.inputs))
    return convert_pt2e(observed)


def _joined(front: Exportable, behind: Exportable, inputs: Inputs) -> nn.Module:
    """A front end as it is, and the network behind it in 8 bits, in the ranges of what the front end makes of ``inputs``."""
    ask = of_module(front)
    made: Inputs = [{name: ask(batch)[0] for name in behind.inputs} for batch in inputs]
    examples = tuple(_as_many(one.example.cpu(), MOST_EXAMPLES) for one in behind.inputs.values())
    shapes = dynamic_shapes(behind, {BATCH: MOST_EXAMPLES})
    first = torch.export.export(behind.module, examples, dynamic_shapes=of_call(behind.module, shapes))
    return nn.Sequential(
        front.module, _observed_and_quantised(rewritten(first.module()), examples, shapes, behind, made)
    )


def _as_many(example: Tensor, count: int) -> Tensor:
    """An example of as many as a batch can hold, contiguous.

    One of fewer than 16 would not do: torch chooses another algorithm for their convolutions, and ExecuTorch takes that choice
    for a bound of 15 examples, whatever bound it was told.
    """
    times = [math.ceil(count / len(example)), *[1] * (example.dim() - 1)]
    return example.repeat(times)[:count].contiguous()


def _computes(module: fx.GraphModule) -> bool:
    """Whether a delegate of a lowered graph does more than move numbers."""
    held = [getattr(module, str(node.target)) for node in module.graph.nodes if node.op == "get_attr"]
    inside = (one.original_module.graph.nodes for one in held if hasattr(one, "original_module"))
    return any(_works(node) and _bare(_name(node)) not in _MOVES for nodes in inside for node in nodes)


def _works(node: fx.Node) -> bool:
    """Whether a node is an operator that computes something."""
    return node.op == "call_function" and not any(
        word in str(node.target) for word in ("call_delegate", "getitem", "sym_size", "function alloc")
    )


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _told(found: Mapping[str, int], program: Any) -> str:
    """Operators by name, each with the layer in which the exported program has one of that name."""
    where: dict[str, str] = {}
    for node in program.graph.nodes:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        if node.op == "call_function" and stack and stack[-1][0]:
            where.setdefault(_bare(_name(node)), stack[-1][0])
    layers = {name: where.get(_bare(name)) for name in found}
    return ", ".join(name if layer is None else f"{name} of {layer}" for name, layer in layers.items()) or "none"


def _at_fault(error: Exception, program: Any) -> str:
    """The operator at which the lowering failed: what its innermost function that has a node was about."""
    found, trace = None, error.__traceback__
    while trace is not None:
        node = trace.tb_frame.f_locals.get("node")
        found, trace = node if isinstance(node, fx.Node) else found, trace.tb_next
    return "which is not told" if found is None else _told(Counter([_name(found)]), program)


def _bare(name: str) -> str:
    """An operator's name without its overload, and without what says that it copies."""
    parts = name.removeprefix("aten.").split(".")
    return parts[0].removesuffix("_copy")


def _first_line(error: Exception) -> str:
    lines: Sequence[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else "no reason given"
