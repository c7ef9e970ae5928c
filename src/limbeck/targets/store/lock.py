"""How several processes write one store: a lock for the moment of writing, and claims on what each is at.

The kernel lets go of both when a process dies. Where the file system has no locks, writers may do the same work
twice, and are still safe as long as the teacher's answers are the same to the bit.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from ...errors import BadInput
from ...files import raise_as_sentence
from ...randomness import stable_hash


@contextmanager
def alone(root: Path) -> Iterator[bool]:
    """Holds the store's lock: nobody else writes a file meanwhile. Yields False where there are no locks.

    Raises :class:`BadInput` where the folder cannot be written.
    """
    handle = _opened(root, ".lock")
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            held = True
        except OSError:
            held = False
        yield held
    finally:
        os.close(handle)


class Claims:
    """What this process says it is working at, so that another leaves it alone; a context manager.

    A claim is a lock on one byte of an empty file, at the place that the claimed name hashes to. (A file of its own:
    a process lets go of all its byte locks on a file when it closes any handle of it.)
    """

    def __init__(self, root: Path) -> None:
        self._handle = _opened(root, ".claims")

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._handle)

    def claim(self, name: str, wait: bool) -> bool:
        """Claims ``name``; False where another process has it. ``wait``: until that one has done or died."""
        try:
            fcntl.lockf(self._handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, _byte(name))
        except BlockingIOError:
            return False
        except OSError:
            return True  # no locks here
        return True

    def release(self, name: str) -> None:
        """Gives a claim up."""
        with suppress(OSError):
            fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, _byte(name))


def _byte(name: str) -> int:
    return stable_hash(name) >> 1  # the byte after it has to have a number too


def _opened(root: Path, name: str) -> int:
    path = root / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise_as_sentence(error, path)
        raise BadInput(f"{root} cannot be written to: {error.strerror}.") from error
