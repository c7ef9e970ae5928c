"""How long exported models take, measured in turns, and whether the machine let them (:mod:`.timing` has the statistics)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from .runtime import THREADS, example_inputs, open_session, runtime_name
from .scheduling import long_turns
from .timing import (
    APART,
    LEAST_ROUNDS,
    Burst,
    Timing,
    clock_over_cpu,
    latency,
    narrow,
    ratio,
    tail,
    typical,
)

LONGEST_SECONDS = 6.0  # of a comparison, all its models together
BURST_SECONDS = 0.008
USUAL_ROUNDS = 50
RUNS_IN_A_BURST = 5  # at least; a run is undisturbed only where the one before it was
RUNS_IN_A_TURN = 3
REPEAT_SECONDS = 0.4
MOST_REPEATS = 10

Run = Callable[[], object]
"""One run of a model on inputs that are at hand, such as ``partial(session.run, None, inputs)``."""


def compare_latency(paths: Mapping[str, Path], *, seconds: float | None = None, length: int = 32) -> dict[str, Any]:
    """Latency at batch 1 of several exported models, in turns of some milliseconds, so that what changes hits them alike.

    Measures until the interval of every ratio to the first model is narrow (:data:`.timing.HALF_WIDTH`), and for ``seconds``
    (None: :data:`LONGEST_SECONDS`) at most, all models together, or six rounds where those take longer. ``length`` is that of the inputs, where any will
    do. Returns

    * ``latency_ms``: by name, as :func:`.timing.latency` has it;
    * ``reference``, the first name, and ``speedup``: by every other name, the reference's time over the model's, as
      :func:`.timing.ratio` has it;
    * ``disturbed``: whether the machine was ``busy`` (``clock_over_cpu``, the worst of the models', is above
      :data:`.timing.APART`), or an interval stayed wide (``narrow`` is false);
    * ``threads`` and ``runtime``.
    """
    if not paths:
        raise ValueError("compare_latency needs at least one model")
    sessions = {name: open_session(path) for name, path in paths.items()}
    runs = {name: partial(session.run, None, example_inputs(session, 1, length)) for name, session in sessions.items()}
    return summarised(in_turns(runs, seconds=seconds)) | {"threads": THREADS, "runtime": runtime_name()}


def in_turns(runs: Mapping[str, Run], *, seconds: float | None = None) -> dict[str, list[Burst]]:
    """The bursts of each model, as :func:`compare_latency` measures them: the first is the one whose ratios are to be narrow."""
    bursts: dict[str, list[Burst]] = {name: [] for name in runs}
    first = {name: burst(run, 0) for name, run in runs.items()}  # lays out memory
    end = time.perf_counter() + (LONGEST_SECONDS if seconds is None else seconds)
    with long_turns(RUNS_IN_A_TURN * max(one.typical_ms for one in first.values())):
        while not _enough(bursts, late=time.perf_counter() >= end):
            names = list(runs) if len(bursts[next(iter(runs))]) % 2 == 0 else list(runs)[::-1]
            for name in names:
                bursts[name].append(burst(runs[name], BURST_SECONDS))
    return bursts


def settled_latency(run: Run, *, limit: float | None = None) -> dict[str, Any]:
    """Median latency of one model, measured again and again until it is known on which side of ``limit`` it lies.

    Without a limit (ms), until its interval is as narrow as that of a ratio is to be; :data:`MOST_REPEATS` times at most.
    Returns what :func:`.timing.typical` says, ``p95`` with its interval (:func:`.timing.tail`), ``repeats``, ``decided``
    (whether the interval settled it), ``limit``, and ``busy`` with ``clock_over_cpu``, as :func:`compare_latency`.
    """
    bursts: list[Burst] = []
    repeats = 0
    with long_turns(RUNS_IN_A_TURN * burst(run, 0).typical_ms):  # which lays out memory too
        while True:
            end = time.perf_counter() + REPEAT_SECONDS
            before = len(bursts)
            while time.perf_counter() < end or len(bursts) < before + LEAST_ROUNDS:
                bursts.append(burst(run, BURST_SECONDS))
            repeats += 1
            found = typical(bursts)
            if decides(found, limit) or repeats >= MOST_REPEATS:
                break
    apart = clock_over_cpu(bursts)
    return {
        **found,
        "p95": tail(bursts),
        "repeats": repeats,
        "decided": decides(found, limit),
        "limit": limit,
        "busy": apart > APART,
        "clock_over_cpu": apart,
    }


def decides(found: Mapping[str, Any], limit: float | None) -> bool:
    """Whether an interval lies on one side of ``limit`` (which is allowed itself); without one, whether it is narrow."""
    return (found["high"] <= limit or found["low"] > limit) if limit is not None else narrow(found, of="value")


def summarised(bursts: Mapping[str, list[Burst]]) -> dict[str, Any]:
    """What :func:`compare_latency` says of the bursts of each model; the first is the reference."""
    reference = next(iter(bursts))
    speedup = {name: ratio(bursts[reference], of) for name, of in bursts.items() if name != reference}
    apart = max(clock_over_cpu(of) for of in bursts.values())
    settled = all(narrow(found) for found in speedup.values())
    return {
        "latency_ms": {name: latency(of) for name, of in bursts.items()},
        "reference": reference,
        "speedup": speedup,
        "clock_over_cpu": apart,
        "busy": apart > APART,
        "narrow": settled,
        "disturbed": apart > APART or not settled,
    }


def burst(run: Run, seconds: float, *, least: int = RUNS_IN_A_BURST) -> Burst:
    """Runs one after the other, for so many seconds and at least so many, after one that fills the caches.

    The clocks are read once between two runs, so that no interruption falls between two timings unseen. What the reading
    takes is taken off.
    """
    end = time.perf_counter_ns() + int(seconds * 1e9)
    readings = [(time.perf_counter_ns(), time.thread_time_ns())]  # one thread at work is the one that calls
    while len(readings) <= least + 1 or readings[-1][0] < end:
        run()
        readings.append((time.perf_counter_ns(), time.thread_time_ns()))
    cost_ns = _reading_ns()
    return Burst(
        tuple(
            Timing(max(after[0] - before[0] - cost_ns, 1) / 1e6, max(after[1] - before[1] - cost_ns, 1) / 1e6)
            for before, after in pairwise(readings)
        )
    )


def _reading_ns() -> int:
    """What one reading of both clocks takes at least."""
    readings = []
    for _ in range(5):
        time.thread_time_ns()
        readings.append(time.perf_counter_ns())
    return min(after - before for before, after in pairwise(readings))


def _enough(bursts: Mapping[str, list[Burst]], *, late: bool) -> bool:
    """Whether no more rounds are needed; looked at after every round."""
    reference, *others = bursts.values()
    if late:
        return len(reference) >= LEAST_ROUNDS
    # few rounds can be narrow by luck, and looking after every one would take longer than the round did
    if len(reference) < USUAL_ROUNDS or len(reference) % 10:
        return False
    return all(narrow(ratio(reference, other)) for other in others)
