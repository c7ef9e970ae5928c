"""Drivers on the same seeds: the planner, its students by what they learnt from, and drivers that do not look.

    python benchmarks/driving.py --out runs/driving
    python benchmarks/driving.py --rounds 0 7 --trainings 1 --out runs/driving

For each number of rounds of `data.rollouts` (0: the planner's episodes alone) the recipe is run from each of so many seeds, whole: its own rounds, and on
their states its own students, from the planner's best actions (the baseline), from soft targets, and from soft targets beside expected regret; a network
of 278,533 numbers, and a student of that. All drive on the judge's seeds. Runs lie in folders of OUT: the same command goes on from where it was stopped.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import print_conditions, print_table

from limbeck.modalities.driving.episodes import SIMPLE, Episode, Plans
from limbeck.modalities.driving.judge import beside, judged
from limbeck.modalities.driving.measured import judged_drive
from limbeck.modalities.driving.network import driver_of
from limbeck.models.weights import load_weights
from limbeck.pipeline.job import open_job
from limbeck.pipeline.run import run
from limbeck.recipe import read as recipe_file

RECIPE = Path(__file__).parents[1] / "recipes" / "highway.yaml"
KD, REGRET = "{kd: {temperature: 1}}", "{kd: {temperature: 1}, expected_regret: {weight: 1.5}}"
PLANNER, LARGE = "{planner: {tau: 0.5}}", "{model: mlp, width: 512, second: 512, tau: 0.5, train: {epochs: 60}}"
# by what is learnt from: which model of the run, its objective, the teacher
ARMS = {
    "best actions": ("baseline", KD, PLANNER),
    "soft targets": ("student", KD, PLANNER),
    "soft targets, regret": ("student", REGRET, PLANNER),
    "large network": ("teacher", REGRET, LARGE),
    "through it": ("student", REGRET, LARGE),
}
COLUMNS = (
    *("driver", "collisions, %", "reward", "speed, m/s", "lane changes", "decision, ms: median", "p99"),
    *("more collisions than the planner, points", "more reward", "of its reward, %", "times as fast"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, nargs="*", default=[0, 1, 3, 7])
    parser.add_argument("--trainings", type=int, default=3)
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=[*ARMS])
    parser.add_argument("--out", type=Path, default=Path("runs/driving"))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as in `limbeck run`")
    given = parser.parse_args()
    began = time.monotonic()
    recipe: Any = recipe_file.read(RECIPE, given.set)
    period = recipe.judge.period_ms / 1e3
    planner = judged_drive(Plans(), recipe)
    rows = [row("planner", [planner], planner, period)]
    rows += [row(name, [judged_drive(driver, recipe)], planner, period) for name, driver in SIMPLE.items()]
    for rounds in given.rounds:
        for learns in given.arms:
            driven = [driven_by(given, rounds, seed, *ARMS[learns]) for seed in range(given.trainings)]
            rows.append(row(f"{learns}, {rounds} rounds", driven, planner, period))
    print_table(COLUMNS, rows)
    print(f"{recipe.judge.episodes} episodes each, {given.trainings} training(s) of each student.")
    print_conditions(", ".join(map(str, range(given.trainings))), began)


def driven_by(
    given: argparse.Namespace, rounds: int, seed: int, arm: str, objective: str, teacher: str
) -> list[Episode]:
    """How one arm of a run drives."""
    rollouts = [f"data.rollouts.rounds={rounds}"] if rounds else ["data.rollouts=null"]
    fields = (f"seed={seed}", f"objective={objective}", f"teacher={teacher}", "baseline.label_smoothing=0")
    recipe: Any = recipe_file.read(RECIPE, [*given.set, *rollouts, *fields])
    out = given.out / f"{rounds}_rounds_{seed}"
    results = run(recipe, out=out, device="cpu")
    job = open_job(recipe, out=out, device="cpu", quiet=True)
    model = job.teacher if arm == "teacher" else job.student(seed)
    named = results["fingerprints"][arm]
    folder = named if isinstance(named, str) else named[0]
    load_weights(model, out / "stages" / arm / folder / "model.safetensors", arm)
    return list(judged_drive(driver_of(model), recipe))  # type: ignore[arg-type]


def row(name: str, trainings: list[Any], planner: Any, period: float) -> tuple[str, ...]:
    """A driver's figures: means over its trainings, and what it has more of than the planner, paired by seed."""
    said = [judged(episodes, period) for episodes in trainings]

    def mean(figure: str, scale: float = 1.0) -> str:
        found = [scale * one[figure]["mean"] for one in said]
        spread = f" ± {np.std(found, ddof=1):.1f}" if len(found) > 1 else ""
        return f"{np.mean(found):.1f}{spread}"

    ms = [f"{np.mean([one['decision_ms'][which] for one in said]):.3f}" for which in ("median", "p99")]
    more = beside(trainings, [planner], period)

    def interval(figure: str, scale: float, digits: int) -> str:
        if trainings[0] is planner:
            return ""
        found = (scale * more[figure][end] for end in ("difference", "low", "high"))
        return "{:+.{d}f} ({:+.{d}f} to {:+.{d}f})".format(*found, d=digits)

    theirs = judged(planner, period)
    reward = 100 * np.mean([one["reward"]["mean"] for one in said]) / theirs["reward"]["mean"]
    speed = theirs["decision_ms"]["median"] / np.mean([one["decision_ms"]["median"] for one in said])
    return (
        *(name, mean("collisions", 100), mean("reward"), mean("speed"), mean("lane_changes"), *ms),
        *(interval("collisions", 100, 0), interval("reward", 1, 1), f"{reward:.1f}", f"{speed:,.0f}"),
    )


if __name__ == "__main__":
    main()
