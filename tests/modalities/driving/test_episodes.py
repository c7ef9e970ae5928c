"""Episodes, the planner, and how drivers are judged."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("highway_env")
from limbeck.errors import BadInput
from limbeck.modalities.driving import judge
from limbeck.modalities.driving.actions import FASTER, IDLE, LEFT, RIGHT, SLOWER
from limbeck.modalities.driving.episodes import SIMPLE, Always, Episode, Mixed, Network, Plans, drive, drives
from limbeck.modalities.driving.planner import Planner, best
from limbeck.modalities.driving.simulator import World

SHORT = World("highway-fast-v0", {"duration": 5, "vehicles_count": 8})


def same(a: Episode, b: Episode) -> bool:
    """Equal in all but how long decisions took."""
    found = [vars(one) | {"seconds_T": None} for one in (a, b)]
    return all(np.array_equal(found[0][name], found[1][name]) for name in found[0])


def network(seed: int) -> Network:
    draw = np.random.default_rng(seed)
    sizes = [(8, 25), (5, 8)]
    return Network(tuple((draw.normal(size=size).astype(np.float32), np.zeros(size[0], np.float32)) for size in sizes))


@pytest.mark.parametrize("driver", [Plans(), network(3), SIMPLE["random"], Mixed(Plans(), network(3), 0.5)])
def test_an_episode_is_a_pure_function_of_its_seed_and_driver(driver: Any) -> None:
    env = SHORT.environment()
    first = drive(env, driver, 11, label=Plans())
    drive(env, Always(FASTER), 12)
    np.random.seed(5)  # noqa: NPY002  # whatever others drew
    assert same(first, drive(env, driver, 11, label=Plans()))
    assert same(first, drive(SHORT.environment(), driver, 11, label=Plans()))
    assert not same(first, drive(env, driver, 13, label=Plans()))
    assert first.values_TA is not None
    assert first.values_TA.shape == (len(first.actions_T), 5)
    assert first.states_TF.shape == (len(first.actions_T), 25)
    assert first.states_TF.dtype == np.float32


def test_processes_drive_the_same() -> None:
    alone = drives(SHORT, network(1), range(4), label=Plans())
    together = drives(SHORT, network(1), range(4), label=Plans(), processes=2)
    assert all(map(same, alone, together))


def test_an_episode_that_goes_on_after_its_end_is_told() -> None:
    env = SHORT.environment()
    env._is_truncated = lambda: False  # as an environment that forgot its end
    env._is_terminated = lambda: False
    with pytest.raises(BadInput, match=r"seed 0 does not end: .* after the 5 decisions"):
        drive(env, Always(SLOWER), 0)


def test_the_planner_brakes_or_steers_before_a_car_ahead_and_values_what_cannot_be_done_as_nothing_done() -> None:
    env = World("highway-fast-v0", {"vehicles_count": 1, "lanes_count": 1}).environment()
    env.reset(seed=0)
    car, other = env.vehicle, next(one for one in env.road.vehicles if one is not env.vehicle)
    other.position = car.position + np.array([30.0, 0.0])
    other.speed = 15.0
    values_A = Planner().values(env)
    assert values_A.argmax() == SLOWER  # there is no other lane
    assert values_A[LEFT] == values_A[RIGHT] == values_A[IDLE]
    assert best(np.array([[2.0, 2, 2, 0, 1]])).tolist() == [IDLE]
    assert values_A[SLOWER] - values_A[FASTER] > judge.BAD
    other.position = car.position - np.array([200.0, 0.0])
    assert Planner().values(env).argmax() == FASTER


def test_the_planner_drives_better_than_who_does_not_look() -> None:
    world, seeds = World("highway-fast-v0", {"duration": 10}), range(100, 106)
    rewards = {
        name: sum(one.rewards_T.sum() for one in drives(world, driver, seeds))
        for name, driver in {"planner": Plans(), **SIMPLE}.items()
    }
    assert max(rewards, key=rewards.__getitem__) == "planner"


def test_a_crash_ends_an_episode_and_is_counted() -> None:
    episodes = drives(World("highway-fast-v0", {"duration": 20}), Always(FASTER), range(3))
    found = judge.judged(episodes, period=0.05)
    assert found["collisions"]["mean"] == 1.0
    assert all(one.crashed and len(one.actions_T) < 20 and one.rewards_T[-1] < 0.5 for one in episodes)
    assert found["decision_ms"]["p99"] < 50
    assert found["missed_deadlines"]["mean"] == 0
    assert judge.judged(episodes, period=0.0)["missed_deadlines"]["mean"] == 1


def test_drivers_are_compared_seed_by_seed() -> None:
    seeds = range(6)
    slow, idle = (drives(SHORT, Always(action), seeds) for action in (SLOWER, IDLE))
    found = judge.beside([slow], [idle], period=0.05)
    assert set(found) == set(judge.FIGURES) - {"short_headway", "least_headway"}
    each = [a.speeds_T.mean() - b.speeds_T.mean() for a, b in zip(slow, idle, strict=True)]
    assert found["speed"]["difference"] == pytest.approx(np.mean(each))
    assert found["speed"]["high"] < 0
    assert found["speed"]["examples"] == 6
    with pytest.raises(ValueError, match="other seeds"):
        judge.beside([slow[1:]], [idle], period=0.05)


def test_regret_is_what_a_decision_costs_and_agreement_tells_no_slip_from_a_crash() -> None:
    values_NA = np.array([[1.0, 0.999, 0, 0, 0], [0, 0, 0, 3.0, 1.0]])
    slip, crash = np.array([1, 3]), np.array([0, 4])
    assert judge.regrets(values_NA, slip).tolist() == pytest.approx([0.001, 0])
    assert judge.offline(values_NA, slip)["agreement"] == judge.offline(values_NA, crash)["agreement"] == 0.5
    assert judge.offline(values_NA, crash) == {"regret": 1.0, "bad_decisions": 0.5, "agreement": 0.5}
