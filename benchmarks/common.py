"""What the benchmarks share: naming a recipe, timing, peak memory, printing a table, saying on what it was measured."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch is imported: the profiler need not say that it is there

import torch
from torch.profiler import ProfilerActivity, profile

from limbeck.evaluation.results import environment
from limbeck.modalities.image.examples import Splits
from limbeck.pipeline.job import Job, open_job
from limbeck.recipe import read as recipe_file

Timed = tuple[float, float]  # seconds by wall, by CPU


def arguments(docstring: str | None, *, recipe: bool = True) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring, with the options every benchmark of a recipe takes."""
    parser = argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)
    if recipe:
        parser.add_argument("--recipe", type=Path, default=Path("recipes/digits_all_labels.yaml"))
        parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as in `limbeck run`")
        parser.add_argument("--out", type=Path, help="run folder")
        parser.add_argument("--threads", type=int, help="CPU threads; torch decides otherwise")
        parser.add_argument("--device", default="cpu")
        parser.add_argument("--trust-code", action="store_true")
    return parser


def job_of(asked: argparse.Namespace, splits: Splits, out: Path, overrides: Sequence[str] = ()) -> Job:
    """The recipe asked for, with further overrides, as a job in the folder ``out``."""
    recipe = recipe_file.read(asked.recipe, [*asked.set, *overrides])
    return open_job(recipe, splits, out=out, trust_code=asked.trust_code, device=asked.device)


def borrow_teacher(run: Path, out: Path) -> None:
    """Copies a run's finished teachers into another run folder, where their fingerprints are looked for."""
    for source in sorted((run / "stages" / "teacher").iterdir()):
        target = out / "stages" / "teacher" / source.name
        if (source / "done.json").exists() and not target.exists():
            shutil.copytree(source, target)


def seconds(call: Callable[[], object], device: torch.device) -> Timed:
    """Of a call, what it started on a GPU waited for."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter(), time.process_time()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """The most that is held during the call beyond what was held before.

    On a GPU that is `torch.cuda.max_memory_allocated`. On the CPU it is the running sum of every allocation and release
    that torch's allocator reports to `torch.profiler`: exact in bytes and without slack, unlike the process's resident
    size; only what libraries take for themselves inside one operation is not in it.
    """
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        call()
    held = peak = 0
    reported = (event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]")
    for event in sorted(reported, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def spread(ratios: Sequence[float], digits: int = 3) -> str:
    """``min - **median** - max``."""
    middle = statistics.median(ratios)
    return f"{min(ratios):.{digits}f} - **{middle:.{digits}f}** - {max(ratios):.{digits}f}"


def mean_sd(values: Sequence[float], digits: int = 2, scale: float = 1.0) -> str:
    """``mean ± sd`` (n - 1), or the value alone where there is one."""
    scaled = [scale * value for value in values]
    if len(scaled) == 1:
        return f"{scaled[0]:.{digits}f}"
    return f"{statistics.fmean(scaled):.{digits}f} ± {statistics.stdev(scaled):.{digits}f}"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A markdown table on stdout."""
    for row in (columns, ["---"] * len(columns), *rows):
        print(f"| {' | '.join(map(str, row))} |")


def print_conditions(seeds: str, began: float) -> None:
    """Date, machine, threads, versions and seeds, below the table; ``began`` is of ``time.monotonic``."""
    where = environment()
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    print(
        f"\n{date.today().isoformat()}; {where['cpu']}, {where['cores']} cores; {where['torch_threads']} threads; "
        f"Python {where['python']}, {versions}; seeds {seeds}; {time.monotonic() - began:.0f} s in all."
    )
