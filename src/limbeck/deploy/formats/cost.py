"""What the file of a format costs to run, in its own runtime, beside files in ONNX in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadInput
from ...interfaces import Exportable, Graph
from ...interfaces.exportable import BATCH, LENGTH
from ..graphs import of_file
from ..latency import in_turns, summarised
from ..measure import THROUGHPUT_BATCH, throughput
from ..runtime import THREADS, drawn, example_inputs, open_session
from ..timing import ratio
from .format import Format


def running_cost(
    format: Format, path: Path, graph: Exportable, beside: Mapping[str, Path], lengths: Sequence[int]
) -> dict[str, Any]:
    """What a file that was written of a graph costs; ``beside`` are files in ONNX, by name, the first the one to be set beside.

    Latency is at batch 1, in turns with the others, at each of ``lengths`` (none where inputs have one size). Returns

    * ``latency_ms`` and, of several lengths, ``latency_by_length``, as :func:`limbeck.deploy.timing.latency` has it;
    * ``speedup``: over each file beside, by its name, its time over this one's, as :func:`limbeck.deploy.timing.ratio` has it, at
      the usual length;
    * ``clock_over_cpu``, ``busy``, ``narrow``, ``disturbed``, as :func:`limbeck.deploy.latency.compare_latency` has them;
    * ``throughput_per_s`` and ``throughput_batch``, smaller where the file takes no more at a time;
    * ``peak_memory_mb`` and ``anonymous_memory_mb``, None where they are not measured;
    * ``runtime`` and ``threads``.
    """
    ask = format.ask(path)
    by_length = {str(length): _timed(ask, graph, beside, length) for length in lengths or (1,)}
    usual = next(iter(by_length))
    length = int(usual)
    memory = {} if format.memory is None else format.memory(path, made_up(graph, 1, length))
    return {
        **by_length[usual],
        **({"latency_by_length": {at: one["latency_ms"] for at, one in by_length.items()}} if lengths else {}),
        "disturbed": any(one["disturbed"] for one in by_length.values()),
        **_many(ask, graph, length),
        "peak_memory_mb": memory.get("peak_memory_mb"),
        "anonymous_memory_mb": memory.get("anonymous_memory_mb"),
        "runtime": format.runtime(),
        "threads": THREADS,
    }


def made_up(graph: Exportable, batch: int, length: int) -> dict[str, np.ndarray]:
    """Inputs of a graph by name, of so many examples, of ``length`` where any will do: the same each time."""
    random, sizes = np.random.default_rng(0), {BATCH: batch, LENGTH: length}
    return {
        name: drawn(
            random,
            tuple(sizes[side] if isinstance(side, str) else side for side in one.shape),
            one.example.cpu().numpy().dtype,
            None if one.range == "normal" else one.range,
        )
        for name, one in graph.inputs.items()
    }


def _timed(ask: Graph, graph: Exportable, beside: Mapping[str, Path], length: int) -> dict[str, Any]:
    runs = {
        name: partial(of_file(path), example_inputs(open_session(path), 1, length)) for name, path in beside.items()
    }
    bursts = in_turns({"": partial(ask, made_up(graph, 1, length)), **runs})
    found = summarised(bursts)
    told = ("clock_over_cpu", "busy", "narrow", "disturbed")
    return {
        "latency_ms": found["latency_ms"][""],
        "speedup": {name: ratio(bursts[name], bursts[""]) for name in beside},
        **{name: found[name] for name in told},
    }


def _many(ask: Graph, graph: Exportable, length: int) -> dict[str, float]:
    """Throughput, of as many at a time as the file takes, up to the usual number."""
    batch = THROUGHPUT_BATCH
    while True:
        inputs = made_up(graph, batch, length)
        try:
            ask(inputs)
        except BadInput:
            if batch == 1:
                raise
            batch //= 2
            continue
        return throughput(partial(ask, inputs), batch)
