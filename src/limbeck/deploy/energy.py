"""Energy of one inference: from the processor's counters where readable, else a labelled estimate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from .runtime import example_inputs, open_session

COUNTERS = Path("/sys/class/powercap")
ASSUMED_WATTS_PER_CORE = 10.0


def energy_per_inference(
    path: Path, *, latency_ms: float, seconds: float = 1.0, threads: int = 1, counters: Path = COUNTERS
) -> dict[str, Any]:
    """Millijoules of one image's pass in ONNX Runtime: ``value_mj``, ``kind`` and ``how``.

    ``kind`` is ``measured`` where the RAPL counters under ``counters`` can be read and move: the whole
    package's energy over a loop of ``seconds``, idle power and other processes included, divided by its
    runs. Otherwise it is ``estimate``: ``latency_ms`` (the median at batch 1 on ``threads`` threads) times
    an assumed 10 W for each core.
    """
    before = _read(counters)
    if before:
        session = open_session(path, threads=threads)
        inputs = example_inputs(session, 1)
        session.run(None, inputs)
        before, runs, end = _read(counters), 0, time.perf_counter() + seconds
        while runs == 0 or time.perf_counter() < end:
            session.run(None, inputs)
            runs += 1
        joules = _spent_joules(before, _read(counters), counters)
        if joules > 0:
            how = f"RAPL package counters over {runs} runs, idle power and other processes included"
            return {"value_mj": joules / runs * 1e3, "kind": "measured", "how": how}
    return {
        "value_mj": latency_ms * ASSUMED_WATTS_PER_CORE * threads,
        "kind": "estimate",
        "how": f"median latency x {ASSUMED_WATTS_PER_CORE:g} W assumed for each of {threads} busy core(s); "
        "no energy counter could be read",
    }


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
