"""A driver who looks ahead: every sequence of three decisions, played out where the others keep their speed and the lane they aim at.

It needs no training. It reads the simulator's state, which is more than a student is shown: which lane and speed each car is on the way
to, and the cars behind. Shapes: A actions (5), P plans (A³), T moments, V other cars.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from .actions import ACTIONS, FASTER, IDLE, LEFT, RIGHT, SLOWER

PLANNER_VERSION = 1
AHEAD = 3
"""Decisions that are tried in all combinations; after them it idles."""
PLANS_PD = np.array(list(product(range(len(ACTIONS)), repeat=AHEAD)))


def best(values_NA: np.ndarray) -> np.ndarray:
    """The best action (N,) int64 of each state: to idle where nothing is worth more, as where a lane is aimed at that there is not."""
    idle_N = values_NA[:, IDLE] >= values_NA.max(axis=1)
    return np.where(idle_N, IDLE, values_NA.argmax(axis=1))


@dataclass(frozen=True)
class Planner:
    """How far it looks, and what it charges; rewards are the simulator's, 1 a second at most.

    Attributes:
        horizon: seconds that are played out.
        moments: of a second, at which distances are looked at.
        lag: seconds in which its own speed comes to 63 % of what was decided.
        sideways: the same of its place across the road.
        crash: the charge for each second after a hit, in place of the reward.
        close: the charge for a second at no distance; it falls to nothing at ``gap`` seconds behind or ahead of a car in its way.
        gap: seconds to the next car below which closeness is charged.
        margin: metres to another car that count as a hit, since the real ones brake.
        change: the charge for a change of lanes.
    """

    horizon: float = 6.0
    moments: int = 5
    lag: float = 0.6
    sideways: float = 0.6
    crash: float = 1.0
    close: float = 0.2
    gap: float = 0.6
    margin: float = 3.0
    change: float = 0.02

    def values(self, env: Any) -> np.ndarray:
        """The value of each action (A,) float64 in the state that the environment is in: that of the best plan which begins with it."""
        plans_P = self._plans(env)
        return plans_P.reshape(len(ACTIONS), -1).max(axis=1)

    def _plans(self, env: Any) -> np.ndarray:
        car, config = env.vehicle, env.config
        lanes = env.road.network.all_side_lanes(car.lane_index)
        widths = [env.road.network.get_lane(lane) for lane in lanes]
        every = 1 / config["policy_frequency"]
        dt = 1 / self.moments
        steps = round(self.horizon * self.moments)
        x_PT, y_PT, speed_PT, lane_PT, changes_P = self._own(car, widths, every, dt, steps)
        low, high = config["reward_speed_range"]
        fast_PT = np.clip((speed_PT - low) / (high - low), 0, 1)
        gains = config["high_speed_reward"] * fast_PT
        gains = gains + config["right_lane_reward"] * lane_PT / max(len(lanes) - 1, 1)
        worst, best = config["collision_reward"], config["high_speed_reward"] + config["right_lane_reward"]
        reward_PT = (gains - worst) / (best - worst) if config["normalize_reward"] else gains
        hit_PT, closeness_PT = self._others(env, car, x_PT, y_PT, speed_PT, dt)
        after_PT = np.logical_or.accumulate(hit_PT, axis=1)
        worth_PT = np.where(after_PT, -self.crash, reward_PT - self.close * closeness_PT)
        return worth_PT.sum(axis=1) * dt - self.change * changes_P

    def _own(self, car: Any, lanes: list[Any], every: float, dt: float, steps: int) -> tuple[np.ndarray, ...]:
        """Where its own car is (P, T), how fast, on the way to which lane; and how many lane changes a plan has (P,)."""
        count = len(PLANS_PD)
        speeds = np.asarray(car.target_speeds, dtype=float)
        centre_L = np.array([lane.start[1] for lane in lanes])
        x_P, y_P, speed_P = (np.full(count, float(start)) for start in (*car.position, car.speed))
        lane_P = np.full(count, int(car.target_lane_index[2]))
        target_P = np.full(count, float(car.target_speed))
        changes_P = np.zeros(count)
        found = [np.empty((count, steps)) for _ in range(4)]
        decided = 0
        for step in range(steps):
            if decided < AHEAD and step * dt >= decided * every - 1e-9:
                action_P = PLANS_PD[:, decided]
                aside_P = np.clip(lane_P + (action_P == RIGHT) - (action_P == LEFT), 0, len(lanes) - 1)
                changes_P += aside_P != lane_P
                lane_P = aside_P
                # the simulator counts from the speed that the car has, not from the one that it is on the way to
                nearest_P = np.abs(speed_P[:, None] - speeds).argmin(axis=1)
                index_P = np.clip(nearest_P + (action_P == FASTER) - (action_P == SLOWER), 0, len(speeds) - 1)
                target_P = np.where((action_P == FASTER) | (action_P == SLOWER), speeds[index_P], target_P)
                decided += 1
            speed_P = speed_P + (target_P - speed_P) * (1 - np.exp(-dt / self.lag))
            x_P = x_P + speed_P * dt
            y_P = y_P + (centre_L[lane_P] - y_P) * (1 - np.exp(-dt / self.sideways))
            for kept_PT, now_P in zip(found, (x_P, y_P, speed_P, lane_P), strict=True):
                kept_PT[:, step] = now_P
        return (*found, changes_P)

    def _others(
        self, env: Any, car: Any, x_PT: np.ndarray, y_PT: np.ndarray, speed_PT: np.ndarray, dt: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Whether another car is hit (P, T), and how close the closest in its way is (P, T), from 0 to 1."""
        others = [one for one in env.road.vehicles if one is not car]
        reach = 40.0 * self.horizon
        others = [one for one in others if abs(one.position[0] - car.position[0]) < reach]
        if not others:
            return np.zeros(x_PT.shape, bool), np.zeros(x_PT.shape)
        moment_T = (np.arange(x_PT.shape[1]) + 1) * dt
        at_V2, velocity_V2 = (np.array([getattr(one, what) for one in others]) for what in ("position", "velocity"))
        x_TV = at_V2[:, 0] + velocity_V2[:, 0] * moment_T[:, None]
        # as its own: who changes lanes settles in the one aimed at, and who went on sideways would be off the road
        aimed_V = np.array([env.road.network.get_lane(one.target_lane_index).start[1] for one in others])
        y_TV = aimed_V + (at_V2[:, 1] - aimed_V) * np.exp(-moment_T[:, None] / self.sideways)
        along_PTV = np.abs(x_TV - x_PT[:, :, None]) - car.LENGTH
        beside_PTV = np.abs(y_TV - y_PT[:, :, None]) < car.WIDTH + 0.3
        free_PT = np.where(beside_PTV, along_PTV, np.inf).min(axis=2)
        closeness_PT = np.clip(1 - free_PT / (self.gap * speed_PT), 0, 1)
        return free_PT <= self.margin, closeness_PT
