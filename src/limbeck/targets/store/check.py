"""Whether a store's files are whole: sizes always, every byte on request or where the store is small."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ...errors import BadInput
from ...files import sha256_file
from . import shard
from .manifest import MANIFEST, PLAN, SEAL, read_json, read_seal
from .segment import file_names

VERIFY_BELOW_BYTES = 2 << 30  # a smaller store has every digest checked when it is opened
RESUME = "Run the same command again: it goes on where it stopped, and what is whole is kept."
AGAIN = f"Delete that file. {RESUME}"


class Checked(NamedTuple):
    """What was found: a sentence for each problem, and, where there is none, the manifest and the shards' size."""

    problems: list[str]
    manifest: Mapping[str, Any] = MappingProxyType({})
    shard_bytes: int = 0


def check(path: Path, full: bool | None = None) -> Checked:
    """Looks at the files of a store. ``full``: at every digest; None: where the store is small."""
    while True:
        before = _bytes(path / SEAL)
        found = _check(path, full)
        # somebody may have extended the store meanwhile
        if not found.problems or before == _bytes(path / SEAL):
            return found


def expected_files(manifest: Mapping[str, Any]) -> set[str]:
    """Names of the files that a store of this manifest holds; manifest, seal and digest files left out."""
    return {PLAN}.union(*(file_names(entry, manifest["block_size"]) for entry in manifest["segments"]))


def lacks_a_file(path: Path) -> bool:
    """Whether a file of the finished store at ``path`` is gone. Raises :class:`BadInput` where its seal is damaged."""
    names = set(read_seal(path).files)
    beside = {str(shard.digest_path(Path(name))) for name in names if _is_shard(Path(name))}
    return not all((path / name).exists() for name in names | beside)


def _check(path: Path, full: bool | None) -> Checked:
    if not path.is_dir():
        return Checked([f"there are no soft targets at {path}: no such folder."])
    if not (path / SEAL).exists():
        if (path / PLAN).exists() and not (path / MANIFEST).exists():
            return Checked([f"{path}: casting has not finished. {RESUME}"])
        return Checked([f"{path / SEAL} is missing: {path} is no finished store. {RESUME}"])
    try:
        seal = read_seal(path)
    except BadInput as error:
        return Checked([str(error)])
    if full is None:
        full = sum(entry["bytes"] for entry in seal.files.values()) < VERIFY_BELOW_BYTES
    problems = []
    for name, entry in seal.files.items():
        problem = _file_problem(path / name, entry, full or not _is_shard(Path(name)))
        if problem and name == MANIFEST and seal.previous:  # its replacement was on the way
            problem = problem if _file_problem(path / name, seal.previous, True) else None
        problems += [problem] if problem else []
    try:
        manifest = read_json(path / MANIFEST)
    except BadInput as error:
        return Checked(problems or [str(error)])
    if problems:
        return Checked(problems)
    unsealed = sorted((expected_files(manifest) | {MANIFEST}) - set(seal.files))
    if unsealed:
        return Checked([f"{path / name} is not in {SEAL}. Delete {SEAL}. {RESUME}" for name in unsealed])
    return Checked([], manifest, sum(entry["bytes"] for name, entry in seal.files.items() if _is_shard(Path(name))))


def _file_problem(path: Path, entry: Mapping[str, Any], full: bool) -> str | None:
    try:
        size = path.stat().st_size
        if size != entry["bytes"]:
            return f"{path} is damaged: it has {size} bytes, and {entry['bytes']} were written. {AGAIN}"
        if full and sha256_file(path) != entry["sha256"]:
            return f"{path} is damaged: its bytes are not those that were written (SHA-256 differs). {AGAIN}"
        beside = shard.digest_path(path)
        text = shard.digest_text(path, entry["sha256"]).encode()
        if _is_shard(path) and beside.read_bytes() != text:
            return f"{beside} is damaged: it does not name the digest of {path.name}. {AGAIN}"
    except FileNotFoundError as error:
        return f"{error.filename} is missing. {RESUME}"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}."
    return None


def _is_shard(path: Path) -> bool:
    return path.parent.name.startswith("view-")


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
