"""Runtimes in C++ that are not asked for what they have to say."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet(kept: int | None = None) -> Iterator[None]:
    """What C++ writes to standard error goes nowhere, or into an open file of that number: of the processor's kind, or what is wrong of
    what is raised anyway."""
    sys.stderr.flush()
    before = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere if kept is None else kept, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)
