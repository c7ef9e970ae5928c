"""Reading soft targets at random: the store against one file a sample, and against a plain NumPy memmap.

    OMP_NUM_THREADS=1 python benchmarks/reading.py

Every way gives the same: float32 logits (256, 200) of random (example, view), from 25,000 examples of 4 views each:

- memmap: one float16 array on the disk, `torch.from_numpy(array[rows]).float()`. It is asked by the number of the row,
  which is an easier question.
- memmap, by id: the same, asked by example id and view, as all ways that follow but the last; the ids are looked up in a
  sorted array. Nothing is checked. This is what the store is to be compared with.
- held: the store as it serves a data set of this size, read into memory once.
- mapped: the store as it serves one that is not held (1 GB and more): the limit is put at 0 here.
- mapped, ahead: the same, the next batch announced before the present one is asked for, as training does. Nothing is
  computed in between, so that this shows what the thread costs, and not what it hides.
- files: one file a sample, written by `torch.save`, read by `torch.load(weights_only=True)` and stacked, as many do. There
  are 10,000 of them, and batches are drawn from these.

Ways take turns in every round (turned round every other time); ratios to either memmap are of the same round. Cold: each
way opens its files, they are dropped from the page cache (fsync, then posix_fadvise DONTNEED), and some batches are read; what
the disk, or a host below a virtual one, keeps in caches of its own is out of reach. How much of the files was in the page
cache after dropping is asked of the kernel and printed. Cold, the whole of the held store is read for the first batch, and
counts. Warm: all was read before. The goal is 0.9 of the memmap asked by id, warm. About 2 minutes on one core of 2.5 GHz.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from common import arguments, print_conditions, print_table
from torch import Tensor

import limbeck.targets.store.store as store_module
from limbeck import progress, randomness
from limbeck.interfaces import DenseLogits
from limbeck.targets.cast import cast
from limbeck.targets.store.manifest import StoreIdentity
from limbeck.targets.store.store import HOLD_BELOW_BYTES, Store

BATCH, VIEWS = 256, 4
LIBC = ctypes.CDLL(None)
IDENTITY: StoreIdentity = {
    "classes": 200,
    "data": "random",
    "teacher": {"weights": "random", "probe": [0.0]},
    "preprocess": None,
    "precision": "float32",
    "views": {},
    "view_seed": 0,
}


class Asked(NamedTuple):
    """A batch: row ``i`` is view ``i % VIEWS`` of example ``i // VIEWS``."""

    row_B: Tensor
    ids_B: Tensor
    view_B: Tensor


Read = Callable[[Sequence[Asked]], Tensor]  # some batches, to the last one's logits (B, C)


