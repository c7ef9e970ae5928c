"""highway-env made faster with the same bits: observations without tables, straight roads without matrix products.

Half of a step of the simulator and more goes into tables of pandas for an observation of 25 numbers, and into coordinates in lanes that
lie along an axis, where they are differences. What is replaced here gives the same bits; a test holds it to the original.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from highway_env import utils
from highway_env.envs.common.abstract import AbstractEnv
from highway_env.envs.common.observation import KinematicObservation, ObservationType
from highway_env.road.lane import StraightLane
from highway_env.road.road import Road, RoadNetwork

FEATURES = ("presence", "x", "y", "vx", "vy")
"""The columns of an observation, which has a row for the car itself and one for each of the nearest cars."""


def fast(cls: type[AbstractEnv]) -> type[AbstractEnv]:
    """The class of an environment of straight roads, faster."""
    return type(f"Fast{cls.__name__}", (_Fast, cls), {})


class _Fast:
    """Mixed into an environment's class."""

    def define_spaces(self: Any) -> None:
        super().define_spaces()  # type: ignore[misc]
        self.observation_type = _as_arrays(self.observation_type)

    def _create_road(self: Any) -> None:
        super()._create_road()  # type: ignore[misc]
        road, lanes = self.road, self.road.network.lanes_list()
        if not all(type(lane) is StraightLane and (lane.direction == (1.0, 0.0)).all() for lane in lanes):
            return
        for lane in lanes:
            lane.__class__ = _AlongX
            lane.x, lane.y = lane.start.tolist()
        road.network.__class__, road.__class__ = _StraightNetwork, _StraightRoad


class _AlongX(StraightLane):
    """A straight lane along x, in which coordinates are differences."""

    x: float
    y: float

    def local_coordinates(self, position: np.ndarray) -> tuple[float, float]:
        x, y = position.tolist()
        return x - self.x, y - self.y


class _StraightNetwork(RoadNetwork):
    """Lanes along x alone."""

    def get_closest_lane_index(self, position: np.ndarray, heading: float | None = None) -> Any:
        x, y = position.tolist()
        turned = 0.0 if heading is None else abs(utils.wrap_to_pi(heading))  # every lane's own is 0
        nearest, least = None, np.inf
        for start, ends in self.graph.items():
            for end, lanes in ends.items():
                for number, lane in enumerate(lanes):
                    along = x - lane.x  # type: ignore[attr-defined]
                    away = abs(y - lane.y) + max(along - lane.length, 0) + max(0 - along, 0) + turned  # type: ignore[attr-defined]
                    if away < least:
                        nearest, least = (start, end, number), away
        return nearest


class _StraightRoad(Road):
    """A road of lanes along x alone."""

    _places: list[tuple[Any, float, float]] | None = None

    def act(self) -> None:
        # while all decide nobody moves
        self._places = self._now()
        try:
            super().act()
        finally:
            self._places = None

    def _now(self) -> list[tuple[Any, float, float]]:
        vehicles: list[Any] = self.vehicles
        return [(one, *one.position.tolist()) for one in vehicles]

    def neighbour_vehicles(self, vehicle: Any, lane_index: Any = None) -> tuple[Any, Any]:
        lane_index = lane_index or vehicle.lane_index
        if not lane_index or self.objects or self.neighbour_vehicles_connected_lanes:
            return super().neighbour_vehicles(vehicle, lane_index)
        lane: Any = self.network.get_lane(lane_index)
        own = float(vehicle.position[0]) - lane.x
        half, low, high = lane.width / 2 + 1, -lane.VEHICLE_LENGTH, lane.length + lane.VEHICLE_LENGTH
        front = rear = front_at = rear_at = None
        for other, x, y in self._places or self._now():
            along = x - lane.x
            if other is vehicle or abs(y - lane.y) > half or not low <= along < high:
                continue
            if own <= along and (front_at is None or along <= front_at):
                front, front_at = other, along
            if along < own and (rear_at is None or along > rear_at):
                rear, rear_at = other, along
        return front, rear


class _Arrays(KinematicObservation):
    """The same observation without tables."""

    def observe(self) -> np.ndarray:
        ego, road = self.observer_vehicle, self.env.road
        if not road:
            return super().observe()
        near: Any = road.close_objects_to(
            ego,
            self.env.PERCEPTION_DISTANCE,
            count=self.vehicles_count - 1,
            see_behind=self.see_behind,
            sort=True,
            vehicles_only=not self.include_obstacles,
        )
        seen_VF = np.array([_row(ego), *map(_row, near)])
        if not self.absolute:
            seen_VF[1:, 1:] -= seen_VF[0, 1:]
        if self.features_range is None:
            self.normalize_obs({})  # type: ignore[arg-type]  # works out the ranges, where there is nothing to normalise
        for feature, (low, high) in self.features_range.items():
            column = FEATURES.index(feature)
            seen_VF[:, column] = utils.lmap(seen_VF[:, column], [low, high], [-1, 1])  # type: ignore[arg-type]
            if self.clip:
                seen_VF[:, column] = np.clip(seen_VF[:, column], -1, 1)
        observation_VF = np.zeros((self.vehicles_count, len(FEATURES)), np.float32)
        observation_VF[: len(seen_VF)] = seen_VF
        return observation_VF


def _row(one: Any) -> tuple[float, ...]:
    return (1.0, *one.position.tolist(), *one.velocity.tolist())


def _as_arrays(observation: ObservationType) -> ObservationType:
    """The observation as :class:`_Arrays` gives it, where it is one that this knows."""
    if type(observation) is KinematicObservation and tuple(observation.features) == FEATURES:
        ranges = observation.features_range or {}
        if observation.normalize and observation.order == "sorted" and set(ranges) <= set(FEATURES):
            observation.__class__ = _Arrays
    return observation
