"""Settings chosen on validation, with as many trials for the baseline as for the student.

    LIMBECK_DATA=... python benchmarks/tune_on_validation.py --recipe recipes/fashion_mnist.yaml --epochs 6 \\
        --out runs/fashion_mnist --views 1 12

Student: temperature x weight of the soft targets (the labels have the rest) x averaging over views; then the best of
these with other numbers of stored views (`--views`) and other settings (`--also train.weight_decay=1e-4`). Baseline:
label smoothing {0, 0.05, 0.1} x learning rates, halved and doubled from the recipe's outwards until there are as many
trials, `--also` among them. Best is the highest validation accuracy, by mean over the recipe's seeds, then the lowest
NLL. The test split stays shut: a trial would fail if it were open.

`--student "FIELD=VALUE FIELD=VALUE"` and `--baseline "..."`, as often as wanted, take the place of these grids: then these
settings alone are tried, and it is for whoever asks to give both sides as many.

The teacher is trained, and asked, once: stages are kept by fingerprint, so `--out` with the folder of a run takes its
teacher and targets as they are, and a trial that was finished before is only read. Each line's settings can be given
to `limbeck run` with `--set`. Takes 2 x 18 short trainings; for digits with `--epochs 10 --set seeds=1` 3 minutes.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import arguments, job_of, mean_sd, print_conditions, print_table

from limbeck.modalities import modality_of
from limbeck.pipeline import stages
from limbeck.pipeline.job import Job, use_threads
from limbeck.pipeline.students import the_arms, train_member
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.pipeline.training_stage import Trained
from limbeck.recipe.read import read
from limbeck.sections.recipe import Recipe
from limbeck.training.loop import on_validation

SMOOTHING = (0.0, 0.05, 0.1)


@dataclass(frozen=True)
class Trial:
    """What was set, and what validation said of it, seed by seed."""

    settings: tuple[str, ...]
    accuracy: list[float]
    nll: list[float]
    seconds: float

    @property
    def rank(self) -> tuple[float, float]:
        return statistics.fmean(self.accuracy), -statistics.fmean(self.nll)


def students_grid(asked: argparse.Namespace) -> list[tuple[str, ...]]:
    """Temperature x weight x averaging."""
    grid = []
    for temperature, weight, average in itertools.product(asked.temperatures, asked.weights, (False, True)):
        labels = "objective.cross_entropy=null"
        if weight < 1:
            labels = f"objective.cross_entropy.weight={1 - weight:.6g}"
        kd = (f"objective.kd.temperature={temperature:g}", f"objective.kd.weight={weight:g}")
        grid.append((*kd, labels, f"targets.average={str(average).lower()}"))
    return grid


def baselines_grid(count: int, rate: float) -> list[tuple[str, ...]]:
    """The first ``count`` of label smoothing x learning rate, the rates going outwards from ``rate``."""
    factors = (2.0 ** (k // 2 if k % 2 == 0 else -(k + 1) // 2) for k in itertools.count())
    pairs = ((smoothing, rate * factor) for factor in factors for smoothing in SMOOTHING)
    return [
        (f"baseline.label_smoothing={smoothing:g}", f"train.learning_rate={rate:.6g}")
        for smoothing, rate in itertools.islice(pairs, count)
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, help="of every trial; the recipe's where not given")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1, 2, 4])
    parser.add_argument("--weights", type=float, nargs="+", default=[0.5, 0.9, 1.0])
    parser.add_argument("--jobs", type=int, default=1, help="trials side by side, each with --threads")
    parser.add_argument("--views", type=int, nargs="*", default=[], help="numbers of stored views to try with the best")
    parser.add_argument("--student", action="append", metavar="SETTINGS", help="one trial, instead of the grid")
    parser.add_argument("--baseline", action="append", metavar="SETTINGS", help="one trial, instead of the grid")
    parser.add_argument(
        "--also", action="append", default=[], metavar="FIELD=VALUE", help="to try with each side's best"
    )
    asked = parser.parse_args()
    if wrong := [setting for setting in asked.also if setting.startswith(("data.", "teacher.", "seed"))]:
        parser.error(f"--also {wrong[0]}: all trials share data, teacher and seeds; change them with --set.")
    use_threads(asked.threads)
    began = time.monotonic()
    short = () if asked.epochs is None else (f"train.epochs={asked.epochs}",)
    recipe = read(asked.recipe, [*asked.set, *short])
    out = asked.out or Path("runs") / f"tune-{recipe.name}"
    splits = modality_of(recipe).load(recipe)
    with stages.claimed(out):
        job = job_of(asked, splits, out, short)
        the_targets(job, the_teacher(job))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(asked.jobs, context, initializer=_prepare, initargs=(asked, out, short)) as pool:

            def tried(side: str, settings: list[tuple[str, ...]]) -> list[Trial]:
                return list(pool.map(_try_out, [side] * len(settings), settings))

            if asked.student or asked.baseline:
                given = [[tuple(one.split()) for one in side or ()] for side in (asked.student, asked.baseline)]
                report(tried("student", given[0]), tried("baseline", given[1]), recipe, splits, began)
                return
            students = tried("student", students_grid(asked))
            best = max(students, key=lambda one: one.rank).settings
            further = [*(f"targets.views={count}" for count in asked.views), *asked.also]
            students += tried("student", [(*best, setting) for setting in further])

            rate = recipe.train.peak
            baselines = tried("baseline", baselines_grid(len(students) - len(asked.also), rate))
            best = max(baselines, key=lambda one: one.rank).settings
            baselines += tried("baseline", [(*best, setting) for setting in asked.also])
    report(students, baselines, recipe, splits, began)


def report(students: list[Trial], baselines: list[Trial], recipe: Recipe, splits: Any, began: float) -> None:
    """The trials of both sides, best first."""
    for title, trials in (("student", students), ("baseline", baselines)):
        print(f"\n{title}: {len(trials)} trials, best first\n")
        rows = [
            [
                " ".join(one.settings),
                mean_sd(one.accuracy, scale=100),
                mean_sd(one.nll, 4),
                f"{one.seconds:.0f}",
            ]
            for one in sorted(trials, key=lambda one: one.rank, reverse=True)
        ]
        print_table(["settings", "validation accuracy, %", "validation NLL", "training, s"], rows)
    print(f"\n{recipe.train.epochs} epochs a trial; {len(splits.validation)} validation examples; test not opened.")
    print_conditions(f"{recipe.seed} to {recipe.seed + recipe.seeds - 1}", began)


_given: list[Any] = []  # a worker process's own: what was asked, the folder, the common settings, the data


def _prepare(asked: argparse.Namespace, out: Path, short: tuple[str, ...]) -> None:
    use_threads(asked.threads)
    recipe = read(asked.recipe, [*asked.set, *short])
    _given[:] = asked, out, short, modality_of(recipe).load(recipe)


def _try_out(side: str, settings: tuple[str, ...]) -> Trial:
    """Trains one setting's student, or baseline, seed by seed."""
    asked, out, short, splits = _given
    job = job_of(asked, splits, out, (*short, *settings))
    teacher = the_teacher(job)
    arms = the_arms(job, teacher, the_targets(job, teacher) if side == "student" else None)
    if side == "baseline" and job.recipe.baseline.label_smoothing:
        side = "smoothed"
    found = trial(job, settings, [train_member(job, arms[side], seed) for seed in job.seeds])
    shut(splits)
    return found


def trial(job: Job, settings: tuple[str, ...], ones: list[Trained]) -> Trial:
    """The figures of the weights that were kept."""
    figures = [on_validation(job.task, one.model.to(job.accelerator.device)) for one in ones]
    accuracy, nll = ([one[name] for one in figures] for name in ("accuracy", "nll"))
    return Trial(settings, accuracy, nll, sum(one.seconds for one in ones))


def shut(splits: Any) -> None:
    """Fails where the test split was read."""
    if splits.test.opened:
        raise SystemExit("the test split was opened: these figures are not of a choice on validation.")


if __name__ == "__main__":
    main()