@dataclass(frozen=True)
class Way:
    """One way to keep the targets: what lies on the disk, and how a fresh reader of it is made."""

    paths: list[Path]
    open: Callable[[], Read]
    rows: int  # that batches are drawn from, the first ones
    ids_N: Tensor  # of the examples

    def asked(self, row_B: Tensor) -> Asked:
        return Asked(row_B, self.ids_N[row_B // VIEWS], row_B % VIEWS)


def from_store(path: Path, *, held: bool, ahead: bool = False) -> Read:
    store = Store.open(path)

    def read(batches: Sequence[Asked]) -> Tensor:
        store_module.HOLD_BELOW_BYTES = HOLD_BELOW_BYTES if held else 0
        if ahead:
            store.prefetch(batches[0].ids_B, batches[0].view_B)
        for number, (_, ids_B, view_B) in enumerate(batches):
            if ahead and number + 1 < len(batches):
                store.prefetch(batches[number + 1].ids_B, batches[number + 1].view_B)
            answer = store.gather(ids_B, view_B)
        assert isinstance(answer, DenseLogits)
        return answer.logits

    return read


def from_memmap(path: Path, classes: int) -> Read:
    array = np.memmap(path, np.float16, "r").reshape(-1, classes)

    def read(batches: Sequence[Asked]) -> Tensor:
        for row_B, _, _ in batches:
            logits_BC = torch.from_numpy(array[row_B.numpy()]).float()
        return logits_BC

    return read


def from_memmap_by_id(path: Path, classes: int, ids_N: Tensor) -> Read:
    array, order_N = np.memmap(path, np.float16, "r").reshape(-1, classes), ids_N.argsort().numpy()
    sorted_N = ids_N.numpy()[order_N]

    def read(batches: Sequence[Asked]) -> Tensor:
        for _, ids_B, view_B in batches:
            row_B = order_N[np.searchsorted(sorted_N, ids_B.numpy())] * VIEWS + view_B.numpy()
            logits_BC = torch.from_numpy(array[row_B]).float()
        return logits_BC

    return read


def from_files(folder: Path) -> Read:
    def read(batches: Sequence[Asked]) -> Tensor:
        for row_B, _, _ in batches:
            parts = [torch.load(folder / f"{row}.pt", weights_only=True) for row in row_B.tolist()]
            logits_BC = torch.stack(parts).float()
        return logits_BC

    return read


def written(folder: Path, examples: int, files: int, classes: int) -> dict[str, Way]:
    """The same targets on the disk, in every way."""
    generator = torch.Generator().manual_seed(0)
    logits_NC = torch.randn(examples * VIEWS, classes, generator=generator).mul_(3)
    ids_N = randomness.bits(0, torch.arange(examples), 0, "reading")

    def ask(index_B: Tensor, view: int) -> Tensor:
        return logits_NC[index_B * VIEWS + view]

    store, array, loose = folder / "store", folder / "array", folder / "files"
    kept = cast(store, {**IDENTITY, "classes": classes}, ids_N, VIEWS, ask)
    with open(array, "wb") as file:
        for row_B in torch.arange(len(logits_NC)).split(4096):
            rows = kept.gather(ids_N[row_B // VIEWS], row_B % VIEWS)
            assert isinstance(rows, DenseLogits)
            file.write(rows.logits.to(torch.float16).numpy().tobytes())
    loose.mkdir()
    saved = np.memmap(array, np.float16, "r").reshape(-1, classes)
    with progress.bar(files, "one file a sample") as advance:
        for row in range(files):
            torch.save(torch.from_numpy(saved[row].copy()), loose / f"{row}.pt")
            advance()
    os.sync()
    shards = sorted(store.rglob("*.arrow"))
    assert shards
    rows = len(logits_NC)
    return {
        "memmap": Way([array], lambda: from_memmap(array, classes), rows, ids_N),
        "memmap, by id": Way([array], lambda: from_memmap_by_id(array, classes, ids_N), rows, ids_N),
        "held": Way(shards, lambda: from_store(store, held=True), rows, ids_N),
        "mapped": Way(shards, lambda: from_store(store, held=False), rows, ids_N),
        "mapped, ahead": Way(shards, lambda: from_store(store, held=False, ahead=True), rows, ids_N),
        "files": Way(sorted(loose.iterdir()), lambda: from_files(loose), files, ids_N),
    }


def drop(paths: Sequence[Path]) -> None:
    """Asks the kernel to forget what it keeps of these files in its page cache."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def share_cached(paths: Sequence[Path], most: int = 100) -> float:
    """The share of the pages of these files (of some, evenly spaced, where there are many) that the page cache holds."""
    there = total = 0
    for path in paths[:: -(-len(paths) // most)]:
        mapped = np.memmap(path, np.uint8, "r")  # nothing of it is touched
        pages = np.zeros(-(-len(mapped) // mmap.PAGESIZE), np.uint8)
        at, told = ctypes.c_void_p(mapped.ctypes.data), ctypes.c_void_p(pages.ctypes.data)
        if LIBC.mincore(at, ctypes.c_size_t(len(mapped)), told):
            return float("nan")
        there, total = there + int((pages & 1).sum()), total + len(pages)
    return there / total


def batches_of(way: Way, number: int, turn: int) -> list[Asked]:
    """Random batches of the turn, the same for all ways that have equally many rows."""
    generator = torch.Generator().manual_seed(turn)
    return [way.asked(torch.randint(way.rows, (BATCH,), generator=generator)) for _ in range(number)]


def rate(read: Read, batches: Sequence[Asked]) -> float:
    """Targets per second."""
    began = time.perf_counter()
    read(batches)
    return BATCH * len(batches) / (time.perf_counter() - began)


def fewer(name: str, batches: int) -> int:
    """How many batches a way reads in a round: of files a twentieth, or they would take most of the time."""
    return max(1, batches // 20) if name == "files" else batches


def turned(ways: dict[str, Way], turn: int) -> list[str]:
    return list(ways) if turn % 2 == 0 else list(ways)[::-1]


def main() -> None:
    parser = arguments(__doc__, recipe=False)
    parser.add_argument("--examples", type=int, default=25_000, help=f"each has {VIEWS} views")
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--files", type=int, default=10_000, help="written one by one")
    parser.add_argument("--rounds", type=int, default=9, help="of warm reading")
    parser.add_argument("--batches", type=int, default=400, help="of 256, warm, in a round; a twentieth from files")
    parser.add_argument("--cold-rounds", type=int, default=3)
    parser.add_argument("--cold-batches", type=int, default=40, help="of 256, in a round; likewise")
    parser.add_argument("--out", type=Path, help="a folder on the disk that is to be measured")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=asked.out) as folder:
        ways = written(Path(folder), asked.examples, asked.files, asked.classes)
        cold: dict[str, list[float]] = {name: [] for name in ways}
        left: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(asked.cold_rounds):
            for name in turned(ways, turn):
                read = ways[name].open()
                drop(ways[name].paths)
                left[name].append(share_cached(ways[name].paths))
                number = fewer(name, asked.cold_batches)
                cold[name].append(rate(read, batches_of(ways[name], number, turn)))
                del read
                gc.collect()  # what is still mapped would not be dropped
        readers = {name: way.open() for name, way in ways.items()}
        last = {name: read(batches_of(ways[name], 1, 0)) for name, read in readers.items() if name != "files"}
        assert all(torch.equal(last["memmap"], one) for one in last.values())
        both = [ways["files"].asked(torch.arange(BATCH) % asked.files)]
        assert torch.equal(readers["files"](both), readers["memmap"](both))
        warm: dict[str, list[float]] = {name: [] for name in ways}
        for name, read in readers.items():
            read([ways[name].asked(torch.arange(ways[name].rows))])
        for turn in range(asked.rounds):
            for name in turned(ways, turn):
                number = fewer(name, asked.batches)
                warm[name].append(rate(readers[name], batches_of(ways[name], number, turn)))
        rows = []
        for name in ways:
            row: list[object] = [name]
            for found in (warm, cold):
                row.append(f"{statistics.median(found[name]):,.0f}")
                for base in ("memmap, by id", "memmap"):
                    ratios = [one / other for one, other in zip(found[name], found[base], strict=True)]
                    row.append(f"{min(ratios):.3g} - **{statistics.median(ratios):.3g}** - {max(ratios):.3g}")
            rows.append([*row, f"{max(left[name]):.0%}"])
    over = ["over memmap by id: min - median - max", "over memmap: min - median - max"]
    columns = ["way", "warm, targets/s", *over, "cold, targets/s", *over, "in the page cache when cold, at most"]
    print_table(columns, rows)
    print(
        f"\n{asked.examples * VIEWS:,} targets of {asked.classes} classes, {asked.files:,} of them as files; batches of "
        f"{BATCH}: {asked.batches} warm in each of {asked.rounds} rounds, {asked.cold_batches} cold in each of "
        f"{asked.cold_rounds}."
    )
    print_conditions("0 (of the batches: the round)", began)


if __name__ == "__main__":
    main()
