"""Episodes: pure functions of a world, a seed and who drives, in as many processes as are asked for.

Shapes: T decisions, A actions (5), F numbers of an observation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Protocol

import numpy as np

from ...errors import BadInput
from .actions import ACTIONS, IDLE, SLOWER
from .planner import Planner, best
from .simulator import World


class Driver(Protocol):
    """Who decides: a pure function of the state, and of ``draw``, a generator of the episode's own.

    One that is sent to other processes can be pickled.
    """

    def __call__(self, observation_F: np.ndarray, env: Any, draw: np.random.Generator) -> tuple[int, np.ndarray | None]:
        """The action, and the value of every action (A,) where it knows them."""
        ...


@dataclass(frozen=True)
class Episode:
    """One, from its first state to its end.

    Attributes:
        seed: of the simulator.
        states_TF: (T, F) float32, what the driver was shown.
        actions_T: (T,) int64, what was decided.
        values_TA: (T, A) float64, what who labels says of each state; None where nobody was asked.
        rewards_T, speeds_T: (T,) float64, of each second; metres a second.
        seconds_T: (T,) float64, how long a decision took.
        crashed: whether it ended so, or by its time.
        distance: metres.
        lane_changes: decisions to change lanes that changed the lane aimed at.
    """

    seed: int
    states_TF: np.ndarray
    actions_T: np.ndarray
    values_TA: np.ndarray | None
    rewards_T: np.ndarray
    speeds_T: np.ndarray
    seconds_T: np.ndarray
    crashed: bool
    distance: float
    lane_changes: int


@dataclass(frozen=True)
class Plans:
    """The planner drives: the best of its values."""

    planner: Planner = field(default_factory=Planner)

    def __call__(self, observation_F: np.ndarray, env: Any, draw: np.random.Generator) -> tuple[int, np.ndarray]:
        values_A = self.planner.values(env)
        return int(best(values_A[None])[0]), values_A


@dataclass(frozen=True)
class Always:
    """The same action in every state."""

    action: int

    def __call__(self, observation_F: np.ndarray, env: Any, draw: np.random.Generator) -> tuple[int, None]:
        return self.action, None


@dataclass(frozen=True)
class AtRandom:
    """Any action, each as likely."""

    def __call__(self, observation_F: np.ndarray, env: Any, draw: np.random.Generator) -> tuple[int, None]:
        return int(draw.integers(len(ACTIONS))), None


BETWEEN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "leaky_relu": lambda x: np.where(x > 0, x, np.float32(0.01) * x),
}
"""What may be between two layers, as torch has them where nothing is said."""


@dataclass(frozen=True)
class Network:
    """A multi-layer perceptron as arrays: (weight (out, in), bias (out,)) of each layer, one of :data:`BETWEEN` between them; float32."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    activation: str = "relu"

    def logits(self, state_F: np.ndarray) -> np.ndarray:
        """(A,) float32."""
        found, between = state_F, BETWEEN[self.activation]
        for weight, bias in self.layers[:-1]:
            found = between(weight @ found + bias)
        weight, bias = self.layers[-1]
        return weight @ found + bias

    def __call__(self, observation_F: np.ndarray, env: Any, draw: np.random.Generator) -> tuple[int, None]:
        return int(self.logits(observation_F).argmax()), None


@dataclass(frozen=True)
class Mixed:
    """Either of two drivers at each decision: the first with probability ``share`` (the mixture of DAgger, Ross et al. 2011)."""

    first: Driver
    second: Driver
    share: float

    def __call__(self, observation_F: np.ndarray, env: Any, draw: np.random.Generator) -> tuple[int, Any]:
        return (self.first if draw.random() < self.share else self.second)(observation_F, env, draw)


SIMPLE: dict[str, Driver] = {"random": AtRandom(), "always idle": Always(IDLE), "always slower": Always(SLOWER)}
"""Drivers that every other is set beside."""


def drive(env: Any, driver: Driver, seed: int, *, label: Driver | None = None) -> Episode:
    """One episode. ``label``, a driver that knows the values of all actions, is asked about every state, whoever drives, where there is one.

    Raises :class:`BadInput` where the environment goes on after the time that its settings give an episode.
    """
    observation, _ = env.reset(seed=seed)
    draw = np.random.default_rng([seed, 0x11BECC])
    states, actions, values, rewards, speeds, seconds = [], [], [], [], [], []
    start, changes, ended = float(env.vehicle.position[0]), 0, False
    crashed = False
    longest = round(env.config["duration"] * env.config["policy_frequency"])
    while not ended:
        if len(states) >= longest:
            raise BadInput(
                f"the episode of seed {seed} does not end: the environment goes on after the {longest} decisions that its settings give it "
                "(duration, policy_frequency)."
            )
        state_F = np.asarray(observation, np.float32).reshape(-1)
        before = time.perf_counter()
        action, valued_A = driver(state_F, env, draw)
        seconds.append(time.perf_counter() - before)
        if label is not None:
            asked = driver is label or (isinstance(driver, Plans) and driver == label)
            values.append(valued_A if asked else label(state_F, env, draw)[1])
        aimed = env.vehicle.target_lane_index
        observation, reward, terminated, truncated, info = env.step(action)
        ended, crashed = bool(terminated or truncated), bool(info["crashed"])
        states.append(state_F)
        actions.append(action)
        rewards.append(float(reward))
        speeds.append(float(info["speed"]))
        changes += env.vehicle.target_lane_index != aimed
    return Episode(
        seed=seed,
        states_TF=np.stack(states),
        actions_T=np.array(actions),
        values_TA=np.stack(values) if label is not None else None,
        rewards_T=np.array(rewards),
        speeds_T=np.array(speeds),
        seconds_T=np.array(seconds),
        crashed=crashed,
        distance=float(env.vehicle.position[0]) - start,
        lane_changes=changes,
    )


def drives(
    world: World,
    driver: Driver,
    seeds: Sequence[int],
    *,
    label: Driver | None = None,
    processes: int = 1,
    advance: Callable[[], object] | None = None,
) -> list[Episode]:
    """An episode for each seed, in their order; the same, but for the seconds, in however many processes.

    ``advance`` is called after each.
    """
    found = []
    for episode in _each(world, driver, seeds, label, min(processes, len(seeds))):
        found.append(episode)
        if advance is not None:
            advance()
    return found


def _each(
    world: World, driver: Driver, seeds: Sequence[int], label: Driver | None, processes: int
) -> Iterator[Episode]:
    if processes <= 1:
        env = world.environment()
        for seed in seeds:
            yield drive(env, driver, seed, label=label)
        return
    # not forked: a process that holds threads of torch may hang once it is forked
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(world, driver, label)
    ) as pool:
        yield from pool.map(_next, seeds)


_HERE: dict[str, Any] = {}


def _begin(world: World, driver: Driver, label: Driver | None) -> None:
    _HERE.update(env=world.environment(), driver=driver, label=label)


def _next(seed: int) -> Episode:
    return drive(_HERE["env"], _HERE["driver"], seed, label=_HERE["label"])
