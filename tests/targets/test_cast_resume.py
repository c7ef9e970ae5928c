"""Casting may be killed at any moment, resumed, and shared by several processes: the store is the same."""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch

from limbeck.targets.cast import cast
from limbeck.targets.store.store import verify

CLASSES, VIEWS, N, BLOCK = 4, 2, 60, 5
FORK = multiprocessing.get_context("fork")  # a fresh interpreter would spend its life importing


def ask(index_B, view):
    time.sleep(0.002)
    return torch.sin((index_B[:, None] + 100 * view) * (torch.arange(CLASSES) + 1).double()).float()


def make(path, **options):
    identity = {
        "classes": CLASSES,
        "data": "d",
        "teacher": {"weights": "w", "probe": [1.0]},
        "preprocess": None,
        "precision": "float32",
        "views": {},
        "view_seed": 0,
    }
    options = {"block_size": BLOCK, "batch_size": BLOCK, **options}
    return cast(path, identity, torch.arange(N) * 3, VIEWS, ask, **options)


def make_and_die_before_rename(path, number):
    """Killed with the temporary file written and not yet renamed: the worst moment there is."""
    replace, renamed = os.replace, []

    def dying(source, target):
        if len(renamed) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        renamed.append(target)
        replace(source, target)

    os.replace = dying
    make(path)


def writer(path):
    process = FORK.Process(target=make, args=(path,))
    process.start()
    return process


def wait_for_shards(path, count):
    until = time.monotonic() + 60
    while len(list(path.glob("ids-*/view-*/*.arrow"))) < count:
        assert time.monotonic() < until, "nothing is written"
        time.sleep(0.001)


def contents(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "store"
    make(path)
    return contents(path)


def test_killed_at_random_moments_and_resumed_it_is_the_same_to_the_byte(uninterrupted, tmp_path):
    moments = random.Random(0)
    killed_midway = 0
    for attempt in range(12):
        path = tmp_path / f"store-{attempt}"
        process = writer(path)
        wait_for_shards(path, moments.randint(0, 20))
        time.sleep(moments.uniform(0, 0.01))
        process.kill()
        process.join()
        killed_midway += not (path / "seal.json").exists()
        make(path)
        assert contents(path) == uninterrupted
    assert killed_midway > 6


# plan, ids, then a shard and its digest for each of 24 blocks, then manifest and seal
@pytest.mark.parametrize("number", [0, 1, 2, 3, 20, 21, 49, 50, 51])
def test_killed_before_a_rename_nothing_half_written_stays(uninterrupted, tmp_path, number):
    path = tmp_path / "store"
    process = FORK.Process(target=make_and_die_before_rename, args=(path, number))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(path.rglob(".*.part"))) == 1
    assert verify(path) != []
    make(path)
    assert contents(path) == uninterrupted


@pytest.mark.parametrize("dies", [False, True])
def test_two_writers_at_once_make_one_store_even_if_one_dies(uninterrupted, tmp_path, dies):
    path = tmp_path / "store"
    first, second = writer(path), writer(path)
    if dies:
        wait_for_shards(path, 8)
        first.kill()
    first.join()
    second.join()
    assert first.exitcode in ((-signal.SIGKILL, 0) if dies else (0,))
    assert second.exitcode == 0
    assert verify(path) == []
    assert contents(path) == uninterrupted


def test_progress_counts_every_target_once_also_after_a_resume(tmp_path):
    for _ in range(2):
        done = []
        make(tmp_path / "store", progress=done.append)
        assert sum(done) == N * VIEWS
        next((tmp_path / "store").glob("ids-*/view-0001/block-00003.arrow")).unlink()
