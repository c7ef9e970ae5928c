"""A stretch of this process's addresses into which files are mapped side by side, so that one array spans them all.

Nothing is read until it is touched. The stretch is given back once no array points into it.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import weakref
from pathlib import Path

import numpy as np

_MAP_FIXED = 0x10  # Linux and macOS; Python's mmap does not name it
_NO_ACCESS = 0

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Span:
    """``nbytes`` of address space, rounded up to whole pages. Raises ``OSError`` where the system grants no more.

    Where no file is mapped nothing must be touched: the system would end the process. One thread at a time may map.
    """

    def __init__(self, nbytes: int) -> None:
        self.nbytes = whole_pages(nbytes)
        self.used = 0  # of these; whole pages
        self._start = _mmap(None, self.nbytes, _NO_ACCESS, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
        owner = (ctypes.c_ubyte * self.nbytes).from_address(self._start)
        # at exit another thread may still be reading; the system cleans up then
        weakref.finalize(owner, _LIBC.munmap, self._start, self.nbytes).atexit = False
        self.bytes = np.frombuffer(memoryview(owner), np.uint8)

    def map(self, path: Path) -> np.ndarray:
        """Maps a file, read-only, behind what is used: its bytes, as uint8.

        Raises ``ValueError`` where the file is empty or larger than what is left, ``OSError`` where it cannot be read.
        """
        handle = os.open(path, os.O_RDONLY)
        try:
            size = os.fstat(handle).st_size
            if size == 0:
                raise ValueError("it is empty")
            at, end = self.used, self.used + whole_pages(size)
            if end > self.nbytes:
                raise ValueError("it is larger than it was when the store was opened")
            _mmap(self._start + at, size, mmap.PROT_READ, mmap.MAP_PRIVATE | _MAP_FIXED, handle)
        finally:
            os.close(handle)  # what is mapped stays, and a large store has more files than a process may open
        self.used = end
        return self.bytes[at : at + size]

    def offset(self, values: np.ndarray) -> int:
        """At which of its bytes an array begins; negative or beyond the last where it lies elsewhere."""
        return values.ctypes.data - self._start


def begin_to_read(path: Path) -> None:
    """Asks the system to fetch a file from the disk meanwhile; what goes wrong shows when it is read."""
    if not hasattr(os, "posix_fadvise"):  # macOS
        return
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(handle)


def whole_pages(nbytes: int) -> int:
    """Rounded up to whole pages."""
    return -(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE


def _mmap(at: int | None, nbytes: int, protection: int, flags: int, handle: int) -> int:
    address = _LIBC.mmap(at, nbytes, protection, flags, handle, 0)
    if address is None or address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return address
