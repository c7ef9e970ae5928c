"""The smallest whole search: the tiny job, students of some hundred parameters, three epochs, two rungs."""

import json
from dataclasses import replace
from pathlib import Path

import yaml

from limbeck.pipeline.job import use_threads
from limbeck.recipe import read as recipe_file
from limbeck.searching.engine import Searched, students_tried
from limbeck.searching.trials import Trial
from limbeck.sections.recipe import Recipe

from . import tiny

SEARCH = """\
train: {epochs: 3, batch_size: 25, warmup_epochs: 0.5}
search:
  trials: 5
  budget: {parameters: 2000}
  rungs: [0.34, 0.67]
  space: {student.model: convnet, student.width: [2, 4, 8, 16], student.depth: [1, 2], student.downscale: null, views: null, train.epochs: null, objective: [kd, dist]}
"""


def values(*overrides: str) -> dict:
    """The tiny search as plain values."""
    return recipe_file.apply_overrides({**yaml.safe_load(tiny.RECIPE), **yaml.safe_load(SEARCH)}, overrides)


def recipe(*overrides: str) -> Recipe:
    """The tiny search."""
    return recipe_file.from_dict(values(*overrides), "recipe")


def search(out: Path, *overrides: str, jobs: int = 1) -> Searched:
    """The trials of the tiny search, on one thread."""
    use_threads(1)
    with students_tried(recipe(*overrides), out=out, threads=1, jobs=jobs) as searched:
        return searched


def untimed(trials: list[Trial]) -> list[Trial]:
    """The trials but for their seconds."""
    return [replace(trial, seconds=0.0) for trial in trials]


def weights(out: Path) -> dict[str, str]:
    """Digests of what was trained to its end, by stage."""
    found = {}
    for path in out.glob("stages/*/*/done.json"):
        done = json.loads(path.read_text())
        if "model.safetensors" in done["files"]:
            found[f"{done['stage']}/{done['fingerprint']}"] = done["files"]["model.safetensors"]
    return found
