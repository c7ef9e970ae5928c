"""What a model costs: parameters and multiplications; and, once exported, throughput, memory and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..models.inference import device_of
from ..models.onnx_file import OnnxFile
from .latency import RUNS_IN_A_TURN, Run, burst
from .memory import memory_mb
from .onnx import evaluating
from .runtime import THREADS, example_inputs, open_session, runtime_name
from .scheduling import long_turns

THROUGHPUT_BATCH = 64
THROUGHPUT_SECONDS = 0.5


def parameters(model: nn.Module) -> int:
    """How many numbers are learned: every parameter once, shared ones too; buffers are not counted.

    An ONNX file's parameters are the numbers that it keeps, those of folded normalisation among them.
    """
    files = sum(module.parameter_count for module in model.modules() if isinstance(module, OnnxFile))
    return files + sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, example: Tensor | Sequence[Tensor] | Mapping[str, Tensor]) -> int:
    """Multiply-accumulates of one example's pass: those of convolutions, matrix products and attention.

    ``example`` is what the model is called with, (1, ...) each: an input, several in their order, or by name.

    Element-wise work (biases, normalisation, activations, pooling) is not counted, as is the custom.
    """
    device = device_of(model)
    named = {name: value[:1].to(device) for name, value in example.items()} if isinstance(example, Mapping) else {}
    in_order = [example] if isinstance(example, Tensor) else [] if isinstance(example, Mapping) else list(example)
    in_order = [value[:1].to(device) for value in in_order]
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # fused transformer layers are not seen by the counter
    try:
        with evaluating(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(*in_order, **named)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() // 2


def measure_onnx(path: Path, *, seconds: float | None = None, length: int = 32) -> dict[str, Any]:
    """What an exported model costs in ONNX Runtime beside its latency (:func:`.latency.compare_latency`).

    ``length`` is that of the inputs, where any will do.
    Returns ``throughput_per_s`` (examples a second at ``throughput_batch``, by the processor time of one thread),
    ``peak_memory_mb`` and ``anonymous_memory_mb`` (:func:`.memory.memory_mb`, at batch 1), ``bytes`` (the file),
    ``threads`` and ``runtime``. ``seconds`` (None: :data:`THROUGHPUT_SECONDS`) is spent on throughput; loading and memory come on top.
    """
    path = Path(path)
    session = open_session(path)
    many = partial(session.run, None, example_inputs(session, THROUGHPUT_BATCH, length))
    return {
        **throughput(many, THROUGHPUT_BATCH, seconds=seconds),
        **memory_mb(path, example_inputs(session, 1, length)),
        "bytes": path.stat().st_size,
        "threads": THREADS,
        "runtime": runtime_name(),
    }


def throughput(many: Run, batch: int, *, seconds: float | None = None) -> dict[str, float]:
    """``throughput_per_s`` and ``throughput_batch`` of what answers so many examples at a time."""
    with long_turns(RUNS_IN_A_TURN * burst(many, 0, least=1).typical_ms):
        batches = burst(many, THROUGHPUT_SECONDS if seconds is None else seconds, least=2)
    return {"throughput_per_s": batch / batches.typical_ms * 1e3, "throughput_batch": batch}
