"""The simulator: what is made faster gives the same bits, and settings that it would swallow are refused."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("highway_env")
from highway_env.envs.highway_env import HighwayEnv, HighwayEnvFast

from limbeck.errors import BadInput
from limbeck.modalities.driving.simulator import World

SHORT = {"duration": 6, "vehicles_count": 12}


def driven(env: Any, seed: int) -> list[Any]:
    """All that an episode of random actions says."""
    observation, _ = env.reset(seed=seed)
    said, draw, ended = [observation], np.random.default_rng(seed), False
    while not ended:
        observation, reward, terminated, truncated, info = env.step(int(draw.integers(5)))
        said += [observation, reward, info["speed"], info["crashed"], info["rewards"]["high_speed_reward"]]
        ended = terminated or truncated
    return said


@pytest.mark.parametrize(
    ("cls", "name", "settings"),
    [
        (HighwayEnvFast, "highway-fast-v0", {}),
        (HighwayEnvFast, "highway-fast-v0", {"observation": {"vehicles_count": 8, "see_behind": True}}),
        (HighwayEnvFast, "highway-fast-v0", {"observation": {"absolute": True, "clip": False}, "lanes_count": 2}),
        (HighwayEnv, "highway-v0", {"simulation_frequency": 5, "duration": 3}),
    ],
)
def test_what_is_faster_gives_the_same_bits(cls: Any, name: str, settings: dict[str, Any]) -> None:
    world = World(name, {**SHORT, **settings})
    ours, theirs = world.environment(), cls(config=world.config)
    for seed in range(3):
        a, b = driven(ours, seed), driven(theirs, seed)
        assert len(a) == len(b) > 5
        for one, other in zip(a, b, strict=True):
            assert np.asarray(one).dtype == np.asarray(other).dtype
            assert np.array_equal(one, other)


def test_nothing_of_it_is_slow_by_falling_back() -> None:
    """Each of the faster parts is in use: a newer version of the library may name its own otherwise."""
    env = World("highway-fast-v0", SHORT).environment()
    env.reset(seed=0)
    lane = env.road.network.lanes_list()[0]
    parts = (env.observation_type, env.road, env.road.network, lane)
    assert [type(part).__module__ for part in parts] == ["limbeck.modalities.driving.fast"] * 4


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("highway-fst-v0", {}, "no environment 'highway-fst-v0'. Did you mean 'highway-fast-v0'"),
        ("merge-v0", {}, "no straight road"),
        ("highway-fast-v0", {"vehicle_count": 3}, "data.settings.vehicle_count: .* Did you mean 'vehicles_count'"),
        ("highway-fast-v0", {"lanes_count": "three"}, "lanes_count: 'three' was given; it is a number, 3"),
        ("highway-fast-v0", {"normalize_reward": 1}, "normalize_reward: 1 was given; it is true or false"),
        ("highway-fast-v0", {"reward_speed_range": [20]}, "it is a list of 2"),
        (
            "highway-fast-v0",
            {"observation": {"see_behnd": True}},
            "observation.see_behnd: .* Did you mean 'see_behind'",
        ),
        ("highway-fast-v0", {"observation": {"type": "Grayscale"}}, "needs Kinematics"),
        ("highway-fast-v0", {"action": {"type": "ContinuousAction"}}, "needs DiscreteMetaAction"),
        ("highway-fast-v0", {"action": {"lateral": False}}, "action.lateral: false"),
        ("highway-fast-v0", {"action": 3}, "it is a section"),
        ("highway-fast-v0", {"controlled_vehicles": 2}, "1 is what a driver of five actions needs"),
        ("highway-fast-v0", {"duration": float("inf")}, "needs an end"),
        ("highway-fast-v0", {"duration": 0}, "needs an end"),
        ("highway-fast-v0", {"policy_frequency": 10}, "must be at least policy_frequency"),
    ],
)
def test_what_the_library_would_swallow_is_refused(name: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        World(name, settings)


def test_a_world_is_known_by_all_its_settings() -> None:
    usual = World("highway-fast-v0")
    assert usual.fingerprint == World("highway-fast-v0", {"lanes_count": 3}).fingerprint
    assert usual.fingerprint != World("highway-fast-v0", {"lanes_count": 4}).fingerprint
    assert usual.decisions == 30
    assert World("highway-fast-v0", {"observation": {"see_behind": True}}).config["observation"]["type"] == "Kinematics"
