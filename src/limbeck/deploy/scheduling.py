"""Longer turns on the processor while something is timed, where the system gives them to whoever asks (Linux from 6.12).

A thread may name the length of its turns; its share of the processor stays what it was, so nobody else loses by it. With
the usual turns of a millisecond or three, on a busy machine hardly a run of a millisecond begins with warm caches and ends
undisturbed.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SHORTEST_NS, LONGEST_NS = 3_000_000, 100_000_000  # about what is usual; the most that Linux takes

# sched_setattr and sched_getattr have no wrappers in older C libraries, so they are called by number.
_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275)}
# struct sched_attr in its first form: size, policy, flags, nice, priority, runtime, deadline, period
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")
_FAIR = (0, 3)  # SCHED_OTHER and SCHED_BATCH: in these a runtime is the length of a turn


@contextmanager
def long_turns(ms: float) -> Iterator[None]:
    """Asks for turns of so many ms for this thread, and takes the request back; does nothing where it is not granted.

    No longer than is needed: who asks for long turns waits longer for each.
    """
    before, wanted = _attributes(), min(max(int(ms * 1e6), SHORTEST_NS), LONGEST_NS)
    asked = before is not None and _set(*before[:5], wanted, *before[6:])
    try:
        yield
    finally:
        if asked and before is not None:
            _set(*before)


def turn_ns() -> int | None:
    """The length of this thread's turns in ns, as the system tells it; None where it does not."""
    found = _attributes()
    return None if found is None else found[5]


def _attributes() -> tuple[int, ...] | None:
    buffer = ctypes.create_string_buffer(_ATTRIBUTES.size)
    if not _call(1, buffer, _ATTRIBUTES.size, 0):
        return None
    found = _ATTRIBUTES.unpack(buffer.raw)
    return found if found[1] in _FAIR else None


def _set(*attributes: int) -> bool:
    return _call(0, ctypes.create_string_buffer(_ATTRIBUTES.pack(*attributes), _ATTRIBUTES.size), 0)


def _call(which: int, *arguments: ctypes.Array[ctypes.c_char] | int) -> bool:
    """Whether one of the two calls, for this thread (0), succeeded."""
    numbers = _CALLS.get(platform.machine()) if sys.platform == "linux" else None
    if numbers is None:
        return False
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return ctypes.CDLL(None).syscall(ctypes.c_long(numbers[which]), ctypes.c_long(0), *given) == 0
