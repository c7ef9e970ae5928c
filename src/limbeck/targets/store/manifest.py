"""What a store says of itself, how two such descriptions differ, and the seal over all its files.

``plan.json`` is written before the teacher is first asked and says what all shards of the folder agree in;
``manifest.json`` is the plan with what the store holds and what was measured; ``seal.json`` comes last and names the
digest of every file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

from ...errors import BadInput
from ...files import fingerprint, sha256_file, write_text
from ...models.identity import Identity as TeacherIdentity
from ...models.identity import same_probe

KIND = "limbeck soft targets"
SCHEMA_VERSION = 2
TARGETS_VERSION = 2  # to be raised by hand when the meaning of what is stored changes
PLAN, MANIFEST, SEAL = "plan.json", "manifest.json", "seal.json"
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
    "targets": "the number of soft targets",
    "codec": "the codec",
    "ragged": "whether its examples are sequences",
    "block_size": "the block size",
    "made_from": "what it is made from",
}


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Clauses such as ``the views differ: flip is True there, False here``, for each key of ``wanted``."""
    wanted = json.loads(json.dumps(wanted))
    clauses: list[str] = []
    for key, here in wanted.items():
        there = found.get(key)
        if key == "codec":
            clauses += _codec_differences(there, here)
        elif key == "teacher":
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


def _codec_differences(there: Any, here: Any) -> list[str]:
    """The manifest adds figures to name and settings; a name alone leaves the settings open."""
    there, here = [one if isinstance(one, dict) else {"name": one} for one in (there, here)]
    if there.get("name") != here.get("name"):
        return [f"the codec: {there.get('name')} there, {here.get('name')} here"]
    if "settings" in here:
        unlike = differences(there, {"settings": here["settings"]})
        return [clause.replace("settings", "the codec's settings", 1) for clause in unlike]
    return []


def _short(value: Any) -> str:
    return f"{value[:12]}…" if isinstance(value, str) and len(value) > 20 else str(value)


def ids_metadata(digest: str) -> dict[str, str]:
    """The schema metadata of a file of ids."""
    return {"schema_version": str(SCHEMA_VERSION), "kind": KIND, "ids": digest}


def shard_metadata(plan: Mapping[str, Any], ids_digest: str, view: int, block: int) -> dict[str, str]:
    """The schema metadata of a shard: of which store and which examples it is, and which of their shards."""
    return {**ids_metadata(ids_digest), "plan": fingerprint(plan), "view": str(view), "block": str(block)}


def libraries(recorded: Iterable[Mapping[str, str]] = ()) -> dict[str, str]:
    """Versions of what took part, now and as ``recorded`` before; recorded, not compared."""
    versions = [*recorded, _installed()]
    return {name: ", ".join(sorted({one[name] for one in versions if name in one})) for name in LIBRARIES}


@cache  # each is read out of a file of some kilobytes
def _installed() -> Mapping[str, str]:
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


class Seal(NamedTuple):
    """Every file of a store as it was written: name -> ``{"bytes", "sha256"}``."""

    files: dict[str, dict[str, Any]]
    previous: dict[str, Any] | None = None  # of the manifest that is being replaced


def sealed_file(path: Path) -> dict[str, Any]:
    """What a seal says of a file."""
    return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


def publish(root: Path, manifest: Mapping[str, Any], names: Iterable[str]) -> None:
    """Makes the manifest and the named files the store; kill it anywhere, and the store is the old or the new one.

    A finished store's new seal first allows for both manifests, then the manifest is replaced, then the seal again.
    """
    text = json_text(manifest)
    before = read_seal(root) if (root / SEAL).exists() else Seal({})
    files = {name: before.files.get(name) or sealed_file(root / name) for name in names}
    files[MANIFEST] = {"bytes": len(text.encode()), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    if before.files:
        write_seal(root, Seal(files, sealed_file(root / MANIFEST)))
    write_text(root / MANIFEST, text)
    write_seal(root, Seal(files))


def write_seal(root: Path, seal: Seal) -> None:
    """Writes the seal, with a digest over it."""
    write_text(root / SEAL, _sealed(seal))


def read_seal(root: Path) -> Seal:
    """The seal. Raises :class:`BadInput` if it is not whole."""
    path = root / SEAL
    value = read_json(path)
    seal = Seal(value.get("files"), value.get("previous"))  # pyright: ignore[reportArgumentType]
    try:
        whole = _is_list_of_files(value) and path.read_text(encoding="utf-8") == _sealed(seal)
    except ValueError:  # NaN, which the standard library reads and JSON does not know
        whole = False
    if not whole:
        raise BadInput(f"{path} is damaged: its own digest does not fit. Restore it, or delete it and cast again.")
    return seal


def contents(root: Path) -> str:
    """Names what the finished store at ``root`` holds, to the byte."""
    return fingerprint(read_seal(root).files)


def _is_list_of_files(value: dict[str, Any]) -> bool:
    files = value.get("files")
    entries = [*files.values()] if isinstance(files, dict) else [None]
    entries += [value["previous"]] if "previous" in value else []
    return all(isinstance(entry, dict) and {"bytes", "sha256"} == set(entry) for entry in entries)


def _sealed(seal: Seal) -> str:
    files = dict(sorted(seal.files.items()))
    both = {"files": files} | ({} if seal.previous is None else {"previous": seal.previous})
    return json_text({"schema_version": SCHEMA_VERSION, **both, "digest": fingerprint(both)})
