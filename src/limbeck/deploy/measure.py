"""What a model costs: parameters and multiplications; and, once exported, time, memory and bytes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..models.asking import device_of
from ..models.onnx_file import OnnxModel
from .export import evaluating
from .memory import peak_memory_mb
from .runtime import example_inputs, open_session, runtime_name

THROUGHPUT_BATCH = 64
LEAST_RUNS = 5
ROUNDS = 10


def parameters(model: nn.Module) -> int:
    """How many numbers are learned: every parameter once, shared ones too; buffers are not counted.

    An ONNX file's parameters are the numbers that it keeps, those of folded normalisation among them.
    """
    files = sum(module.parameter_count for module in model.modules() if isinstance(module, OnnxModel))
    return files + sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, example: Tensor | Mapping[str, Tensor]) -> int:
    """Multiply-accumulates of one example's pass: those of convolutions, matrix products and attention.

    ``example`` is an image (1, C, H, W), or a text model's inputs by name, (1, L) each.

    Element-wise work (biases, normalisation, activations, pooling) is not counted, as is the custom.
    """
    device = device_of(model)
    images = [example[:1].to(device, torch.float32)] if isinstance(example, Tensor) else []
    named = {} if isinstance(example, Tensor) else {name: value[:1].to(device) for name, value in example.items()}
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # fused transformer layers are not seen by the counter
    try:
        with evaluating(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(*images, **named)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() // 2


def measure_onnx(path: Path, *, seconds: float = 0.5, threads: int = 1, length: int = 32) -> dict[str, Any]:
    """An exported model's cost in ONNX Runtime on ``threads`` threads.

    ``length`` is the number of tokens, for models of texts.
    Returns ``latency_ms`` (``p50``, ``p95``, ``n`` at batch 1), ``throughput_per_s`` (examples a second at
    ``throughput_batch``), ``peak_memory_mb`` (above the bare runtime, at batch 1), ``bytes`` (the file),
    ``threads`` and ``runtime``. ``seconds`` is spent on latency and on throughput each; loading and memory
    come on top.
    """
    path = Path(path)
    session = open_session(path, threads=threads)
    one = example_inputs(session, 1, length)
    _burst(session, one, seconds / 10)
    latency_ms = summarise(_burst(session, one, seconds))
    many = example_inputs(session, THROUGHPUT_BATCH, length)
    session.run(None, many)
    batch_ms = summarise(_burst(session, many, seconds, least=2))["p50"]
    return {
        "latency_ms": latency_ms,
        "throughput_per_s": THROUGHPUT_BATCH / batch_ms * 1e3,
        "throughput_batch": THROUGHPUT_BATCH,
        "peak_memory_mb": peak_memory_mb(path, length=length, threads=threads),
        "bytes": path.stat().st_size,
        "threads": threads,
        "runtime": runtime_name(),
    }


def compare_latency(
    paths: Mapping[str, Path], *, seconds: float = 2.0, threads: int = 1, length: int = 32
) -> dict[str, Any]:
    """Latency at batch 1 of several exported models, taken in turns, so that noise hits them alike.

    ``seconds`` is for all of them together; ``length`` is the number of tokens, for models of texts. Returns ``latency_ms`` (by name: ``p50``, ``p95``, ``n``),
    ``reference`` (the first name) and ``speedup`` (by name: the reference's p50 over the model's).
    """
    if not paths:
        raise ValueError("compare_latency needs at least one model")
    sessions = {name: open_session(path, threads=threads) for name, path in paths.items()}
    inputs = {name: example_inputs(session, 1, length) for name, session in sessions.items()}
    timings: dict[str, list[float]] = {name: [] for name in paths}
    turn = seconds / ROUNDS / len(paths)
    for round_number in range(ROUNDS):
        names = list(paths) if round_number % 2 == 0 else list(paths)[::-1]
        for name in names:
            sessions[name].run(None, inputs[name])  # not timed: the caches are full of the other model's weights
            timings[name] += _burst(sessions[name], inputs[name], turn, least=1)
    latency_ms = {name: summarise(timed) for name, timed in timings.items()}
    reference = next(iter(paths))
    return {
        "latency_ms": latency_ms,
        "reference": reference,
        "speedup": {name: latency_ms[reference]["p50"] / latency_ms[name]["p50"] for name in paths},
        "threads": threads,
        "runtime": runtime_name(),
    }


def summarise(timings_ms: list[float]) -> dict[str, Any]:
    """Median, 95th percentile and number of timings in milliseconds."""
    return {
        "p50": float(np.percentile(timings_ms, 50)),
        "p95": float(np.percentile(timings_ms, 95)),
        "n": len(timings_ms),
    }


def _burst(session: Any, inputs: dict[str, np.ndarray], seconds: float, *, least: int = LEAST_RUNS) -> list[float]:
    """Milliseconds of each run, for so many seconds and at least so many runs."""
    timings: list[float] = []
    end = time.perf_counter() + seconds
    while len(timings) < least or time.perf_counter() < end:
        start = time.perf_counter_ns()
        session.run(None, inputs)
        timings.append((time.perf_counter_ns() - start) / 1e6)
    return timings
