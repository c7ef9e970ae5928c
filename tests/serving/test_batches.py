"""Claims about batching: together where they come together, never later than promised, and none spoils another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from limbeck.serving.batches import Batches, Busy


class Model:
    """Doubles numbers, slowly where it is told to wait; has no answer to 13."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()

    def ask(self, inputs: Sequence[int]) -> list[int]:
        assert self.go.wait(10)
        self.batches.append(list(inputs))
        if 13 in inputs:
            raise ValueError("no answer to 13")
        return [2 * one for one in inputs]


def run(
    model: Model, scene: Callable[[Batches], Awaitable[Any]], *, most: int = 4, wait: float = 0.0, room: int = 9
) -> Any:
    """Plays a scene with batches at work."""
    told: list[int] = []

    async def all_of_it() -> Any:
        batches = Batches(model.ask, most=most, wait=wait, room=room, told=lambda size, _: told.append(size))
        task = asyncio.create_task(batches.work())
        try:
            return await asyncio.wait_for(scene(batches), 10)
        finally:
            task.cancel()
            batches.close()

    found = asyncio.run(all_of_it())
    assert max(told, default=0) <= most
    return found


def test_what_comes_while_the_model_is_at_work_is_answered_together() -> None:
    model = Model()
    model.go.clear()

    async def scene(batches: Batches) -> list[list[int]]:
        asked = [asyncio.create_task(batches.answers([one])) for one in range(9)]
        await asyncio.sleep(0.05)  # the first is with the model, or the first four: they came at once
        model.go.set()
        return await asyncio.gather(*asked)

    assert run(model, scene) == [[2 * one] for one in range(9)]
    assert [len(one) for one in model.batches] == [4, 4, 1]


def test_an_example_waits_for_others_no_longer_than_it_was_told() -> None:
    model = Model()

    async def scene(batches: Batches) -> None:
        first = asyncio.create_task(batches.answers([1]))
        await asyncio.sleep(0.01)
        assert await batches.answers([2]) == [4]
        assert await first == [2]

    run(model, scene, wait=0.2)
    assert model.batches == [[1, 2]]
    model.batches.clear()
    run(model, scene, wait=0.0)
    assert model.batches == [[1], [2]]


def test_a_full_batch_waits_for_nobody() -> None:
    model = Model()
    assert run(model, lambda batches: batches.answers([1, 2, 3, 4]), wait=60) == [2, 4, 6, 8]


def test_one_without_an_answer_does_not_spoil_the_others() -> None:
    model = Model()

    async def scene(batches: Batches) -> list[Any]:
        asked = [batches.answers([one]) for one in (1, 13, 3)]
        return await asyncio.gather(*asked, return_exceptions=True)

    first, spoilt, third = run(model, scene)
    assert (first, third) == ([2], [6])
    assert isinstance(spoilt, ValueError)


def test_more_than_there_is_room_for_is_turned_away_and_what_waits_is_answered() -> None:
    model = Model()
    model.go.clear()

    async def scene(batches: Batches) -> list[int]:
        waiting = []
        for _ in range(3):  # one with the model, two that wait
            waiting.append(asyncio.create_task(batches.answers([1] * 4)))
            await asyncio.sleep(0.02)
        with pytest.raises(Busy):
            await batches.answers([1] * 4)
        model.go.set()
        return [len(one) for one in await asyncio.gather(*waiting)]

    assert run(model, scene, room=8) == [4, 4, 4]


def test_a_fault_of_the_model_ends_its_requests_and_not_the_server() -> None:
    def broken(inputs: Sequence[int]) -> list[int]:
        if 0 in inputs:
            raise RuntimeError("a fault")
        return list(inputs)

    model = Model()
    model.ask = broken  # type: ignore[method-assign]

    async def scene(batches: Batches) -> list[int]:
        with pytest.raises(RuntimeError):
            await batches.answers([0])
        return await batches.answers([5])

    assert run(model, scene) == [5]
