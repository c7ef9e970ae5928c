"""What the benchmarks share: naming a recipe, printing a table, saying on what it was measured."""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from limbeck import recipe_file
from limbeck.data.examples import Splits
from limbeck.evaluation.results import environment
from limbeck.job import Job, job_from_recipe


def arguments(docstring: str | None, *, recipe: bool = True) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring, with the options every benchmark of a recipe takes."""
    parser = argparse.ArgumentParser(description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter)
    if recipe:
        parser.add_argument("--recipe", type=Path, default=Path("recipes/digits.yaml"))
        parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as in `limbeck run`")
        parser.add_argument("--out", type=Path, help="run folder")
        parser.add_argument("--threads", type=int, help="CPU threads; torch decides otherwise")
        parser.add_argument("--device", default="cpu")
        parser.add_argument("--trust-code", action="store_true")
    return parser


def job_of(asked: argparse.Namespace, splits: Splits, out: Path, overrides: Sequence[str] = ()) -> Job:
    """The recipe asked for, with further overrides, as a job in the folder ``out``."""
    recipe = recipe_file.read(asked.recipe, [*asked.set, *overrides])
    return job_from_recipe(recipe, splits, out=out, trust_code=asked.trust_code, device=asked.device, force=())


def borrow_teacher(run: Path, out: Path) -> None:
    """Copies a run's finished teachers into another run folder, where their fingerprints are looked for."""
    for source in sorted((run / "stages" / "teacher").iterdir()):
        target = out / "stages" / "teacher" / source.name
        if (source / "done.json").exists() and not target.exists():
            shutil.copytree(source, target)


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
