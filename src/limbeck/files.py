"""Files that are either whole or absent: write to a temporary name, fsync, rename."""

from __future__ import annotations

import difflib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import BadInput, shortened


@contextmanager
def atomic_path(path: Path, *, sync_name: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on a clean exit it is fsynced and renamed to ``path``.

    ``sync_name``: whether the new name is synced to the disk as well, or left to whoever next writes in that folder.
    Where the body fails, the temporary file is removed and ``path`` is as it was. A full disk or a folder that
    cannot be written is reported as a sentence (:class:`BadInput`).
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        if sync_name:
            _sync_folder(path.parent)
    except OSError as error:
        raise_as_sentence(error, path)
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yields a temporary folder beside ``path``; on a clean exit its files are fsynced and it is renamed to ``path``.

    Where the body fails, the temporary folder is removed and ``path`` is as it was. With ``replace``, what lies at
    ``path`` is put aside for the rename, and removed after it; without, a folder that holds anything is refused.

    Raises :class:`BadInput` for a place that is taken, a full disk, or a folder that cannot be written.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not replace)):
            raise BadInput(
                f"{path} already holds something, and is not overwritten: name a folder that is not there yet."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with open(file, "rb") as handle:
                    os.fsync(handle.fileno())
        os.chmod(temporary, 0o755)
        old = Path(f"{temporary}.old")
        if path.exists():  # a folder that holds files cannot be replaced in one step
            os.replace(path, old)
        os.replace(temporary, path)
        _sync_folder(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise_as_sentence(error, path)
        raise
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def raise_as_sentence(error: OSError, path: Path) -> None:
    """Raises a :class:`BadInput` for a full disk, a place that cannot be written or a name that cannot be; returns otherwise."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise BadInput(
            f"the disk that holds {path.parent} is full: {path.name} could not be written. "
            "Free some space and run the same command; what is finished is kept."
        ) from error
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        raise BadInput(
            f"{path.parent} cannot be written to ({error.strerror}): choose another folder with --out, "
            "or give yourself the right to write there."
        ) from error
    if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL):
        raise BadInput(
            f"{shortened(str(path))} cannot be made here ({error.strerror}): choose another folder with --out."
        ) from error
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        raise BadInput(
            f"{path.parent} cannot be a folder: a file of that name, or of a parent's, stands in its place."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, atomically; NaN is refused (``ValueError``), since it is not JSON."""
    write_text(path, _json(value))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=False, allow_nan=False, ensure_ascii=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sealed(value: dict[str, Any]) -> str:
    """``value`` as JSON text that ends in a digest of the rest: no byte of it can change without being noticed."""
    return _json({**value, "digest": hashlib.sha256(_json(value).encode()).hexdigest()})


def unsealed(text: str) -> dict[str, Any]:
    """The value that :func:`sealed` made ``text`` of. Raises ``ValueError`` where the text is not what it was."""
    try:
        value = json.loads(text)
        whole = isinstance(value, dict) and value.pop("digest", None) is not None and sealed(value) == text
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    if not whole:
        raise ValueError("its own digest does not fit")
    return value


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """Sixteen hex digits that name ``value`` (anything JSON can say); the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def near(path: Path) -> str:
    """`` Did you mean 'x'?`` for what lies beside a path that is not there, or not what was meant, and is called almost so; or nothing."""
    there = [one.name for one in path.parent.iterdir() if one.name != path.name] if path.parent.is_dir() else []
    found = difflib.get_close_matches(path.name, there, n=1, cutoff=0.6)
    return f" Did you mean '{path.parent / found[0]}'?" if found else ""


def publish(source: Path, target: Path) -> None:
    """Copies a stage's file to the top of the run folder, atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(source.read_bytes())
