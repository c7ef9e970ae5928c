"""The states of a run: of episodes that the planner drove, and of those that a student drove, round after round.

Every episode is a pure function of its seed and its driver, and so is every student of the states that it learnt from. What was driven
is kept, round by round, so that a run that was killed goes on where it was, to the same weights.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ...data.examples import HeldOut, classes_missing, listed_names
from ...errors import BadInput
from ...files import atomic_path, fingerprint
from ...progress import Bar
from ...randomness import torch_seed
from .actions import ACTIONS
from .episodes import Driver, Episode, Mixed, Network, Plans, drives
from .examples import Splits, States, states_of
from .labels import Labels, labels_of, named, planner_named
from .network import build, driver_of, statistics
from .recipe import ControlRecipe
from .simulator import World

COLLECT_VERSION = 1
# Seeds: apart from one another, whatever is asked for, and from those of judging.
TRAIN, VALIDATION, TEST, ROUNDS, JUDGED = 0, 100_000_000, 200_000_000, 300_000_000, 900_000_000
A_ROUND = 1_000_000
HELD_OUT = 8  # one episode of so many, of a round
BATCH, RATE = 256, 0.005

Say = Callable[..., AbstractContextManager[Any]]


@dataclass(frozen=True)
class Drive:
    """Episodes to be driven: where, by whom, known by which name, on which seeds; whether the planner is asked of each state."""

    world: World
    driver: Driver
    who: str
    seeds: range
    processes: int
    labelled: bool = True
    labels: Labels = field(default_factory=lambda: Labels(Plans(), planner_named(), "planner", 1.0))

    @property
    def key(self) -> str:
        """What the episodes are kept under."""
        about = [COLLECT_VERSION, self.labels.name, self.world.fingerprint, self.who, self.seeds.start, len(self.seeds)]
        return fingerprint(about if self.labelled else [*about, "not labelled"])

    def episodes(self, progress: Bar | None, title: str) -> list[Episode]:
        """As they were kept, or driven now and kept."""
        path = kept_in() / f"{self.key}.npz"
        if (known := read(path)) is not None:
            return known
        with nullcontext(None) if progress is None else progress(len(self.seeds), title) as advance:
            label = self.labels.driver if self.labelled else None
            found = drives(self.world, self.driver, self.seeds, label=label, processes=self.processes, advance=advance)
        write(path, found)
        return found


def kept_in() -> Path:
    """Where episodes are kept: ``limbeck/driving`` in ``$XDG_CACHE_HOME``, or else in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "limbeck" / "driving"


def collect(recipe: ControlRecipe, progress: Bar | None = None, *, trust_code: bool = False) -> Splits:
    """The splits of a run.

    Raises :class:`BadInput` where the recipe names no environment, or a setting that it does not have; where the student that is to
    drive is not ours; where who labels the states cannot be read.
    """
    data, world = recipe.data, World(recipe.data.name, recipe.data.settings)
    labels = labels_of(recipe, trust_code=trust_code)

    def driven(first: int, count: int) -> Drive:
        return Drive(world, labels.driver, labels.name, range(first, first + count), data.processes, labels=labels)

    said = f"{labels.title} drives"
    train = [(labels.name, one) for one in driven(TRAIN, data.episodes).episodes(progress, said)]
    held = driven(VALIDATION, data.validation_episodes).episodes(progress, f"{said}, validation")
    validation = [(labels.name, one) for one in held]
    if data.rollouts is not None:
        _rounds(recipe, world, labels, train, validation, progress)
    tested = driven(TEST, data.test_episodes)

    def test(notes: list[str]) -> States:
        return states_of([(labels.name, one) for one in tested.episodes(progress, f"{said}, test")])

    examples, selected = states_of(train), states_of(validation)
    judges = dict.fromkeys([planner_named(), labels.name])
    by = fingerprint([COLLECT_VERSION, labels.name, world.fingerprint, _digest(examples), _digest(selected)])
    return Splits(
        train=examples,
        validation=selected,
        test=HeldOut(test),
        transfer=None,
        classes=ACTIONS,
        unlearnt=True,
        ids_of="who drove, an episode's seed and the step, in this environment, with these settings and this version of the simulator",
        notes=tuple(_never(examples, labels.title)),
        fingerprint=fingerprint(
            [by, data.test_episodes]
        ),  # how many states these have is known once they are driven to
        labelled=by,
        measured_on=fingerprint([world.fingerprint, *judges, recipe.judge.model_dump(mode="json")]),
    )


