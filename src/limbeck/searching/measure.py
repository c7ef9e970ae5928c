"""What exported candidates cost on the machine at hand; also the script that measures them on the device they are for

Beside a folder of candidates lies this module as ``measure.py``, with all of ours that it uses written into it. It needs
Python 3.10, onnxruntime and NumPy, and nothing else:

    python measure.py [FOLDER]

measures every model of ``candidates.json`` in the folder (its own, where none is named) and writes ``profile.json`` beside
it. What an earlier call measured with the same runtime is kept, so a call that was stopped goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..deploy.memory import ASKED, answer
from ..deploy.profile import (
    CANDIDATES,
    OF_A_FILE,
    PROFILE,
    device_here,
    figures_of,
    latency_line,
    profile_before,
    runtime_here,
    write_profile,
)


def measure_folder(folder: Path) -> dict[str, Any]:
    """Measures the candidates in a folder that have no figures yet, and writes its profile after each."""
    told = json.loads((folder / CANDIDATES).read_text(encoding="utf-8"))
    candidates: dict[str, dict[str, Any]] = told["candidates"]
    same = {**runtime_here(), **{name: told[name] for name in ("exports", "precision", "limits")}}
    profile = profile_before(folder / PROFILE, same) or {**same, "figures": {}, "failed": {}}
    profile |= {**device_here(), "what": {digest: one["what"] for digest, one in candidates.items()}}
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
            print(f"{number}/{len(candidates)} {one['what']}: {latency_line(found)}", flush=True)
        write_profile(folder / PROFILE, profile)
    return profile


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
