"""A student where it was not trained: among more cars, and beside a ramp from which others merge; and with a fallback, slower where it is unsure.

    python benchmarks/driving_safety.py runs/highway
    python benchmarks/driving_safety.py runs/driving/7_rounds_* --episodes 50

Takes folders of finished runs of `recipes/highway.yaml`, several trainings of one recipe. Each fallback's lead is chosen on validation seeds, in
the environment that the student was trained in: fewest collisions at 95 % of the reward that it has alone. The planner knows straight roads
alone, so there is none in the merge; there the observation is made to have the ranges that the student knows. Rewards of a merge are of another
scale and another length.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from common import print_conditions, print_table

from limbeck.modalities.driving.actions import IDLE, SLOWER
from limbeck.modalities.driving.collect import JUDGED, VALIDATION
from limbeck.modalities.driving.episodes import Always, Driver, Episode, Network, Plans, drive
from limbeck.modalities.driving.fallback import Careful, chosen
from limbeck.modalities.driving.headway import Headway, headway_of
from limbeck.modalities.driving.judge import beside, judged
from limbeck.modalities.driving.network import build, driver_of
from limbeck.modalities.driving.simulator import World
from limbeck.models.weights import load_weights
from limbeck.recipe import read as recipe_file

LEADS = (0.1, 0.2, 0.4, 0.8)
DENSER = {"vehicles_count": 30, "vehicles_density": 1.5}
COLUMNS = (
    *(
        "where",
        "driver",
        "collisions, %",
        "reward",
        "speed, m/s",
        "under 1.5 s, % of decisions",
        "least time to a collision, s",
    ),
    *("interventions, %", "more collisions than the student alone, points"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--validation", type=int, default=50, help="seeds on which a lead is chosen")
    given = parser.parse_args()
    began = time.monotonic()
    recipe: Any = recipe_file.read(given.runs[0] / "recipe.yaml")
    home = World(recipe.data.name, recipe.data.settings)
    headway = headway_of(home)
    assert headway is not None
    students = [student_of(run) for run in given.runs]
    held = range(VALIDATION + 50_000, VALIDATION + 50_000 + given.validation)  # apart from those of validation states
    careful = []
    for student in students:
        env = home.environment()
        alone = [drive(env, student, seed) for seed in held]
        tried = {lead: [drive(env, Careful(student, lead), seed) for seed in held] for lead in LEADS}
        careful.append(Careful(student, chosen(alone, tried)))
    places = {
        "as in training": home.environment(),
        "denser": World(home.name, {**home.settings, **DENSER}).environment(),
        "merge": merge(headway, home),
    }
    rows, seeds = [], range(JUDGED, JUDGED + given.episodes)
    for where, env in places.items():
        simple: dict[str, list[Driver]] = {"always idle": [Always(IDLE)], "always slower": [Always(SLOWER)]}
        planner: dict[str, list[Driver]] = {} if where == "merge" else {"planner": [Plans()]}
        drivers = {"student": [*students], "student, fallback": [*careful], **planner, **simple}
        driven = {name: [[drive(env, one, seed) for seed in seeds] for one in ones] for name, ones in drivers.items()}
        for name, episodes in driven.items():
            share = [
                one.interventions(of)
                for one, of in zip(drivers[name], episodes, strict=True)
                if isinstance(one, Careful)
            ]
            rows.append(row(where, name, episodes, driven["student"], headway, share))
    print_table(COLUMNS, rows)
    print(
        f"{given.episodes} episodes each; leads chosen on {given.validation} validation seeds: {', '.join(f'{one.lead:g}' for one in careful)}."
    )
    print_conditions(", ".join(run.name for run in given.runs), began)


def student_of(run: Path) -> Network:
    """The exported student of a finished run."""
    import torch

    recipe: Any = recipe_file.read(run / "recipe.yaml")
    numbers = World(recipe.data.name, recipe.data.settings).numbers
    model = build(recipe.student.knobs, torch.zeros(numbers), torch.ones(numbers), 5, seed=0)
    load_weights(model, run / "student.safetensors", "student")
    return driver_of(model)


def merge(headway: Headway, home: World) -> Any:
    """The library's merge, in which numbers mean what they mean at home."""
    ranges = {"x": headway.x, "y": headway.y, "vx": headway.speed, "vy": headway.speed}
    observation = {
        **home.config["observation"],
        "features_range": {name: [-size, size] for name, size in ranges.items()},
    }
    return gymnasium.make("merge-v1", config={"observation": observation, "duration": 60}).unwrapped


def row(
    where: str,
    name: str,
    driven: list[list[Episode]],
    student: list[list[Episode]],
    headway: Headway,
    share: list[float],
) -> tuple[str, ...]:
    """A driver's figures: means over its trainings, and how many more collisions than the student alone, paired by seed."""
    each = [judged(episodes, 0.05, headway) for episodes in driven]

    def mean(figure: str, scale: float = 1.0) -> str:
        return f"{scale * np.mean([one[figure]['mean'] for one in each]):.1f}"

    more = ""
    if driven is not student:
        trainings = driven if len(driven) == len(student) else driven * len(student)
        found = beside(trainings, student, 0.05)["collisions"]
        more = "{:+.0f} ({:+.0f} to {:+.0f})".format(*(100 * found[end] for end in ("difference", "low", "high")))
    figures = (
        mean("collisions", 100),
        mean("reward"),
        mean("speed"),
        mean("short_headway", 100),
        mean("least_headway"),
    )
    return (where, name, *figures, f"{100 * np.mean(share):.1f}" if share else "", more)


if __name__ == "__main__":
    main()
