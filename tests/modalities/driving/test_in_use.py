"""How drivers are told of: the time to a collision, episodes driven once more, and what stands out."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("highway_env")
from limbeck.modalities.driving import judge, scenes
from limbeck.modalities.driving.actions import FASTER, SLOWER
from limbeck.modalities.driving.episodes import Always, Episode, Network, Plans, drives
from limbeck.modalities.driving.fallback import Careful, chosen
from limbeck.modalities.driving.headway import MOST, headway_of
from limbeck.modalities.driving.simulator import World
from tests.helpers.drives import SETTINGS
from tests.helpers.pages import Page, assert_harmless

SHORT = World("highway-fast-v0", SETTINGS)


def test_the_time_to_a_collision_is_the_free_road_over_the_speed_at_which_it_shrinks() -> None:
    env = SHORT.environment()
    env.reset(seed=3)
    env.road.vehicles = env.road.vehicles[:2]
    own, other = env.road.vehicles
    own.position, own.speed, own.heading = np.array([200.0, 4.0]), 30.0, 0.0
    found = []
    headway = headway_of(SHORT)
    assert headway is not None
    for x, y, speed in ((245.0, 4.0, 20.0), (245.0, 8.0, 20.0), (245.0, 4.0, 35.0), (203.0, 4.0, 20.0)):
        other.position, other.speed, other.heading = np.array([x, y]), speed, 0.0
        found.append(headway.seconds(env.observation_type.observe().reshape(1, -1))[0])
    # 40 m free at 10 m/s; beside it; faster than it; touching
    assert found == pytest.approx([4.0, MOST, MOST, 0.0], abs=1e-3)
    assert headway_of(World("highway-fast-v0", {"observation": {"normalize": False}})) is None


def test_who_keeps_away_has_the_longer_time_to_a_collision() -> None:
    slow, fast = (drives(SHORT, Always(action), range(4)) for action in (SLOWER, FASTER))
    headway = headway_of(SHORT)
    more = judge.beside([fast], [slow], 0.05, headway)
    assert more["least_headway"]["difference"] < 0 < more["short_headway"]["difference"]


def test_an_episode_is_driven_once_more_from_its_seed_and_its_decisions() -> None:
    (episode,) = drives(SHORT, Plans(), [5])
    again = scenes.replayed(SHORT, episode)
    assert len(again.own) == len(episode.actions_T) + 1
    assert again.own[-1][0] - again.own[0][0] == episode.distance
    assert len(again.others) == SETTINGS["vehicles_count"]


def test_pictures_show_who_crashed_and_the_first_other_decision() -> None:
    seeds = range(4)
    planner, fast = drives(SHORT, Plans(), seeds), drives(SHORT, Always(FASTER), seeds)
    assert any(one.crashed for one in fast)
    drawn = list(scenes.scenes(SHORT, planner, fast))
    assert "The student crashes" in drawn[0].title
    assert "first decide otherwise in decision" in drawn[0].caption
    for one in drawn:
        assert_harmless(Page(one.svg))
        assert len(one.svg) < 40_000
    assert drawn[0].svg.count('class="crash"') == 1
    alike = scenes.scenes(SHORT, planner, planner)
    assert all("alike to the end" in one.caption for one in alike)


def test_a_fallback_slows_down_where_the_student_hardly_prefers_another_action() -> None:
    bias_A = np.array([0.0, 0.3, 0.0, 0.5, 0.0], np.float32)  # it goes faster, 0.5 ahead of slower
    network = Network(((np.zeros((5, 25), np.float32), bias_A),))
    draw, state_F = np.random.default_rng(0), np.zeros(25, np.float32)
    assert Careful(network, 0.4)(state_F, None, draw)[0] == FASTER
    assert Careful(network, 0.6)(state_F, None, draw)[0] == SLOWER
    alone, slow = drives(SHORT, network, range(4)), drives(SHORT, Careful(network, 0.6), range(4))
    assert any(one.crashed for one in alone)
    assert not any(one.crashed for one in slow)
    assert Careful(network, 0.6).interventions(slow) == 1
    assert Careful(network, 0.4).interventions(alone) == 0

    # fewer collisions at enough reward; of as many the least lead; none that costs too much
    def at(times: float) -> list[Episode]:
        whole = sum(one.rewards_T.sum() for one in alone) / sum(one.rewards_T.sum() for one in slow)
        return [replace(one, rewards_T=one.rewards_T * times * whole) for one in slow]

    assert chosen(alone, {0.4: alone, 0.6: at(0.96), 0.7: at(0.96)}) == 0.6
    assert chosen(alone, {0.6: at(0.94)}) == 0
