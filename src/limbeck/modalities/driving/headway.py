"""How far a driver is from running into the car ahead, read off what it was shown. Shapes: T decisions, F numbers of a state, V cars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from highway_env.vehicle.kinematics import Vehicle

from .fast import FEATURES
from .simulator import World

MOST = 10.0
"""Seconds that are told apart; more is taken for as much."""
SHORT = 1.5
"""Seconds to a collision below which a driver can hardly help it any more."""
HALF_LANE = 2.0  # metres beside its own place within which a car is in its way


@dataclass(frozen=True)
class Headway:
    """What an observation's numbers are in metres and metres a second: ``x``, ``y`` and ``speed`` stand for 1."""

    x: float
    y: float
    speed: float

    def seconds(self, states_TF: np.ndarray) -> np.ndarray:
        """Seconds to a collision with the next car ahead in its lane (T,) where both keep their speed; :data:`MOST` at most, and where there is none."""
        seen_TVF = states_TF.reshape(len(states_TF), -1, len(FEATURES))[:, 1:].astype(float)
        there_TV = seen_TVF[:, :, 0] > 0
        ahead_TV, beside_TV, faster_TV = (
            seen_TVF[:, :, FEATURES.index(name)] * size
            for name, size in (("x", self.x), ("y", self.y), ("vx", self.speed))
        )
        in_way_TV = there_TV & (ahead_TV > 0) & (np.abs(beside_TV) < HALF_LANE)
        free_TV = np.maximum(ahead_TV - Vehicle.LENGTH, 0)
        closing_TV = np.maximum(-faster_TV, 1e-6)
        return np.where(in_way_TV, np.minimum(free_TV / closing_TV, MOST), MOST).min(axis=1, initial=MOST)


def headway_of(world: World) -> Headway | None:
    """None where observations do not hold distances to other cars in ranges that are known."""
    env = world.environment()
    env.reset(seed=0)
    kind = env.observation_type
    ranges: dict[str, Any] = getattr(kind, "features_range", None) or {}
    whole = getattr(kind, "normalize", False) and not getattr(kind, "absolute", True)
    if not whole or tuple(getattr(kind, "features", ())) != FEATURES or not {"x", "y", "vx"} <= set(ranges):
        return None
    sizes = [ranges[name] for name in ("x", "y", "vx")]
    if any(low != -high for low, high in sizes):
        return None
    return Headway(*(float(high) for _, high in sizes))
