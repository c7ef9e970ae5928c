"""What a device's profile says: of an exported file what it costs there, and of the device what it is"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Collection
from pathlib import Path
from typing import Any

import onnxruntime

from .energy import counted_energy
from .latency import settled_latency
from .memory import memory_mb
from .opened import RUNTIME, Opened, in_onnxruntime
from .runtime import THREADS

PROFILE = "profile.json"
CANDIDATES = "candidates.json"
"""What lies beside the candidates of a search, and says what they are."""
PROFILE_VERSION = 1
ENERGY_TRIES = 3
OF_A_FILE = ("latency_ms", "size_kb", "memory_mb", "energy_mj")
"""Costs that are measured on an exported file, by the names that budgets have for them."""
X86 = ("x86_64", "amd64", "i386", "i686")

Figures = dict[str, dict[str, Any]]
"""By the name of a cost its ``value``, and how it was come by."""


def figures_of(
    path: Path,
    names: Collection[str],
    *,
    limit: float | None = None,
    length: int = 32,
    model: Opened | None = None,
) -> Figures:
    """Measures the costs ``names`` of :data:`OF_A_FILE` of an exported model.

    Args:
        limit: the latency (ms) on one side of which the interval is to lie; without one it is to be narrow.
        length: of an input of which any will do.
        model: the file, where it is open already, in whatever runtime; ONNX Runtime where not.

    Returns, each with its ``value``: ``latency_ms`` with what :func:`limbeck.deploy.latency.settled_latency` says,
    ``size_kb``, ``memory_mb`` (peak), and ``energy_mj`` with its ``kind``
    (``measured``, or ``unknown``, whose value is None: an estimate says nothing of a device) and ``how``.
    """
    found: Figures = {}
    if "size_kb" in names:
        found["size_kb"] = {"value": path.stat().st_size / 1000}
    if not set(names) - {"size_kb"}:
        return found
    model = model or in_onnxruntime(path, length)
    if "latency_ms" in names:
        found["latency_ms"] = settled_latency(model.run, limit=limit)
    if "memory_mb" in names:
        found["memory_mb"] = {"value": memory_mb(path, model.inputs)["peak_memory_mb"]}
    if "energy_mj" in names:
        energy = counted_energy(model.run)
        for _ in range(ENERGY_TRIES - 1):  # while the machine is busy its counters tell of others too
            if not isinstance(energy, str):
                break
            energy = counted_energy(model.run)
        found["energy_mj"] = (
            {"value": None, "kind": "unknown", "how": energy}
            if isinstance(energy, str)
            else {"value": energy["value_mj"], "kind": energy["kind"], "how": energy["how"]}
        )
    return found


def runtime_here() -> dict[str, Any]:
    """What figures must have in common to stand in one profile, beside what they are of."""
    return {
        "profile_version": PROFILE_VERSION,
        "runtime": RUNTIME,
        "version": onnxruntime.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": THREADS,
    }


def device_here() -> dict[str, Any]:
    """The device: its ``processor`` as the system names it, and whether another processor only plays it (``emulated``)."""
    told = _told_by_linux(Path("/proc/cpuinfo"))
    model = next((told[key] for key in ("model name", "Model", "Hardware") if key in told), "")
    return {
        "processor": model or platform.processor() or platform.machine(),
        "emulated": is_emulated(platform.machine(), told),
    }


def is_emulated(machine: str, told: Collection[str]) -> bool:
    """Whether a machine that is called so runs on an x86 processor: ``told`` are the fields that Linux has of the real one."""
    return machine.lower() not in X86 and "vendor_id" in told and "cpu family" in told


def _told_by_linux(cpuinfo: Path) -> dict[str, str]:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    fields = (line.partition(":") for line in reversed(lines) if ":" in line)
    return {key.strip(): value.strip() for key, _, value in fields}


def write_profile(path: Path, profile: dict[str, Any]) -> None:
    """Writes a profile whole, or not at all."""
    part = path.with_name(f".{path.name}.part")
    with open(part, "w", encoding="utf-8") as file:
        file.write(json.dumps(profile, indent=1, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def profile_before(path: Path, same: dict[str, Any]) -> dict[str, Any] | None:
    """The profile that is there, where it says the ``same`` of what its figures have in common."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        return before if {name: before[name] for name in same} == same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def latency_line(figures: Figures) -> str:
    """Figures of a file in a line."""
    latency, memory = figures["latency_ms"], figures["memory_mb"]["value"]
    parts = [f"{latency['value']:.4g} ms ({latency['low']:.4g} to {latency['high']:.4g})"]
    parts += [f"{figures['size_kb']['value']:.4g} KB"] + ([] if memory is None else [f"{memory:.3g} MB"])
    return ", ".join([*parts, *(["busy"] if latency["busy"] else [])])
