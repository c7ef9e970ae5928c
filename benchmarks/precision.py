"""What precision adds to a search: one front over pruning, 8 bits and quantisation-aware epochs, beside that of float32 alone.

    python benchmarks/precision.py

Two searches of as many students with a teacher, weighed by the size of the exported file: over families (`convnet`, and the teacher `pruned`), their
sizes and the learning rate; and over the same with `export.prefer: [onnx, onnx-int8]` and `export.quantization_aware.epochs` beside it. Both share the
teacher, its soft targets, the measured costs, and what is trained alike; each begins with the recipe's own student. Quality is over validation, of
what is deployed. Hypervolumes are of quality against the logarithm of the size, from the worst to the best of all that were trained in full;
once more with the median quality in place of the worst, which one weak student moves far off.

A second call goes on, or only prints. It needs `limbeck[prune]`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from common import arguments, print_conditions, print_table
from fronts import covered, standing
from teacher_arm import opened, study_of, tried

from limbeck import progress
from limbeck.evaluation.figure import Figure
from limbeck.evaluation.kinds import KINDS
from limbeck.pipeline.job import use_threads
from limbeck.recipe.read import read
from limbeck.searching.candidates import recipe_with
from limbeck.searching.dimensions import FAMILY
from limbeck.searching.front import chosen_of, front_of
from limbeck.searching.precision import BY_ITSELF, PREFER
from limbeck.searching.to_device import told_of
from limbeck.searching.trials import FINISHED, Trial
from limbeck.sections.recipe import Recipe
from limbeck.sections.search import Search

COST = "size_kb"
WAYS = {"float32 alone": None, "with 8 bits": BY_ITSELF}
SETTINGS = ("teacher.model=wrn_10_1", "train.epochs=12")
SPACE = {
    FAMILY: ("convnet", "pruned"),
    "student.width": {"low": 3, "high": 16, "log": True},
    "student.depth": (1, 2, 3),
    "student.kernel": 3,
    "student.downscale": 1,
    "student.pruned.keep": {"low": 0.03, "high": 0.4, "log": True},
    "student.pruned.criterion": "magnitude",
    "objective": None,
    "views": None,
    "train.epochs": None,
}


def best_within(recipe: Recipe, trials: Sequence[Trial], limit: float, first: Figure) -> str:
    """The best student in a file of at most so many KB, in words."""
    budget = {COST: limit}
    best = chosen_of(front_of(trials, budget, first.sign), budget, first.sign)
    if best is None:
        return "none"
    further = f", {best.further} more epochs" if best.further else ""
    what = told_of(recipe_with(recipe, best.values))
    return f"{first.number(best.quality or 0.0)} {first.unit} at {best.cost[COST]:.3g} KB ({what}{further})"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, default=12, help="students of each search")
    parser.add_argument("--within", type=float, nargs="+", default=[10.0, 20.0, 40.0], help="sizes in KB")
    parser.add_argument("--most", type=float, default=100.0, help="KB, beyond which no student is tried")
    asked = parser.parse_args()
    began = time.monotonic()
    use_threads(asked.threads)
    recipe = read(asked.recipe, [*SETTINGS, *asked.set])
    settings = Search(budget={COST: asked.most}, trials=asked.trials)
    found: dict[str, list[Trial]] = {}
    with opened(asked, recipe, asked.out or Path("runs") / f"precision-{recipe.name}") as ground:
        for number, (way, formats) in enumerate(WAYS.items()):
            progress.note(f"{way}: {asked.trials} students.")
            space = Search(space={**SPACE, PREFER: formats}).space
            found[way] = tried(study_of(ground, f"way-{number}", settings.model_copy(update={"space": space})))
        first = KINDS[ground.bench.job.splits.answers.kind].FIGURES[0]
    points = {
        way: [standing(one.quality or 0.0, one.cost, (COST,), first.sign) for one in trials if one.fate == FINISHED]
        for way, trials in found.items()
    }
    among = [point for ones in points.values() for point in ones]
    qualities = [point[0] for point in among]
    middle = (statistics.median(qualities) - min(qualities)) / ((max(qualities) - min(qualities)) or 1.0)
    volumes = {way: (covered(ones, among), covered(ones, among, middle)) for way, ones in points.items()}
    rows = [
        [
            way,
            sum(one.stage is not None for one in trials),
            len(points[way]),
            sum(one.further > 0 for one in trials),
            f"{sum(one.seconds for one in trials):.0f} s",
            *(f"{volume:.3f}" for volume in volumes[way]),
            *(best_within(recipe, trials, limit, first) for limit in asked.within),
        ]
        for way, trials in found.items()
    ]
    within = [f"best within {limit:g} KB" for limit in asked.within]
    print_table(["search", "tried", "in full", "went on", "training", "hypervolume", "above the median", *within], rows)
    alone, wide = volumes.values()
    ratios = [f"{b / a:.2f}" if a else "-" for a, b in zip(alone, wide, strict=True)]
    print(f"\n{recipe.name}: hypervolume {ratios[0]} times that of float32 alone, above the median {ratios[1]} times.")
    print_conditions(str(recipe.seed), began)


if __name__ == "__main__":
    main()
