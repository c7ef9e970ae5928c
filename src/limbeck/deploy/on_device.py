"""What the exported files of a run cost on the device at hand: the script ``measure.py`` that lies beside them

It needs Python 3.10, onnxruntime and NumPy, and nothing else; of .tflite files ai-edge-litert:

    python measure.py [FOLDER] [--meter power.csv]

measures every .onnx and .tflite file in the folder (its own, where none is named) and in the folders in it, at a batch of 1 on one thread,
and writes ``profile.json`` beside them: latency p50 and p95 with their intervals, size, peak memory, and energy where the
processor has counters that can be read. What an earlier call measured with the same runtime is kept; without
``profile.json`` all is measured anew.

With --meter each file is also run for 20 seconds behind 20 in which the device is idle, while a meter, or the phone
itself, logs power. The log, CSV with the columns time (seconds since 1970, UTC, by a clock that agrees with the device's
to a second, or ISO 8601 with its zone) and watts, may come later: the same call again then reads it, and runs nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .memory import ASKED, answer
from .metadata import said_by
from .meter import energy_by_meter, metered, read_log
from .opened import RUNTIME, Opened, in_onnxruntime
from .opened_litert import LITERT, in_litert
from .profile import (
    OF_A_FILE,
    PROFILE,
    device_here,
    figures_of,
    latency_line,
    profile_before,
    runtime_here,
    write_profile,
)
from .runtime import open_session

RUNTIMES = {".onnx": RUNTIME, ".tflite": LITERT}
"""By the suffix of a file, in what it is run."""
WEB = "onnxruntime-web, WebAssembly"
"""In what the page of ``limbeck browser`` runs an .onnx file, and writes such a profile of it."""
FILES = "files"
SCRIPT = "measure.py"
USUAL_LENGTH = 32


def files_in(folder: Path) -> dict[str, str]:
    """The exported files in a folder and in those in it: by the SHA-256 of each its name as from the folder, the first one found."""
    found: dict[str, str] = {}
    for path in (*sorted(folder.glob("*")), *sorted(folder.glob("*/*"))):
        if path.suffix in RUNTIMES and path.is_file():
            found.setdefault(digest_of(path), path.relative_to(folder).as_posix())
    return found


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def measure_files(folder: Path, meter: Path | None = None) -> dict[str, Any]:
    """Measures the files that have no figures yet, and writes the profile after each; ``meter``: see :func:`read_meter`."""
    same = {**runtime_here(), "of": FILES}
    profile = profile_before(folder / PROFILE, same) or {**same, "figures": {}, "failed": {}}
    files = files_in(folder)
    profile |= {**device_here(), "what": files}
    for part in ("figures", "failed"):
        profile[part] = {digest: one for digest, one in profile[part].items() if digest in files}
    for number, (digest, name) in enumerate(files.items(), 1):
        known = profile["figures"].get(digest)
        if known is not None and (meter is None or "metered" in known):
            continue
        try:
            length = length_of(folder / name)
            known = known or measured(folder / name, length)
            print(f"{number}/{len(files)} {name}: {latency_line(known)}", flush=True)
            if meter is not None:
                known["metered"] = metered(opened(folder / name, length).run)
        except Exception as error:  # one that cannot be run here is no reason to leave the others out
            profile["failed"][digest] = f"{type(error).__name__}: {error}"
            print(f"{number}/{len(files)} {name}: {profile['failed'][digest]}", flush=True)
        else:
            profile["failed"].pop(digest, None)
            profile["figures"][digest] = known
        write_profile(folder / PROFILE, profile)
    return profile


def opened(path: Path, length: int) -> Opened:
    """Opens a file by its suffix; inputs of which any length will do are of ``length``."""
    return (in_litert if RUNTIMES[path.suffix] == LITERT else in_onnxruntime)(path, length)


def measured(path: Path, length: int) -> dict[str, Any]:
    """The figures of a file, and in what it was run."""
    model = opened(path, length)
    any_length = path.suffix == ".onnx" and not all(
        isinstance(side, int) for given in open_session(path).get_inputs() for side in given.shape[1:]
    )
    ran = {"runtime": model.runtime, "version": model.version, "length": length if any_length else None}
    return {**figures_of(path, OF_A_FILE, model=model), **ran}


def length_of(path: Path) -> int:
    """At which length inputs of any length are given: a usual one, or the longest that the file says it takes."""
    try:
        return min(USUAL_LENGTH, int(said_by(path)["input"]["max_length"]))
    except (KeyError, TypeError, ValueError):  # of images, of LiteRT, from elsewhere
        return USUAL_LENGTH


def read_meter(profile: dict[str, Any], meter: Path) -> list[str]:
    """Puts the energy that a meter's log tells into a profile; why of some it does not, a sentence each.

    Raises ``ValueError`` in a sentence where the file is no such log.
    """
    log, problems = read_log(meter), []
    for digest, known in profile["figures"].items():
        try:
            known["energy_mj"] = energy_by_meter(log, known["metered"], meter.name)
        except ValueError as error:
            problems.append(f"{profile['what'][digest]}: {error}")
    return problems


def main(arguments: Sequence[str]) -> None:
    """The script."""
    if arguments[:1] == [ASKED]:  # in the fresh process that memory is measured in
        answer(arguments[1], arguments[2])
        return
    parser = argparse.ArgumentParser(
        prog=SCRIPT, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    parser.add_argument("--meter", type=Path, metavar="power.csv")
    given = parser.parse_args(arguments)
    folder, meter = given.folder, given.meter
    if not files_in(folder):
        parser.error(
            f"{folder} has no {' or '.join(RUNTIMES)} file: name the folder of a run, or what was copied from it."
        )
    profile = measure_files(folder, meter)
    if profile["emulated"]:
        print("This machine is emulated: that the files run and answer can be told here, and not how fast.")
    failed = f", {len(profile['failed'])} could not be run" if profile["failed"] else ""
    print(f"{len(profile['figures'])} measured{failed}: {folder / PROFILE}")
    if meter is None:
        return
    if not meter.exists():
        print(f"Energy is not known yet: put the meter's log at {meter}, and make the same call again.")
        return
    try:
        problems = read_meter(profile, meter)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    write_profile(folder / PROFILE, profile)
    for digest, one in profile["figures"].items():
        if one["energy_mj"]["value"] is not None:
            print(f"{profile['what'][digest]}: {one['energy_mj']['value']:.4g} mJ ({one['energy_mj']['how']})")
    if problems:
        parser.error("\n".join(problems))


if __name__ == "__main__":
    main(sys.argv[1:])
