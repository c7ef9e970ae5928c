"""Examples of many requests, answered together. Stands alone"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple


class Busy(Exception):
    """As many examples wait as there is room for."""


class Waiting(NamedTuple):
    """An example that waits for its answer."""

    input: Any
    since: float  # seconds, by the event loop's clock
    answer: asyncio.Future[Any]


class Batches:
    """A model that is asked by one thread, batch after batch.

    A batch starts as soon as the model is free and either it is full or its first example has waited long enough for others.
    What comes while the model is at work makes up the next one.

    Args:
        ask: several inputs in, as many answers out. ``ValueError`` where it has none.
        most: examples of a batch.
        wait: seconds that an example waits for others.
        room: examples that may wait.
        told: called with the size of each batch and the seconds that it took.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Any]], Sequence[Any]],
        *,
        most: int,
        wait: float,
        room: int,
        told: Callable[[int, float], None],
    ) -> None:
        self._ask, self._most, self._wait, self._room, self._told = ask, most, wait, room, told
        self._waiting: deque[Waiting] = deque()
        self._come = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "model")

    def __len__(self) -> int:
        """How many examples wait."""
        return len(self._waiting)

    async def answers(self, inputs: Sequence[Any]) -> list[Any]:
        """The answers, in order. Raises :class:`Busy`, or the ``ValueError`` of the first that has none."""
        if self._waiting and len(self._waiting) + len(inputs) > self._room:
            raise Busy
        loop = asyncio.get_running_loop()
        here = [Waiting(one, loop.time(), loop.create_future()) for one in inputs]
        self._waiting.extend(here)
        self._come.set()
        found = await asyncio.gather(*(one.answer for one in here), return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return found

    async def work(self) -> None:
        """Answers until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._gather()
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            batch = [one for one in batch if not one.answer.done()]  # whoever has gone is not waited for
            if not batch:
                continue
            started = loop.time()
            try:
                found = await loop.run_in_executor(self._thread, self._each, [one.input for one in batch])
            except Exception as error:  # a fault of ours must end the requests, not the server
                found = [error] * len(batch)
            self._told(len(batch), loop.time() - started)
            for one, answer in zip(batch, found, strict=True):
                if one.answer.done():
                    continue
                if isinstance(answer, Exception):
                    one.answer.set_exception(answer)
                else:
                    one.answer.set_result(answer)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _gather(self) -> None:
        """Waits until a batch is to start."""
        loop = asyncio.get_running_loop()
        while not self._waiting:
            self._come.clear()
            await self._come.wait()
        while len(self._waiting) < self._most:
            left = self._waiting[0].since + self._wait - loop.time()
            if left <= 0:
                return
            self._come.clear()
            try:
                await asyncio.wait_for(self._come.wait(), left)
            except TimeoutError:
                return

    def _each(self, inputs: list[Any]) -> list[Any]:
        """An answer or a ``ValueError`` each: where a batch has none, each is asked alone, so that one cannot spoil the others."""
        try:
            return list(self._ask(inputs))
        except ValueError as error:
            if len(inputs) == 1:
                return [error]
        return [self._each([one])[0] for one in inputs]
