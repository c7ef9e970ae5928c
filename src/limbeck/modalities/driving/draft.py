"""What `limbeck init` writes for driving: it looks at the environment, and sizes a student by what is seen there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...deploy.sizing import size_of, size_sentences
from ...errors import BadInput, not_installed, printable
from ...sections.drafting import Drafted, flow, knob_lines
from . import OUTLINES
from .actions import ACTIONS
from .families import DEFAULTS, KNOBS, MEANINGS, MLP
from .recipe import Rollouts

PLANNER = "planner"
_LARGE = {"width": 512, "second": 512}
_PLANNER = (
    "# It looks six seconds ahead, and sees more than the student. Its values become soft targets, softmax(values / tau); try tau",
    "# from 0.1 to 1. Its best action is the label.",
    f"teacher: {flow({PLANNER: {'tau': 0.5}})}",
)
_NETWORK = (
    "# A large network between planner and student: it learns softmax(values / tau) of the planner, whose best actions are the labels;",
    "# try tau from 0.1 to 1.",
    f"teacher: {flow({'model': MLP, **_LARGE, 'tau': 0.5, 'train': {'epochs': 100}})}",
)


def plainly(teacher: str, data: str) -> bool:
    """Whether data plainly is an environment to drive in: by its name, or since a planner is to teach."""
    return (teacher == PLANNER or data.startswith("highway-")) and not Path(data).expanduser().exists()


def draft(task: str, teacher: str, data: str, student: str | None, given: Mapping[str, Any]) -> Drafted:
    """The recipe: the planner teaches, the student drives. Raises :class:`BadInput` for another teacher or student, or no such environment."""
    try:
        from .simulator import World
    except ModuleNotFoundError as missing:
        raise not_installed("simulated drives", missing, str(OUTLINES[task].extra)) from missing
    if teacher not in (PLANNER, MLP):
        raise BadInput(
            f"--teacher {teacher}: who drives is taught by {PLANNER}, or by a large network that learns from it; give --teacher {PLANNER} or "
            f"--teacher {MLP}. (A policy of stable-baselines3 is named in the recipe, teacher.stable_baselines3.)"
        )
    name = student or MLP
    if name != MLP and ":" not in name:
        raise BadInput(f"--student {name}: it is no network of states; {MLP} is, or module:callable.")
    world = World(data, given.get("settings", {}))
    rounds = Rollouts.model_validate(given.get("rollouts") or {})
    drives = name == MLP and given.get("rollouts", {}) is not None
    rest = {field: value for field, value in given.items() if field not in ("settings", "rollouts")}
    size = _size(world.numbers, {}) if name == MLP else None
    sizes = size_sentences(teacher, _size(world.numbers, _LARGE) if teacher == MLP else None, name, size)
    sizes = sizes if teacher == MLP else sizes[1:]
    driven = (
        f"Its student drives in {rounds.rounds} rounds, and the planner says of each state what it would have done (data.rollouts)."
        if drives
        else f"Its student learns from the planner's own episodes alone: {name} does not drive while states are collected. It is soon in "
        "states that they do not show."
    )
    values = {
        "name": data,
        **({"settings": given["settings"]} if "settings" in given else {}),
        "episodes": 60,
        **rest,
        "rollouts": {"rounds": rounds.rounds, "episodes": rounds.episodes, **(given.get("rollouts") or {})}
        if drives
        else None,
    }
    lines = [
        f"# Written by limbeck init: what the planner decides on {printable(data)} is distilled into a small network.",
        f"# A state is {world.numbers} numbers, an episode {world.decisions} decisions at most.",
        f"task: {task}",
        "",
        "# episodes: driven by the planner. rollouts: driven by the student, round after round, each state with what the planner would",
        "# have done (DAgger). settings: the environment's own where they are to differ, such as {vehicles_count: 30}.",
        f"data: {flow(values)}",
        "",
        *(_NETWORK if teacher == MLP else _PLANNER),
        "",
        *(f"# {printable(line)}" for line in sizes),
        f"student: {flow({'model': name, **(DEFAULTS if name == MLP else {})})}",
        *_knobs(name),
        "",
        "# `limbeck objectives` lists what else there is to match.",
        "# kd is of the soft targets. expected_regret counts what a decision costs: among actions of like value any will do.",
        "objective:",
        "  kd: {temperature: 1}",
        "  expected_regret: {weight: 1.5}",
        "",
        "train: {epochs: 200}",
        "",
        "# Drivers are judged by driving: episodes on seeds that nothing was chosen by. A decision slower than period_ms is a missed deadline.",
        "judge: {episodes: 100, period_ms: 50}",
        "",
        "# Students (and baselines) trained, for mean and standard deviation; 3 or 5 for results to rely on.",
        "seeds: 1",
    ]
    return Drafted("\n".join(lines) + "\n", (*sizes, driven), ())


def _size(numbers: int, knobs: Mapping[str, int]) -> Any:
    import torch

    from .network import build

    model = build(knobs, torch.zeros(numbers), torch.ones(numbers), len(ACTIONS), seed=0)
    return size_of(model, torch.zeros(1, numbers), "a state")


def _knobs(student: str) -> list[str]:
    """Comments that say what of the student can be changed."""
    if student != MLP:
        return ["# Whatever keyword arguments the callable has are its knobs: they stand beside its name."]
    return knob_lines({name: (f"{low} to {high}", MEANINGS[name]) for name, (low, high) in KNOBS.items()}, DEFAULTS)
