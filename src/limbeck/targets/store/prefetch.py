"""Reading the next batch's answers in a thread, while the present step computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from .mapped_files import Answers

AT_MOST = 1024  # announced and never asked for, which no source does


class _Pending(NamedTuple):
    ids_B: Tensor
    view_B: Tensor
    answers: Future[Answers]


class Ahead:
    """What was announced and not yet asked for. ``read`` must be a pure function; what it raises is raised on asking."""

    def __init__(self, read: Callable[[Tensor, Tensor], Answers], device: torch.device) -> None:
        self._read = read
        self._pending: deque[_Pending] = deque(maxlen=AT_MOST)
        # a thread begins on the first GPU, whichever this process works on
        prepare = (lambda: torch.cuda.set_device(device)) if device.type == "cuda" else None
        self._thread = ThreadPoolExecutor(1, "soft targets", prepare)

    def announce(self, ids_B: Tensor, view_B: Tensor) -> None:
        """Begins to read; returns at once."""
        self._pending.append(_Pending(ids_B, view_B, self._thread.submit(self._read, ids_B, view_B)))

    def take(self, ids_B: Tensor, view_B: Tensor) -> Answers:
        """What was read ahead, if these were announced; otherwise read now."""
        for place, pending in enumerate(self._pending):
            if _same(pending.ids_B, ids_B) and _same(pending.view_B, view_B):
                for _ in range(place):  # batches are asked for in the order in which they were announced
                    self._pending.popleft().answers.cancel()
                return self._pending.popleft().answers.result()
        return self._read(ids_B, view_B)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.device == other.device and torch.equal(one, other)
