"""Two processes write one store of soft targets and are killed again and again: is it the same store in the end?

    python benchmarks/kills_while_casting.py
    python benchmarks/kills_while_casting.py --kills 200 --views 16

First one process casts the store undisturbed. Then, store after store, two cast a new one; at random moments one of
them, or both, get SIGKILL and are started again, until the store is finished; and so on until as many kills as asked for
have been made. Every file of every store must be the undisturbed one's, byte for byte. The teacher is the recipe's,
untrained: what it says does not matter here. One thread a process, CPU. About 2 minutes on 2 cores, most of it the
disk's. Exit code 1 where anything differs.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from common import arguments, job_of, print_conditions, print_table
from torch import Tensor

from limbeck.modalities.image.load import load
from limbeck.pipeline.job import Job, use_threads
from limbeck.recipe.read import read
from limbeck.targets.cast import cast
from limbeck.targets.live_teacher import LiveTeacher
from limbeck.targets.store.manifest import SEAL, StoreIdentity
from limbeck.targets.store.store import verify

FORK = multiprocessing.get_context("fork")  # a fresh interpreter would spend most of its short life importing


def write(job: Job, path: Path, views: int, block_size: int) -> None:
    """Casts the store, or what is left to do of it."""
    pool, task = job.task.pool, job.task
    live = LiveTeacher(job.teacher, task)
    known: StoreIdentity = {
        "classes": job.splits.answers.width,
        "data": job.splits.fingerprint,
        "teacher": {"weights": "untrained", "probe": []},
        "preprocess": None,
        "precision": "float32",
        "views": job.recipe.views.model_dump(mode="json"),
        "view_seed": job.recipe.seed,
    }

    def ask(index_B: Tensor, view: int) -> Tensor:
        batch = task.batch(pool, index_B, torch.full_like(index_B, view), job.recipe.views)
        with torch.no_grad():
            return task.answer(live.model, batch).float()

    cast(path, known, pool.ids, views, ask, block_size=block_size, batch_size=block_size)


def contents(path: Path) -> dict[str, bytes]:
    """Every file of a store."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def started(job: Job, path: Path, views: int, block_size: int) -> BaseProcess:
    """A writer at work."""
    process = FORK.Process(target=write, args=(job, path, views, block_size))
    process.start()
    return process


def main() -> int:
    parser = arguments(__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--block-size", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills, and of who is killed")
    asked = parser.parse_args()
    began, draw = time.monotonic(), random.Random(asked.seed)
    use_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        base = asked.out or Path(scratch)
        job = job_of(asked, load(read(asked.recipe, asked.set).data), base / "run")
        path, what = base / "store", (asked.views, asked.block_size)
        if path.exists():
            sys.exit(f"{path} is there already: name a new folder.")
        clock = time.monotonic()
        alone = started(job, path, *what)
        alone.join()
        undisturbed_s, expected = time.monotonic() - clock, contents(path)
        shards = sum(name.endswith(".arrow") for name in expected) - 1
        rows: list[list[object]] = []
        kills = 0
        while kills < asked.kills:
            shutil.rmtree(path)
            writers, moments = [started(job, path, *what) for _ in range(2)], []
            while any(writer.is_alive() for writer in writers):
                wait = draw.uniform(0, undisturbed_s / 4)
                until = time.monotonic() + wait
                while time.monotonic() < until and any(writer.is_alive() for writer in writers):
                    time.sleep(0.002)
                for number in draw.choice([(0,), (1,), (0, 1)]):
                    if kills + len(moments) < asked.kills and writers[number].is_alive():
                        there = len(list(path.glob("ids-*/view-*/*.sha256")))
                        writers[number].kill()
                        writers[number].join()
                        if writers[number].exitcode:  # it had not just finished
                            moments.append(there)
                            writers[number] = started(job, path, *what)
            failed = [writer.exitcode for writer in writers if writer.exitcode]
            same = not failed and (path / SEAL).exists() and not verify(path) and contents(path) == expected
            kills += len(moments)
            rows.append([len(rows) + 1, len(moments), ", ".join(map(str, moments)) or "-", "yes" if same else "NO"])
    print_table(["store", "kills", f"shards (of {shards}) at each kill", "identical to the undisturbed"], rows)
    identical = sum(row[3] == "yes" for row in rows)
    print(
        f"\n{kills} kills, {identical} of {len(rows)} stores identical; undisturbed, one cast took {undisturbed_s:.1f} s."
    )
    print_conditions(f"of the kills {asked.seed}; 1 thread a writer", began)
    return int(identical < len(rows))


if __name__ == "__main__":
    sys.exit(main())
