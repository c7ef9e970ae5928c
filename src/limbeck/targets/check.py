"""Whether a store's files are whole: sizes always, every byte on request or where the store is small."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..files import sha256_file
from . import shard
from .manifest import IDS, MANIFEST, PLAN, SEAL, read_json, read_seal

VERIFY_BELOW_BYTES = 2 << 30  # a smaller store has every digest checked when it is opened
RESUME = "Run the same command again: it goes on where it stopped, and what is whole is kept."
AGAIN = f"Delete that file. {RESUME}"


def check(path: Path, full: bool | None = None) -> tuple[list[str], dict[str, Any]]:
    """Problems of the files, and the manifest. ``full``: every digest; None: where the store is small."""
    if not path.is_dir():
        return [f"there are no soft targets at {path}: no such folder."], {}
    if not (path / SEAL).exists():
        if (path / PLAN).exists() and not (path / MANIFEST).exists():
            return [f"{path}: casting has not finished. {RESUME}"], {}
        return [f"{path / SEAL} is missing: {path} is no finished store. {RESUME}"], {}
    try:
        seal = read_seal(path)
    except BadInput as error:
        return [str(error)], {}
    if full is None:
        full = sum(entry["bytes"] for entry in seal.values()) < VERIFY_BELOW_BYTES
    problems = [
        problem
        for name, entry in seal.items()
        if (problem := _file_problem(path / name, entry, full or not name.endswith(".arrow") or name == IDS))
    ]
    try:
        manifest = read_json(path / MANIFEST)
    except BadInput as error:
        return problems or [str(error)], {}
    if not problems:
        unsealed = sorted(expected_files(manifest) - set(seal))
        problems = [f"{path / name} is not in {SEAL}. Delete {SEAL}. {RESUME}" for name in unsealed]
    return problems, manifest


def expected_files(manifest: Mapping[str, Any]) -> set[str]:
    """Names of the files that a store of this plan or manifest holds; seal and digest files left out."""
    blocks = -(-manifest["examples"] // manifest["block_size"])
    shards = {shard.shard_name(v, b) for v in range(manifest["view_count"]) for b in range(blocks)}
    return {PLAN, MANIFEST, IDS} | shards


def lacks_a_file(path: Path, plan: Mapping[str, Any]) -> bool:
    """Whether a file of the store is not there at all."""
    names = expected_files(plan)
    beside = {str(shard.digest_path(Path(name))) for name in names if name.startswith("view-")}
    return not all((path / name).exists() for name in names | beside)


def lacks_a_shard(path: Path) -> bool:
    """Whether a file of the finished store at ``path`` is gone. Raises :class:`BadInput` if its manifest is."""
    return lacks_a_file(path, read_json(path / MANIFEST))


def _file_problem(path: Path, entry: Mapping[str, Any], full: bool) -> str | None:
    try:
        size = path.stat().st_size
        if size != entry["bytes"]:
            return f"{path} is damaged: it has {size} bytes, and {entry['bytes']} were written. {AGAIN}"
        if full and sha256_file(path) != entry["sha256"]:
            return f"{path} is damaged: its bytes are not those that were written (SHA-256 differs). {AGAIN}"
        beside = shard.digest_path(path)
        text = shard.digest_text(path, entry["sha256"]).encode()
        if path.parent.name.startswith("view-") and beside.read_bytes() != text:
            return f"{beside} is damaged: it does not name the digest of {path.name}. {AGAIN}"
    except FileNotFoundError as error:
        return f"{error.filename} is missing. {RESUME}"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}."
    return None
