"""What a store says of itself, how two such descriptions differ, and the seal over all its files.

``plan.json`` is written before the teacher is first asked and identifies the store; ``manifest.json`` is the
plan with what was measured; ``seal.json`` comes last and names the digest of every file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from ..errors import BadInput
from ..files import fingerprint, raise_as_sentence, sha256_file, write_text
from ..models.identity import Identity as TeacherIdentity
from ..models.identity import same_probe

KIND = "limbeck soft targets"
SCHEMA_VERSION = 1
TARGETS_VERSION = 1  # to be raised by hand when the meaning of what is stored changes
PLAN, MANIFEST, SEAL, IDS = "plan.json", "manifest.json", "seal.json", "ids.arrow"
LIBRARIES = ("torch", "numpy", "pyarrow")


class StoreIdentity(TypedDict):
    """What a caller states of a store that it casts or wants to read; plain JSON values."""

    classes: int
    data: str  # fingerprint of the data
    teacher: TeacherIdentity  # weights, and its answer to a probe
    preprocess: dict[str, Any] | None  # what the teacher's input went through
    precision: str  # of the teacher's arithmetic
    views: dict[str, Any]  # the recipe's Views section
    view_seed: int
    made_from: NotRequired[dict[str, Any]]  # where not the teacher was asked, but a store converted or a file imported


_SAYS = {
    "kind": "what it is",
    "schema_version": "the layout of its files",
    "targets_version": "the meaning of its targets",
    "classes": "the number of classes",
    "data": "the data (fingerprint)",
    "ids": "the examples (digest of their ids)",
    "examples": "the number of examples",
    "preprocess": "the teacher's preprocessing",
    "precision": "the teacher's precision",
    "views": "the views",
    "view_seed": "the seed of the views",
    "view_count": "the number of views",
    "codec": "the codec",
    "block_size": "the block size",
    "made_from": "what it is made from",
}


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Clauses such as ``the views differ: flip is True there, False here``, for each key of ``wanted``."""
    wanted = json.loads(json.dumps(wanted))
    clauses: list[str] = []
    for key, here in wanted.items():
        there = found.get(key)
        if key == "codec":  # the manifest adds figures to name and settings
            there, here = _codec_text(there), _codec_text(here)
        if key == "teacher":
            clauses += _teacher_differences(there or {}, here)
        elif isinstance(here, dict) and isinstance(there, dict):
            unequal = [name for name in sorted({*here, *there}) if here.get(name) != there.get(name)]
            if unequal:
                parts = ", ".join(f"{n} is {_short(there.get(n))} there, {_short(here.get(n))} here" for n in unequal)
                clauses.append(f"{_SAYS.get(key, key)} differ: {parts}")
        elif there != here:
            clauses.append(f"{_SAYS.get(key, key)}: {_short(there)} there, {_short(here)} here")
    return clauses


def _teacher_differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    if there.get("weights") != here.get("weights"):
        return [f"the teacher's weights: {_short(there.get('weights'))} there, {_short(here.get('weights'))} here"]
    if not same_probe(there.get("probe") or [], here.get("probe") or []):
        return [
            "the teacher's answers: its weights are the same, but it answers a probe otherwise "
            "(another activation function, preprocessing or structure)"
        ]
    return []


def _codec_text(codec: Any) -> Any:
    if not isinstance(codec, dict):
        return codec
    settings = ", ".join(f"{key} {value}" for key, value in codec.get("settings", {}).items())
    return f"{codec.get('name')} ({settings})" if settings else codec.get("name")


def _short(value: Any) -> str:
    long = isinstance(value, str) and len(value) > 20 and " " not in value  # a digest
    return f"{value[:12]}…" if long else str(value)


def id_metadata() -> dict[str, str]:
    """The schema metadata of ``ids.arrow``."""
    return {"schema_version": str(SCHEMA_VERSION), "kind": KIND}


def shard_metadata(ids_digest: str, view: int, block: int) -> dict[str, str]:
    """The schema metadata of a shard: which one it is, and of which examples."""
    return {**id_metadata(), "view": str(view), "block": str(block), "ids": ids_digest}


def libraries() -> dict[str, str]:
    """Versions of what took part; recorded, not compared."""
    return {name: version(name) for name in LIBRARIES}


def json_text(value: Any) -> str:
    """The one way in which the store writes JSON: a byte that differs from it has been changed."""
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a store. Raises :class:`BadInput` naming the file where it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} is missing: {path.parent} is not a whole store of soft targets.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read: {str(error).splitlines()[0]}. Restore it, or cast anew.") from error
    if not isinstance(value, dict):
        raise BadInput(f"{path} is damaged: it should hold a JSON object. Restore it, or cast anew.")
    if value.get("schema_version") != SCHEMA_VERSION:
        raise BadInput(
            f"{path} has schema_version {value.get('schema_version')}, and this version of limbeck reads "
            f"{SCHEMA_VERSION}: use the version that wrote it, or cast anew."
        )
    return value


def write_seal(root: Path, names: list[str]) -> None:
    """Digests and sizes of the named files, and a digest over the list."""
    files = {n: {"bytes": (root / n).stat().st_size, "sha256": sha256_file(root / n)} for n in sorted(names)}
    write_text(root / SEAL, json_text(_sealed(files)))


def read_seal(root: Path) -> dict[str, dict[str, Any]]:
    """Name -> ``{"bytes", "sha256"}`` of every sealed file. Raises :class:`BadInput` if it is not whole."""
    path = root / SEAL
    value = read_json(path)
    files: Any = value.get("files")
    try:
        whole = _is_list_of_files(files) and path.read_text(encoding="utf-8") == json_text(_sealed(files))
    except ValueError:  # NaN, which the standard library reads and JSON does not know
        whole = False
    if not whole:
        raise BadInput(f"{path} is damaged: its own digest does not fit. Restore it, or delete it and cast again.")
    return files


def _is_list_of_files(value: Any) -> bool:
    entries = value.values() if isinstance(value, dict) else [None]
    return all(isinstance(entry, dict) and {"bytes", "sha256"} == set(entry) for entry in entries)


def _sealed(files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "files": files, "digest": fingerprint(files)}


@contextmanager
def alone(root: Path) -> Iterator[bool]:
    """Holds the store's lock: nobody else writes a file meanwhile. The kernel lets go when the process dies.

    Yields False where the file system has no locks; writers are then still safe as long as the teacher's
    answers are the same to the bit. Raises :class:`BadInput` where the folder cannot be written.
    """
    path = root / ".lock"
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise_as_sentence(error, path)
        raise BadInput(f"{root} cannot be written to: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            held = True
        except OSError:
            held = False
        yield held
    finally:
        os.close(handle)
