"""Several trainings at a time, each in a process of its own."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import progress
from ..errors import LimbeckError
from ..sections.recipe import Recipe
from .assistant import arms_of, learns_from_teacher, the_assistant
from .job import Job, open_job
from .sparse import epochs_more
from .stages import ARMS
from .students import examples_of, members, plan_of, train_member
from .targets import the_targets
from .teacher import the_teacher

Done = Callable[[], None]


@dataclass(frozen=True)
class Asked:
    """A run as it was asked for, to be handed to another process."""

    recipe: Recipe
    out: Path
    trust_code: bool
    force: tuple[str, ...]
    device: str
    threads: int


def side_by_side(asked: Asked, jobs: int, total: int) -> None:
    """Finishes the students' stages in ``jobs`` processes. What a process could not finish is left to the caller."""
    in_processes(_share_of_students, asked, jobs, total, "students and baselines")


def in_processes(share: Callable[[Any, int, int, Done], None], asked: Any, jobs: int, total: int, title: str) -> None:
    """Calls ``share(asked, k, jobs, done)`` for every k below ``jobs`` (there may be none), each in its own process.

    ``share`` is a function of a module, ``asked`` can be pickled, and ``done`` is to be called after each of ``total``
    pieces of work. What a process could not finish is left to the caller, who meets the same error and says it.
    """
    context = torch.multiprocessing.get_context("spawn")
    done = context.Queue()
    workers = [context.Process(target=_work, args=(share, asked, k, jobs, done)) for k in range(jobs)]
    for worker in workers:
        worker.start()
    try:
        with progress.bar(total, f"{title}, {jobs} at a time") as advance:
            while any(worker.is_alive() for worker in workers):
                try:
                    done.get(timeout=0.5)
                    advance()
                except queue.Empty:
                    continue
    finally:
        for worker in workers:
            worker.join()


def _work(share: Callable[[Any, int, int, Done], None], asked: Any, number: int, jobs: int, done: Any) -> None:
    threading.Thread(target=leave_with_parent, daemon=True).start()
    try:
        share(asked, number, jobs, lambda: done.put(number))
    except (LimbeckError, KeyboardInterrupt):
        return


def _share_of_students(asked: Asked, number: int, jobs: int, done: Done) -> None:
    """One process's part of :func:`side_by_side`."""
    job = open_job(
        asked.recipe,
        out=asked.out,
        trust_code=asked.trust_code,
        device=asked.device,
        force=tuple(set(asked.force) & set(ARMS)),
        threads=asked.threads,
        quiet=True,
    )
    teacher = the_teacher(job)
    store = the_targets(learns_from_teacher(job), teacher)
    job, arms = arms_of(job, teacher, store, the_assistant(job, teacher, store))
    for name, seed in shares(job, jobs)[number]:
        train_member(job, arms[name], seed)
        done()


def shares(job: Job, jobs: int) -> list[list[tuple[str, int]]]:
    """The training runs for each of ``jobs`` processes, so that all end at about the same time.

    Each goes, the longest first, to the process with the least to do; what takes long is told by the examples that it sees.
    """

    def examples(name: str) -> int:
        plan = plan_of(job, name)
        return (plan.epochs + epochs_more(job.recipe, plan)) * len(examples_of(job, name))

    given: list[list[tuple[str, int]]] = [[] for _ in range(jobs)]
    burden = [0] * jobs
    for name, seed in sorted(members(job), key=lambda one: -examples(one[0])):
        least = burden.index(min(burden))
        given[least].append((name, seed))
        burden[least] += examples(name)
    return given


def leave_with_parent() -> None:
    """Ends this process when its parent was killed: the folder is no longer claimed, and another run may begin."""
    parent = torch.multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
