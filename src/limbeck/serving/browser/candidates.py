"""A page on which a browser measures all the candidates of a search, for the profile that the search is given"""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

from ...deploy.metadata import said_by
from ...deploy.on_device import WEB
from ...deploy.profile import CANDIDATES, PROFILE_VERSION
from ...errors import BadInput
from ...files import atomic_folder
from .. import npm
from . import RUNTIME, told_of

_OURS = {
    "candidates.html": "index.html",
    "candidates.js": "candidates.js",
    "measure.js": "measure.js",
    "style.css": "style.css",
}


def write_candidates_page(candidates: Path, out: Path) -> list[str]:
    """Writes a page that measures every model of ``candidates``, the folder that ``limbeck search --candidates`` wrote, into the folder ``out``.

    Its profile says latency and size in WebAssembly, by the names of the candidates. Any server of static files will do. A page that an
    earlier call wrote is replaced. Returns the names of its files.

    Raises :class:`limbeck.errors.BadInput` for a folder of candidates that is damaged, a folder that holds something else, or libraries that
    cannot be fetched.
    """
    told = _told(candidates)
    libraries = npm.with_needs((RUNTIME,))
    for package in libraries:
        npm.folder_of(package)
    ours = all((out / name).is_file() for name in (CANDIDATES, "candidates.js"))
    with atomic_folder(out, replace=ours) as folder:
        for name, as_ in _OURS.items():
            (folder / as_).write_bytes((resources.files(__name__.rpartition(".")[0]) / "page" / name).read_bytes())
        for one in told["candidates"].values():
            shutil.copyfile(candidates / one["file"], folder / one["file"])
        (folder / CANDIDATES).write_text(json.dumps(told, indent=1), encoding="utf-8")
        for package in libraries:
            npm.written(package, folder / "lib")
        (folder / "lib" / "README.txt").write_text(told_of(libraries), encoding="utf-8")
        return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def _told(folder: Path) -> dict[str, Any]:
    """What the page knows: what the profile has in common, and of each candidate its file and what that takes."""
    try:
        said = json.loads((folder / CANDIDATES).read_text(encoding="utf-8"))
        found = {
            name: {
                **one,
                "bytes": (folder / one["file"]).stat().st_size,
                "said": {part: said_by(folder / one["file"])[part] for part in ("inputs", "input")},
            }
            for name, one in said["candidates"].items()
        }
        same = {part: said[part] for part in ("exports", "precision", "limits")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise BadInput(
            f"{folder / CANDIDATES} is damaged, or a file that it names is not there: write the candidates anew with limbeck search --candidates."
        ) from None
    version = npm.PACKAGES[RUNTIME].version
    return {"profile_version": PROFILE_VERSION, "runtime": WEB, "version": version, **same, "candidates": found}
