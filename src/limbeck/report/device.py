"""What the files of a run cost on the device they are for, and on which machine everything else was measured"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..sections.outline import Outline
from . import formats
from .formats import MISSING, dig, figure

ROLES = {"student": "Student", "teacher": "Teacher"}


@dataclass(frozen=True)
class Row:
    """A file: what it is, its path, and cells in the order of :attr:`Device.columns`, each with what stands small beside it."""

    what: str
    path: str
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Device:
    """What the page says of a device; the columns are (heading, hint)."""

    title: str
    lead: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def device(results: dict[str, Any], outline: Outline) -> Device | None:
    """None where the results have no device."""
    if not dig(results, "device", "student"):
        return None
    return Device(
        title=f"On {_name(results)}",
        lead=_lead(results, outline),
        columns=(
            ("Latency p50", "95 % interval small"),
            ("Latency p95", "95 % interval small"),
            ("Size", ""),
            ("Peak memory", "beside the runtime's own"),
            ("Energy", f"measured, of one {outline.example}"),
        ),
        rows=tuple(_row(what, one) for what, one in _files(results)),
        notes=tuple(_notes(results)),
    )


def lines(results: dict[str, Any]) -> list[str]:
    """What a person is told in the terminal: each file in a line. Nothing where the results have no device."""
    if not dig(results, "device", "student"):
        return []
    told = [f"On {_name(results)}, in {', '.join(_runtimes(results))}:"]
    for what, one in _files(results):
        cells = _row(what, one).cells
        named = zip(("p50", "p95", "size", "peak memory", "energy"), cells, strict=True)
        parts = [f"{name} {value}{f' ({small})' * bool(small)}" for name, (value, small) in named if value != MISSING]
        told.append(f"{what} {dig(one, 'path')}: {', '.join(parts)}")
    return [*told, *([said] if (said := _speedup(results)) else [])]


def measured_here(results: dict[str, Any]) -> str:
    """Of which machine the costs are that no device's name stands over; empty where the results do not say."""
    machine, cpu = (dig(results, "environment", name) for name in ("machine", "cpu"))
    if not machine:
        return ""
    kind = "an x86 machine" if is_x86(str(machine)) else f"the machine of the run, {machine}"
    return f"Latency, throughput, memory and energy are figures of {kind} ({cpu})."


def is_x86(machine: str) -> bool:
    """Whether a machine that the system calls so is one."""
    return machine.lower() in ("x86_64", "amd64", "i386", "i686")


def _name(results: dict[str, Any]) -> str:
    processor, machine = (str(dig(results, "device", one) or "") for one in ("processor", "machine"))
    kind = "an x86 machine" if dig(results, "device", "x86") else "the device"
    return f"{kind}: {processor}, {machine}" if processor and processor not in machine else f"{kind}: {machine}"


def _lead(results: dict[str, Any], outline: Outline) -> str:
    threads = dig(results, "device", "threads")
    on = "one thread" if threads == 1 else f"{formats.count(threads)} threads"
    length = dig(results, "device", "student", "length")
    of = f" of {length} {outline.positions}" if length else ""
    said = f"The run's own files, measured there one {outline.example}{of} at a time on {on}."
    return f"{said} {told}" if (told := _speedup(results)) else said


def _speedup(results: dict[str, Any]) -> str:
    ratio, low, high = (figure(dig(results, "device", "speedup", one)) for one in ("ratio", "low", "high"))
    if ratio is None or low is None or high is None:
        return ""
    return (
        f"There the student takes {formats.with_unit(dig(results, 'device', 'student', 'latency_ms', 'value'), 'ms')} and its teacher "
        f"{formats.number(ratio)} times as long (by the intervals of both, {formats.number(low)} to {formats.number(high)})."
    )


def _files(results: dict[str, Any]) -> list[tuple[str, Any]]:
    told = [(name, dig(results, "device", role)) for role, name in ROLES.items()]
    others = dig(results, "device", "others") or {}
    return [(what, one) for what, one in (*told, *(("Also", one) for one in others.values())) if one]


def _row(what: str, one: Any) -> Row:
    latency, energy = dig(one, "latency_ms"), dig(one, "energy_mj")
    measured = dig(energy, "kind") == "measured"  # an estimate says nothing of a device
    size = figure(dig(one, "size_kb", "value"))
    return Row(
        what,
        str(dig(one, "path")),
        (
            (formats.with_unit(dig(latency, "value"), "ms"), _interval(latency)),
            (formats.with_unit(dig(latency, "p95", "value"), "ms"), _interval(dig(latency, "p95"))),
            (formats.size(None if size is None else 1000 * size), ""),
            (formats.with_unit(dig(one, "memory_mb", "value"), "MB"), ""),
            (formats.with_unit(dig(energy, "value"), "mJ") if measured else MISSING, ""),
        ),
    )


def _runtimes(results: dict[str, Any]) -> list[str]:
    """``onnxruntime 1.32.0, CPU``, each once."""
    found = dict[str, None]()
    for _, one in _files(results):
        name, comma, on = str(dig(one, "runtime")).partition(",")
        found[f"{name} {dig(one, 'version')}{comma}{on}"] = None
    return list(found)


def _interval(found: Any) -> str:
    low, high = (figure(dig(found, end)) for end in ("low", "high"))
    return "" if low is None or high is None else f"{formats.number(low)} to {formats.number(high)}"


def _notes(results: dict[str, Any]) -> list[str]:
    files = [one for _, one in _files(results)]
    notes = [f"Measured in {'; '.join(_runtimes(results))}."]
    if busy := [str(dig(one, "path")) for one in files if dig(one, "latency_ms", "busy")]:
        notes.append(
            f"The device was busy with other things while it measured {', '.join(busy)}: the times are of runs that nothing disturbed, "
            "where there were enough of them, and no ratio is put forward."
        )
    hows = {str(dig(one, "path")): str(dig(one, "energy_mj", "how")) for one in files if dig(one, "energy_mj", "how")}
    notes += [f"Energy of {path}: {how}." for path, how in hows.items()]
    if not hows:
        notes.append(
            "Energy was not measured: the device has no counter that could be read, and no meter's log was given."
        )
    failed = dig(results, "device", "failed") or {}
    return [*notes, *(f"The device could not run {path}: {why}." for path, why in failed.items())]
