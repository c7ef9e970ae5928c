"""The smallest whole job of driving: short episodes among few cars. What is driven is kept in ``XDG_CACHE_HOME``, which tests set."""

from __future__ import annotations

from typing import Any

from limbeck.recipe import read as recipe_file
from limbeck.sections.recipe import Recipe

SETTINGS = {"duration": 8, "vehicles_count": 10}
VALUES: dict[str, Any] = {
    "name": "short",
    "task": "control",
    "data": {
        "name": "highway-fast-v0",
        "settings": SETTINGS,
        "episodes": 10,
        "validation_episodes": 2,
        "test_episodes": 2,
    },
    "teacher": {"planner": {}},
    "student": {"model": "mlp", "width": 8, "second": 6},
    "train": {"epochs": 3, "batch_size": 32},
    "judge": {"episodes": 3},
}
ROUNDS = "data.rollouts={rounds: 2, episodes: 8, epochs: 5}"


def recipe(*overrides: str) -> Recipe:
    """The recipe."""
    return recipe_file.from_dict(recipe_file.apply_overrides(VALUES, overrides))
