"""Whether the forecast's 80 % interval holds what it should: searches made up from curves that level off at a known height.

Each search tries students at costs drawn by their logarithm. The best that a student of a cost can reach follows
``top - scale * cost ** -exponent``; a trial falls short of it by its settings (exponential) and by its seed (normal). The
forecast is fitted without the smallest and without the largest third of the front, and asked for the figures left out. Once all
are trained in full, and once the weak stop at two rungs as in a search, where quality is seen with a noise of 2 and of 0.7 points.

    python benchmarks/forecast.py
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

import numpy as np

from limbeck.evaluation.figure import share
from limbeck.searching.forecast import forecast_of, held_out
from limbeck.searching.rungs import Standing, goes_on

ACCURACY = share("accuracy", "accuracy")
NOISE = (0.02, 0.02 / 3)  # of the quality seen at each rung


class Made:
    """The curve of one made-up task."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.top = generator.uniform(0.9, 0.99)
        self.exponent = generator.uniform(0.3, 1.2)
        self.scale = generator.uniform(0.05, 0.4)
        self.dearest = float(generator.choice([10, 30, 100]))
        self.shortfall = float(generator.choice([0.003, 0.01, 0.02]))

    def best(self, cost: np.ndarray | float) -> np.ndarray:
        """What the best student of a cost reaches."""
        return np.asarray(self.top - self.scale * np.asarray(cost) ** -self.exponent)

    def searched(self, count: int, generator: np.random.Generator) -> list[tuple[float, float]]:
        """(cost, quality) of so many trials."""
        cost = np.exp(generator.uniform(0, np.log(self.dearest), count))
        short = generator.exponential(self.shortfall, count) - generator.normal(0, 0.002, count)
        return list(zip(cost.tolist(), (self.best(cost) - short).clip(0, 1).tolist()))


def stopped_early(points: Sequence[tuple[float, float]], generator: np.random.Generator) -> list[tuple[float, float]]:
    """Those that no rung stopped, in the order in which they were tried."""
    kept, at_rung = [], [[] for _ in NOISE]
    for cost, quality in points:
        for others, noise in zip(at_rung, NOISE, strict=True):
            seen = Standing(quality + generator.normal(0, noise), (cost,))
            on = goes_on(seen, others)
            others.append(seen)
            if not on:
                break
        else:
            kept.append((cost, quality))
    return kept


def searched(count: int, generator: np.random.Generator) -> list[tuple[float, float]]:
    """(cost, quality) of a search of a task of its own."""
    return Made(generator).searched(count, generator)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=200)
    arguments = parser.parse_args()
    print("| students | trained in full | searches | no forecast | figures left out | within the 80 % interval |")
    print("|---:|---:|---:|---:|---:|---:|")
    for rungs in (False, True):
        for count in (15, 20, 40, 80):
            named = of = none = 0
            finished = []
            for seed in range(arguments.searches):
                generator = np.random.default_rng(seed)
                points = searched(count, generator)
                if rungs:
                    points = stopped_early(points, generator)
                finished.append(len(points))
                none += isinstance(forecast_of(points, ACCURACY, seed, stopped=count - len(points)), str)
                if (counted := held_out(points, ACCURACY, seed)) is not None:
                    named, of = named + counted["named"], of + counted["of"]
            row = (count, f"{statistics.fmean(finished):.1f}", arguments.searches, none, of)
            print(f"| {' | '.join(map(str, row))} | {100 * named / max(of, 1):.0f} % |", flush=True)


if __name__ == "__main__":
    main()
