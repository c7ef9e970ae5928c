"""What exported candidates cost on the machine at hand; also the script that measures them on the device they are for

Beside a folder of candidates lies this module as ``measure.py``, with all of ours that it uses written into it. It needs
Python 3.10, onnxruntime and NumPy, and nothing else:

    python measure.py [FOLDER]

measures every model of ``candidates.json`` in the folder (its own, where none is named) and writes ``profile.json`` beside
it. What an earlier call measured with the same runtime is kept, so a call that was stopped goes on.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from ..deploy.energy import energy_per_inference
from ..deploy.latency import settled_latency
from ..deploy.memory import ASKED, answer, memory_mb
from ..deploy.runtime import THREADS, example_inputs, open_session

RUNTIME = "onnxruntime, CPU"
CANDIDATES, PROFILE = "candidates.json", "profile.json"
PROFILE_VERSION = 1
ENERGY_TRIES = 3
OF_A_FILE = ("latency_ms", "size_kb", "memory_mb", "energy_mj")
"""Costs that are measured on an exported file, by the names that budgets have for them."""

Figures = dict[str, dict[str, Any]]
"""By the name of a cost its ``value``, and how it was come by."""


def figures_of(path: Path, names: Collection[str], *, limit: float | None = None, length: int = 32) -> Figures:
    """Measures the costs ``names`` of :data:`OF_A_FILE` of an exported model.

    Args:
        limit: the latency (ms) on one side of which the interval is to lie; without one it is to be narrow.
        length: of an input of which any will do.

    Returns, each with its ``value``: ``latency_ms`` with what :func:`limbeck.deploy.latency.settled_latency` says,
    ``size_kb``, ``memory_mb`` (peak), and ``energy_mj`` with its ``kind`` (``measured`` or ``estimate``) and ``how``.
    """
    found: Figures = {}
    if "size_kb" in names:
        found["size_kb"] = {"value": path.stat().st_size / 1000}
    if "latency_ms" in names:
        found["latency_ms"] = settled_latency(path, limit=limit, length=length)
    if "memory_mb" in names:
        found["memory_mb"] = {"value": memory_mb(path, example_inputs(open_session(path), 1, length))["peak_memory_mb"]}
    if "energy_mj" in names:
        found["energy_mj"] = _energy(path)
    return found


def _energy(path: Path) -> dict[str, Any]:
    energy = energy_per_inference(path, cpu_ms=0.0)
    for _ in range(ENERGY_TRIES - 1):  # while the machine is busy its counters tell of others too
        if energy["kind"] == "measured":
            break
        energy = energy_per_inference(path, cpu_ms=0.0)
    value = energy["value_mj"] if energy["kind"] == "measured" else None
    return {"value": value, "kind": energy["kind"], "how": energy["how"]}


def measure_folder(folder: Path) -> dict[str, Any]:
    """Measures the candidates in a folder that have no figures yet, and writes its profile after each."""
    told = json.loads((folder / CANDIDATES).read_text(encoding="utf-8"))
    candidates: dict[str, dict[str, Any]] = told["candidates"]
    profile = _begun(folder / PROFILE, told) | {"what": {digest: one["what"] for digest, one in candidates.items()}}
    for number, (digest, one) in enumerate(candidates.items(), 1):
        if digest in profile["figures"]:
            continue
        try:
            found = figures_of(
                folder / one["file"], OF_A_FILE, limit=told["limits"].get("latency_ms"), length=one["tokens"] or 1
            )
        except Exception as error:  # one that this runtime cannot run is no reason to leave the others out
            profile["failed"][digest] = f"{type(error).__name__}: {error}"
            print(f"{number}/{len(candidates)} {one['what']}: {profile['failed'][digest]}", flush=True)
        else:
            profile["failed"].pop(digest, None)
            profile["figures"][digest] = found
            print(f"{number}/{len(candidates)} {one['what']}: {_line(found)}", flush=True)
        _write(folder / PROFILE, profile)
    return profile


def _line(found: Figures) -> str:
    latency, memory = found["latency_ms"], found["memory_mb"]["value"]
    interval = f"{latency['value']:.4g} ms ({latency['low']:.4g} to {latency['high']:.4g})"
    return f"{interval}, {found['size_kb']['value']:.4g} KB, {memory:.3g} MB{', busy' if latency['busy'] else ''}"


def _begun(path: Path, told: dict[str, Any]) -> dict[str, Any]:
    """The profile that is there, where it is of this runtime and of these exports; else a new one."""
    about = {
        "profile_version": PROFILE_VERSION,
        "runtime": RUNTIME,
        "version": onnxruntime.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": THREADS,
        **{name: told[name] for name in ("exports", "precision", "limits")},
    }
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        if {name: before[name] for name in about} == about:
            return before
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {**about, "figures": {}, "failed": {}}


def _write(path: Path, profile: dict[str, Any]) -> None:
    part = path.with_name(f".{path.name}.part")
    with open(part, "w", encoding="utf-8") as file:
        file.write(json.dumps(profile, indent=1, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def main(arguments: Sequence[str]) -> None:
    """The script."""
    if arguments[:1] == [ASKED]:  # in the fresh process that memory is measured in
        answer(arguments[1], arguments[2])
        return
    folder = Path(arguments[0]) if arguments else Path(__file__).parent
    if not (folder / CANDIDATES).is_file():
        sys.exit(f"{folder} has no {CANDIDATES}: name the folder that limbeck search --candidates wrote.")
    profile = measure_folder(folder)
    failed = f", {len(profile['failed'])} could not be run" if profile["failed"] else ""
    print(f"{len(profile['figures'])} measured{failed}: {folder / PROFILE}")


if __name__ == "__main__":
    main(sys.argv[1:])
