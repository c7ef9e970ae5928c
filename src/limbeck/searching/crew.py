"""Who trains a search's candidates: this process, or several others that do nothing else."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

import torch

from ..errors import BadInput, LimbeckError
from ..pipeline.parallel import leave_with_parent
from ..sections.recipe import Recipe
from ..training.not_finite import NotFinite
from .bench import Bench, Candidate, Reached


@dataclass(frozen=True)
class Failure:
    """Why a candidate's training came to nothing, as a sentence."""

    why: str


@dataclass(frozen=True)
class Asked:
    """A search as other processes are told of it; ``threads`` is the share of each."""

    recipe: Recipe
    out: Path
    trust_code: bool
    device: str
    threads: int


class Crew(Protocol):
    """Trains several candidates at a time, each at a place."""

    places: int

    def begin(self, place: int, candidate: Candidate, until: int | None) -> None:
        """Has a candidate trained to the end of an epoch, or in full; its teacher and soft targets are there."""
        ...

    def next(self) -> tuple[int, Reached | Failure]:
        """Waits for whoever is done first. Raises what is no failure of the candidate: a full disk, Ctrl-C."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """While it lasts nobody trains, so that something can be timed."""
        ...

    def close(self) -> None:
        """Ends what is still at work; it goes on from its last checkpoint another time. Whoever is needed afterwards starts anew."""
        ...


class Alone:
    """This process trains, one candidate at a time."""

    places = 1

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._given: tuple[Candidate, int | None] | None = None

    def begin(self, place: int, candidate: Candidate, until: int | None) -> None:
        self._given = candidate, until

    def next(self) -> tuple[int, Reached | Failure]:
        assert self._given is not None
        return 0, trained(self._bench, *self._given)

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self) -> None:
        return


class Processes:
    """Other processes train, one candidate each at a time."""

    def __init__(self, asked: Asked, places: int) -> None:
        self.places = places
        self._asked = asked
        self._ends: dict[int, Connection] = {}
        self._workers: list[BaseProcess] = []

    def begin(self, place: int, candidate: Candidate, until: int | None) -> None:
        if place not in self._ends:  # started when there is something to do: a search that is resumed may be at its end
            self._ends[place] = self._started()
        self._ends[place].send((candidate, until))

    def next(self) -> tuple[int, Reached | Failure]:
        ready = wait([*self._ends.values()])[0]
        place = next(place for place, end in self._ends.items() if end is ready)
        try:
            answer = self._ends[place].recv()
        except (EOFError, OSError):
            raise LimbeckError(
                "a process that trained a candidate was ended from outside (out of memory?): run the same command to go on, "
                "with fewer --jobs."
            ) from None
        if isinstance(answer, Exception):
            raise answer
        return place, answer

    def _started(self) -> Connection:
        context = torch.multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        worker = context.Process(target=_work, args=(self._asked, theirs, os.getpid()))
        worker.start()
        theirs.close()
        self._workers.append(worker)
        return ours

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def close(self) -> None:
        for end in self._ends.values():
            end.close()
        self._signal(signal.SIGTERM)
        for worker in self._workers:
            worker.join()
        self._ends, self._workers = {}, []

    def _signal(self, number: int) -> None:
        for worker in self._workers:
            if worker.is_alive() and worker.pid is not None:
                os.kill(worker.pid, number)


def train_all(crew: Crew, candidates: Sequence[Candidate], done: Callable[[], None]) -> None:
    """Trains candidates in full, in this order; ``done`` is called after each. What came to nothing is left as it is."""
    left = iter(candidates)
    at_work = 0
    for place in range(crew.places):
        if (candidate := next(left, None)) is not None:
            crew.begin(place, candidate, None)
            at_work += 1
    while at_work:
        place, _ = crew.next()
        done()
        if (candidate := next(left, None)) is not None:
            crew.begin(place, candidate, None)
        else:
            at_work -= 1


def trained(bench: Bench, candidate: Candidate, until: int | None) -> Reached | Failure:
    """A candidate, trained to the end of an epoch or in full; what is no fault of its own is raised."""
    try:
        return bench.train(candidate, until)
    except NotFinite as error:
        return Failure(str(error))
    except BadInput as error:
        if error.__cause__ is not None:  # a file that cannot be written, or was damaged
            raise
        return Failure(str(error))


def _work(asked: Asked, end: Connection, parent: int) -> None:
    """One process's life: trains what it is sent, until there is nobody to send."""
    _end_with(parent)
    threading.Thread(target=leave_with_parent, daemon=True).start()
    bench: Bench | None = None
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # what there is to say the parent says
        while True:
            try:
                candidate, until = end.recv()
                bench = bench or Bench(
                    asked.recipe,
                    out=asked.out,
                    trust_code=asked.trust_code,
                    device=asked.device,
                    threads=asked.threads,
                    quiet=True,
                )
                answer = trained(bench, candidate, until)
            except (EOFError, KeyboardInterrupt):
                return
            except LimbeckError as error:
                answer = error
            except Exception:
                answer = RuntimeError(f"in a process that trained a candidate:\n{traceback.format_exc()}")
            try:
                end.send(answer)
            except OSError:  # whoever asked is gone
                return


def _end_with(parent: int) -> None:
    """Linux ends this process when its parent was killed, even while it is stopped; elsewhere a thread does, once it is awake."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)
