"""A student that was made by hand against what a search finds: as good and quicker, and as quick and better.

    LIMBECK_DATA=... python benchmarks/by_hand.py --trials 40 --set seeds=5
    LIMBECK_DATA=... python benchmarks/by_hand.py --trials 40 --set seeds=3 --set data.limit=10000 --threads 1

The recipe's own student is the one by hand, and the first that the search tries. Students with a teacher are tried within its
latency; by validation alone three are chosen of the front: the quickest that is at least as good (`as good`), the best of all
(`as quick`), and the best of those that are at least 40 times as fast as the teacher. All are trained anew with the recipe's seeds,
tested, exported and measured, each beside its teacher and the same student without one. To reach: a student at least 40 times as fast as
the teacher that keeps 98.5 % of its accuracy.

A second call goes on, or only prints. It takes a teacher, its passes, and all students.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import arguments, mean_sd, print_conditions, print_table
from teacher_arm import Ground, opened, study_of, tried

from limbeck.evaluation.kinds import KINDS
from limbeck.recipe.read import read
from limbeck.searching.crew import Alone
from limbeck.searching.engine import Searched
from limbeck.searching.finalists import Finalist, train_finalists
from limbeck.searching.front import front_of
from limbeck.searching.trials import Trial
from limbeck.sections.search import Search

FASTER, KEPT = 40.0, 0.985
SLACK = 1.1  # times the latency by hand that a student may take: a measurement is no more exact
COLUMNS = ("student", "trial", "parameters", "validation", "test", "no teacher", "of the teacher's, %")
SPEEDS = ("student", "ms", "times as fast as the teacher", "KB", "times smaller")


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(recipe=Path("recipes/fashion_mnist.yaml"), out=Path("runs/by-hand"))
    parser.add_argument("--trials", type=int, default=40, help="students tried, the one by hand the first")
    asked = parser.parse_args()
    began = time.monotonic()
    recipe = read(asked.recipe, asked.set)
    with opened(asked, recipe, asked.out) as ground:
        settings = (recipe.search or Search()).model_copy(update={"trials": asked.trials})
        # what the one by hand costs is known once it was tried, without a budget
        by_hand = tried(study_of(ground, "by-hand", settings.model_copy(update={"trials": 1, "budget": {}})))[0]
        budget = {"latency_ms": SLACK * by_hand.cost["latency_ms"]}
        trials = tried(study_of(ground, "journal", settings.model_copy(update={"budget": budget})))
        figure = KINDS[ground.bench.job.splits.answers.kind].FIGURES[0]
        front = front_of(trials, budget, figure.sign)
        chosen = _chosen(by_hand, front, figure.sign)
        finalists = _trained_anew(asked, ground, [*dict.fromkeys(one.number for one in chosen.values())], trials)
        if quick := _quick_enough(front, finalists[by_hand.number], figure.sign):
            chosen[f"{FASTER:g} times"] = quick
            finalists |= _trained_anew(asked, ground, [quick.number], trials)
    _print(chosen, finalists)
    fates = ", ".join(f"{sum(one.fate == fate for one in trials)} {fate}" for fate in {one.fate for one in trials})
    print(
        f"\n{len(trials)} trials with a teacher: {fates}. Budget: {budget['latency_ms']:.3f} ms. {recipe.data.limit or 'All'} "
        "training examples; teacher " + recipe.teacher.title + "."
    )
    print_conditions(f"{recipe.seed} to {recipe.seed + recipe.seeds - 1}", began)


def _chosen(by_hand: Trial, front: Sequence[Trial], sign: int) -> dict[str, Trial]:
    """By what they are called; by hand the search's own trial of the same number."""
    assert by_hand.quality is not None
    as_good = [one for one in front if sign * (one.quality or 0.0) >= sign * by_hand.quality]
    found = {"by hand": by_hand}
    if as_good:
        found["as good"] = min(as_good, key=lambda one: one.cost["latency_ms"])
    if front:
        found["as quick"] = max(front, key=lambda one: sign * (one.quality or 0.0))
    return found


def _quick_enough(front: Sequence[Trial], by_hand: Finalist, sign: int) -> Trial | None:
    """The best of the front that is fast enough beside the teacher, whose latency was measured with the student's by hand."""
    if by_hand.results is None:
        return None
    most = by_hand.results["teacher"]["latency_ms"]["p50"] / FASTER
    quick = [one for one in front if one.cost["latency_ms"] <= most]
    return max(quick, key=lambda one: sign * (one.quality or 0.0)) if quick else None


def _trained_anew(asked: Any, ground: Ground, numbers: Sequence[int], trials: Sequence[Trial]) -> dict[int, Finalist]:
    wanted = [one for one in trials if one.number in numbers]
    bench = ground.bench
    searched = Searched(ground.recipe, asked.out, bench, bench.teacher_of(bench.job), Alone(bench), {"student": wanted})
    options = {"trust_code": asked.trust_code, "device": asked.device, "threads": asked.threads}
    return {one.trial.number: one for one in train_finalists(searched, wanted, **options)}


def _print(chosen: dict[str, Trial], finalists: dict[int, Finalist]) -> None:
    quality, speed, reached = [], [], []
    for name, trial in chosen.items():
        results = finalists[trial.number].results
        if results is None:
            print(f"{name}: trial {trial.number} came to nothing: {finalists[trial.number].problem}")
            continue
        first = results["figures"][0]["name"]
        student, teacher, without = (results[part] for part in ("student", "teacher", "baseline"))
        scores = [run["metrics"][first] for run in student["runs"]]
        kept = [score / teacher["metrics"][first]["mean"] for score in scores]
        quality.append(
            (
                name,
                trial.number,
                f"{student['parameters']:,}",
                f"{100 * (trial.quality or 0.0):.2f}",
                mean_sd(scores, 2, 100),
                mean_sd([run["metrics"][first] for run in without["runs"]], 2, 100),
                mean_sd(kept, 2, 100),
            )
        )
        faster = results["speed"]["speedup"]["student"]
        speed.append(
            (
                name,
                f"{student['latency_ms']['p50']:.4f}",
                f"{faster['ratio']:.1f} ({faster['low']:.1f} to {faster['high']:.1f})",
                f"{student['bytes'] / 1000:.1f}",
                f"{teacher['bytes'] / student['bytes']:.1f}",
            )
        )
        reached.append((name, faster["ratio"] >= FASTER and statistics.fmean(kept) >= KEPT))
    print_table(COLUMNS, quality)
    print()
    print_table(SPEEDS, speed)
    ahead = [name for name, one in reached if one and name != "by hand"]
    print(f"\n{FASTER:g} times as fast at {100 * KEPT:g} % of the accuracy: {', '.join(ahead) or 'not reached'}.")


if __name__ == "__main__":
    main()
