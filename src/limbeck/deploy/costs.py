"""What exported models cost to run, side by side: latency in turns, then throughput, memory, bytes and energy of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .energy import energy_per_inference
from .latency import compare_latency
from .measure import measure_onnx


@dataclass(frozen=True)
class Latencies:
    """Latencies of some files.

    Attributes:
        of: by name: ``latency_ms``, and of inputs of any length ``latency_by_length``, which :func:`.timing.latency` describes.
        speed: how they compare, and whether the machine was quiet enough to tell: what
            :func:`.latency.compare_latency` says of the usual length, and ``by_length``. ``disturbed`` is true
            where it is at any length; ``note`` is what a person is to be told then, in a few sentences, or None.
    """

    of: dict[str, dict[str, Any]]
    speed: dict[str, Any]


def latencies(paths: Mapping[str, Path], lengths: Sequence[int], *, again: str) -> Latencies:
    """Measures the files in turns, at each length; ``lengths`` is empty where inputs have one size.

    The first is what the others are set beside. ``again`` is the option that measures anew, for the note.
    """
    found = {str(length): compare_latency(paths, length=length) for length in lengths or (1,)}
    usual = next(iter(found.values()))
    of = {name: {"latency_ms": latency} for name, latency in usual["latency_ms"].items()}
    speed = {key: value for key, value in usual.items() if key != "latency_ms"}
    if lengths:
        for name, entry in of.items():
            entry["latency_by_length"] = {length: one["latency_ms"][name] for length, one in found.items()}
        told = ("speedup", "clock_over_cpu", "busy", "narrow", "disturbed")
        speed["by_length"] = {length: {key: one[key] for key in told} for length, one in found.items()}
        speed["disturbed"] = any(one["disturbed"] for one in found.values())
    return Latencies(of, speed | {"note": disturbance(speed, again)})


def disturbance(speed: Mapping[str, Any], again: str) -> str | None:
    """What a person is to know of a disturbed measurement, and what is known all the same; None where it was not."""
    if not speed["disturbed"]:
        return None
    parts = [speed, *(speed.get("by_length") or {}).values()]
    if any(part["busy"] for part in parts):
        apart = max(part["clock_over_cpu"] for part in parts)
        why = f"Latency was measured on a busy machine: the clock ran {apart:.1f} times as long as the models were at work."
    else:
        why = "Latency kept changing while it was measured, so that its interval stayed wide."
    found, known = speed["speedup"].get("student"), ""
    if found and speed["reference"] == "teacher":
        ratio, low, high = (
            f"{value:.{0 if value >= 9.95 else 1}f}" for value in map(found.get, ("ratio", "low", "high"))
        )
        known = (
            f" By the time that they were at work themselves the student is {ratio} times as fast as the teacher "
            f"(95 % interval {low} to {high}); no figure by the clock is put forward."
        )
    return f"{why}{known} With {again} it is measured anew, which wants a quiet machine."


def running_cost(path: Path, latency_ms: Mapping[str, Any], lengths: Sequence[int]) -> dict[str, Any]:
    """``bytes``, ``throughput_per_s``, memory, ``energy_mj``, ``runtime`` and ``threads`` of one file."""
    cost = measure_onnx(path, length=lengths[0] if lengths else 1)
    energy = energy_per_inference(path, cpu_ms=latency_ms["cpu_p50"])
    return {
        "bytes": cost["bytes"],
        "throughput_per_s": cost["throughput_per_s"],
        "peak_memory_mb": cost["peak_memory_mb"],
        "anonymous_memory_mb": cost["anonymous_memory_mb"],
        "energy_mj": {"value": energy["value_mj"], "kind": energy["kind"], "how": energy["how"]},
        "runtime": cost["runtime"],
        "threads": cost["threads"],
    }


def lengths_up_to(longest: int, usual: Sequence[int]) -> list[int]:
    """The usual lengths that models with inputs of at most ``longest`` positions take, or that longest one where none is."""
    return [length for length in usual if length <= longest] or [longest][: len(usual)]
