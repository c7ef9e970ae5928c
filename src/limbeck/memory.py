"""What the C library does with memory that is given back to it."""

from __future__ import annotations

import ctypes
import functools
import sys

# glibc's <malloc.h>; the second is the most that it takes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, FROM_HEAP_BYTES = 512 << 20, 32 << 20


@functools.cache
def keep_freed_memory() -> bool:
    """Has this process keep up to 512 MB of what it frees for what it asks for next; whether that could be set.

    By default glibc gives blocks of some megabytes, which is what activations on a CPU are, back to the system at once, and
    each page of them costs a fault the next time: up to a quarter of the time of a small network's forward pass
    (``benchmarks/casting.py``).
    Elsewhere than with glibc nothing is done.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    wanted = ((_M_TRIM_THRESHOLD, KEPT_BYTES), (_M_MMAP_THRESHOLD, FROM_HEAP_BYTES))
    return all(mallopt(option, value) == 1 for option, value in wanted)
