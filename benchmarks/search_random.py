"""What Optuna's sampler and what the rungs each add to a search: four ways, each for the same seconds of training students.

    python benchmarks/search_random.py
    LIMBECK_DATA=... python benchmarks/search_random.py --recipe recipes/fashion_mnist.yaml --set data.limit=10000 \\
        --seconds 900 --threads 2

The ways are TPE with rungs (what `limbeck search` does), TPE without, chance with rungs, chance without; each begins with the
recipe's own student. A way has `--seconds` of training students with a teacher, by what each training recorded, whatever else
the machine did meanwhile; the student that goes beyond is not counted. The teacher and its passes are shared and not counted.

All ways of a seed (of the recipe: teacher, views, samplers) are in one folder, where no architecture is measured and no student is
trained twice: a student that several ways try has the same seconds in each of them. So proposals by chance are the same with
rungs and without, and the first ten of TPE are by chance as well.

The table says by way the best validation quality of the students that were trained in full, and the hypervolume of their front:
of quality against the costs of the budget (latency, where there is none) on logarithmic axes, from the worst to the best of all
students in full of that seed. Its reference is the worst on each axis; and once more with the median quality in place of the
worst, which one very weak student moves far off. Differences and ratios are taken seed by seed.

A second call goes on, or only prints. It takes at most four times the seconds, times the seeds, a teacher and its passes a seed,
and some seconds for the costs of each architecture.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common import arguments, mean_sd, print_conditions, print_table
from fronts import Point, covered, standing
from teacher_arm import distinct, opened, shown, study_of, tried

from limbeck import progress
from limbeck.evaluation.figure import Figure
from limbeck.evaluation.kinds import KINDS
from limbeck.pipeline.job import use_threads
from limbeck.recipe.read import read
from limbeck.searching.attempt import weighed
from limbeck.searching.trials import FINISHED, Trial
from limbeck.sections.recipe import Recipe
from limbeck.sections.search import Search

WAYS = {
    "TPE, rungs": ("tpe", True),
    "TPE, no rungs": ("tpe", False),
    "chance, rungs": ("random", True),
    "chance, no rungs": ("random", False),
}
MOST = 1000  # students of a way, however quick they are


@dataclass(frozen=True)
class Reached:
    """What one way came to with one seed."""

    best: float  # validation quality
    volume: float
    above: float  # the hypervolume above the median quality
    tried: int
    finished: int


def within(trials: Sequence[Trial], seconds: float) -> list[Trial]:
    """The trials that were done within so many seconds of training; of those that share a training one."""
    spent, found = 0.0, []
    for one in distinct(trials):
        spent += one.seconds
        if spent > seconds:
            break
        found.append(one)
    return found


def of_seed(recipe: Recipe, trials: dict[str, list[Trial]], names: Sequence[str], first: Figure) -> dict[str, Reached]:
    """What each way came to, their fronts on the same axes."""

    def points(ones: Sequence[Trial]) -> list[Point]:
        return [standing(one.quality or 0.0, one.cost, names, first.sign) for one in ones]

    ended = {way: [one for one in ones if one.fate == FINISHED] for way, ones in trials.items()}
    for way, ones in ended.items():
        if not ones:
            raise SystemExit(
                f"seed {recipe.seed}, {way}: no student was trained in full in so little time: give more --seconds."
            )
    among = points([one for ones in ended.values() for one in ones])
    qualities = [point[0] for point in among]
    worst, top = min(qualities), max(qualities)
    middle = (statistics.median(qualities) - worst) / (top - worst) if top > worst else 0.0
    return {
        way: Reached(
            first.sign * max(point[0] for point in points(ones)),
            covered(points(ones), among),
            covered(points(ones), among, middle),
            len(trials[way]),
            len(ones),
        )
        for way, ones in ended.items()
    }


def tried_of(
    recipe: Recipe, asked: argparse.Namespace, out: Path
) -> tuple[dict[str, list[Trial]], tuple[str, ...], Figure]:
    """The trials of each way within the seconds, what quality is weighed against, and what it is."""
    settings = recipe.search or Search()
    rungs = settings.rungs or Search().rungs
    found: dict[str, list[Trial]] = {}
    with opened(asked, recipe, out) as ground:
        for way, (sampler, stops) in WAYS.items():
            progress.note(f"seed {recipe.seed}, {way}: {asked.seconds:g} s of training students.")
            changes = {"sampler": sampler, "rungs": rungs if stops else (), "trials": MOST}
            name = f"{sampler}-{'rungs' if stops else 'full'}"
            common = study_of(ground, name, settings.model_copy(update=changes))
            ones = tried(common, lambda trials: asked.seconds - sum(one.seconds for one in distinct(trials)))
            found[way] = within(ones, asked.seconds)
        first = KINDS[ground.bench.job.splits.answers.kind].FIGURES[0]
    return found, weighed(settings), first


def compared(reached: Sequence[dict[str, Reached]], one: str, other: str, first: Figure) -> list[object]:
    """A row: what one way adds to another."""
    pairs = [(ways[one], ways[other]) for ways in reached]
    scale, digits = (100 if first.share else 1), first.decimals(pairs[0][0].best)
    return [
        f"{one}, against {other}",
        mean_sd([a.best - b.best for a, b in pairs], digits, scale),
        *(
            mean_sd([getattr(a, name) / getattr(b, name) for a, b in pairs], 3)
            if all(getattr(b, name) for _, b in pairs)
            else "-"
            for name in ("volume", "above", "tried")
        ),
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(recipe=Path("recipes/digits.yaml"))
    parser.add_argument("--seconds", type=float, default=60.0, help="of training students, of each way and seed")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    began = time.monotonic()
    use_threads(asked.threads)
    recipes = [read(asked.recipe, [*asked.set, f"seed={seed}"]) for seed in range(max(1, asked.seeds))]
    out = asked.out or Path("runs") / f"search_random-{recipes[0].name}"
    found = [tried_of(recipe, asked, out / f"seed-{recipe.seed}") for recipe in recipes]
    _, names, first = found[0]
    reached = [of_seed(recipe, trials, names, first) for recipe, (trials, *_) in zip(recipes, found, strict=True)]
    rows = []
    for way in WAYS:
        ones = [ways[way] for ways in reached]
        scale, digits = (100 if first.share else 1), first.decimals(ones[0].best)
        rows.append(
            [
                way,
                mean_sd([one.best for one in ones], digits, scale),
                mean_sd([one.volume for one in ones], 4),
                mean_sd([one.above for one in ones], 4),
                mean_sd([one.tried for one in ones], 1),
                mean_sd([one.finished for one in ones], 1),
            ]
        )
    unit = f", {first.unit}" if first.unit else ""
    columns = [f"best {first.title}{unit}", "hypervolume", "above the median", "students tried", "in full"]
    print_table(["way", *columns], rows)
    print()
    rows = [
        compared(reached, "TPE, rungs", "chance, rungs", first),
        compared(reached, "TPE, no rungs", "chance, no rungs", first),
        compared(reached, "TPE, rungs", "TPE, no rungs", first),
        compared(reached, "chance, rungs", "chance, no rungs", first),
        compared(reached, "TPE, rungs", "chance, no rungs", first),
    ]
    points = (
        f"best {first.title}, {first.difference_unit} more" if first.difference_unit else f"best {first.title}, more"
    )
    print_table(["", points, "hypervolume, ratio", "above the median, ratio", "students tried, ratio"], rows)
    print(
        f"\n{recipes[0].name}: {asked.seconds:g} s of training students a way and seed; quality over validation ({first.way}) against "
        f"{' and '.join(names)}; the best of all "
        f"{shown(first, first.sign * max(first.sign * ways[way].best for ways in reached for way in WAYS))}."
    )
    print_conditions(f"0 to {len(recipes) - 1}", began)


if __name__ == "__main__":
    main()