def _never(train: States, who: str) -> Iterator[str]:
    """A note where some decision is the best in no state."""
    if missing := classes_missing(train.labels, ACTIONS):
        yield f"{who} decides {listed_names(missing)} in no training state: from its best decisions alone nobody learns to."


def _rounds(
    recipe: ControlRecipe,
    world: World,
    labels: Labels,
    train: list[tuple[str, Episode]],
    validation: list[tuple[str, Episode]],
    progress: Bar | None,
) -> None:
    """Adds what the student drove, round by round."""
    rollouts = recipe.data.rollouts
    assert rollouts is not None
    if recipe.student.model != "mlp":
        raise BadInput(
            f"data.rollouts: {recipe.student.model} is no network of ours, and mlp alone drives while data is collected: take it as "
            "student.model, or leave out data.rollouts."
        )
    for number in range(1, rollouts.rounds + 1):
        driver: Driver = learnt(states_of(train), recipe, labels.scale, rollouts.epochs, recipe.seed + number)
        who = named(driver)
        if (share := rollouts.planner_share**number) > 0:
            driver, who = Mixed(labels.driver, driver, share), fingerprint([who, labels.name, share])
        first = ROUNDS + number * A_ROUND
        seeds = range(first, first + rollouts.episodes)
        title = f"student drives, round {number}/{rollouts.rounds}"
        driven = Drive(world, driver, who, seeds, recipe.data.processes, labels=labels).episodes(progress, title)
        for place, one in enumerate(driven):
            (validation if place % HELD_OUT == HELD_OUT - 1 else train).append((who, one))


def learnt(states: States, recipe: ControlRecipe, scale: float, epochs: int, seed: int) -> Network:
    """A student of these states: cross-entropy with softmax(values / scale), AdamW, a learning rate that falls to 0 along a cosine.

    A pure function of its arguments (on one machine: it computes in one thread).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = build(recipe.student.knobs, *statistics(states.states_NF), len(ACTIONS), seed)
        targets_NA = torch.softmax(states.values_NA / scale, 1)
        optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=5e-4)
        steps = epochs * -(-len(states) // BATCH)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        draw = torch.Generator().manual_seed(torch_seed("driving.learnt", seed))
        for _ in range(epochs):
            for index_B in torch.randperm(len(states), generator=draw).split(BATCH):
                optimizer.zero_grad()
                F.cross_entropy(model(states.states_NF[index_B]), targets_NA[index_B]).backward()
                optimizer.step()
                falling.step()
        return driver_of(model)
    finally:
        torch.set_num_threads(threads)


def _digest(states: States) -> str:
    """Of what is seen and said, beside the ids."""
    parts = (states.states_NF, states.values_NA, states.ids)
    return fingerprint([one.numpy().tobytes().hex() for one in parts])


_ARRAYS = ("states_TF", "actions_T", "values_TA", "rewards_T", "speeds_T", "seconds_T")
_FACTS = ("seed", "crashed", "distance", "lane_changes")


def write(path: Path, episodes: Sequence[Episode]) -> None:
    """Episodes as one file of arrays, whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [name for name in _ARRAYS if getattr(episodes[0], name) is not None]
    arrays: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in episodes]) for name in names}
    arrays |= {name: np.array([getattr(one, name) for one in episodes]) for name in _FACTS}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, lengths=np.array([len(one.actions_T) for one in episodes]), **arrays)


def read(path: Path) -> list[Episode] | None:
    """The episodes of a file; None where there is none that is whole."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            ends = np.cumsum(file["lengths"])[:-1]
            arrays: dict[str, Any] = {name: np.split(file[name], ends) for name in _ARRAYS if name in file}
            facts = {name: file[name].tolist() for name in _FACTS}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        return None  # cut short, or damaged: it is driven again
    count = len(facts["seed"])
    arrays.setdefault("values_TA", [None] * count)  # where the planner was not asked
    return [
        Episode(**{name: arrays[name][k] for name in _ARRAYS}, **{name: facts[name][k] for name in _FACTS})
        for k in range(count)
    ]
