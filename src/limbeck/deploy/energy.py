"""Energy of one inference: from the processor's counters where readable, else a labelled estimate."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from .latency import Run, burst
from .runtime import THREADS, example_inputs, open_session
from .timing import APART, Burst, clock_over_cpu

COUNTERS = Path("/sys/class/powercap")
ASSUMED_WATTS_PER_CORE = 10.0
NO_COUNTERS = "no energy counter could be read"


def energy_per_inference(
    path: Path, *, cpu_ms: float, seconds: float = 1.0, counters: Path = COUNTERS
) -> dict[str, Any]:
    """Millijoules of one example's pass in ONNX Runtime: ``value_mj``, ``kind`` and ``how``.

    ``kind`` is ``measured`` where :func:`counted_energy` can tell. Otherwise it is ``estimate``: ``cpu_ms`` (the median
    processor time at batch 1) times an assumed 10 W for each core.
    """
    why: dict[str, Any] | str = NO_COUNTERS
    if has_counters(counters):
        session = open_session(path)
        why = counted_energy(partial(session.run, None, example_inputs(session, 1)), seconds=seconds, counters=counters)
    if not isinstance(why, str):
        return why
    return {
        "value_mj": cpu_ms * ASSUMED_WATTS_PER_CORE * THREADS,
        "kind": "estimate",
        "how": f"median processor time x {ASSUMED_WATTS_PER_CORE:g} W assumed for each of {THREADS} busy core(s); {why}",
    }


def counted_energy(run: Run, *, seconds: float = 1.0, counters: Path = COUNTERS) -> dict[str, Any] | str:
    """Millijoules of one run by the processor's counters: ``value_mj``, ``kind`` and ``how``; or why they do not tell.

    The RAPL counters under ``counters`` must be readable and move, and nothing interrupt: the whole package's energy over a
    loop of ``seconds``, idle power and other processes included, divided by its runs.
    """
    if not has_counters(counters):
        return NO_COUNTERS
    run()
    before = _read(counters)
    timed = burst(run, seconds, least=1)
    joules = _spent_joules(before, _read(counters), counters)
    if joules <= 0:
        return NO_COUNTERS
    return by_counters(joules, timed) or (
        "the machine was busy with other things, and the energy counters tell of those too"
    )


def has_counters(counters: Path = COUNTERS) -> bool:
    """Whether this machine has energy counters that can be read."""
    return bool(_read(counters))


def by_counters(joules: float, timed: Burst) -> dict[str, Any] | None:
    """What the counters say of runs in whose time so much was spent; None where others had the processor meanwhile."""
    if clock_over_cpu([timed]) > APART:
        return None
    how = f"RAPL package counters over {len(timed.runs)} runs, idle power and other processes included"
    return {"value_mj": joules / len(timed.runs) * 1e3, "kind": "measured", "how": how}


def _read(counters: Path) -> dict[str, int]:
    """Microjoules so far of each processor package; those that cannot be read are left out."""
    readings = {}
    # intel-rapl:0 is a package (AMD's too); intel-rapl:0:0 is a part of it and would be counted twice.
    for zone in sorted(counters.glob("intel-rapl:*")):
        if zone.name.count(":") != 1:
            continue
        try:
            if (zone / "name").read_text().strip().startswith("package"):
                readings[zone.name] = int((zone / "energy_uj").read_text())
        except (OSError, ValueError):
            continue  # readable by root alone on most machines: then it is an estimate
    return readings


def _spent_joules(before: dict[str, int], after: dict[str, int], counters: Path) -> float:
    microjoules = 0
    for zone in before.keys() & after.keys():
        spent = after[zone] - before[zone]
        if spent < 0:  # the counter has wrapped round
            spent += int((counters / zone / "max_energy_range_uj").read_text())
        microjoules += spent
    return microjoules / 1e6
