"""The forecast held to curves that are known; what it says of a search is in `benchmarks/forecast.py` at length."""

import math

import numpy as np

from benchmarks.forecast import searched
from limbeck.evaluation.figure import Figure, share
from limbeck.searching import forecast, trials
from limbeck.searching.forecast import Forecast, forecast_of, held_out
from limbeck.searching.trials import Trial

ACCURACY = share("accuracy", "accuracy")


def curve(cost: float) -> float:
    return 0.95 - 0.3 * cost**-0.7


def test_a_curve_without_scatter_is_found_and_turned_round() -> None:
    points = [(cost, curve(cost)) for cost in np.geomspace(1, 40, 30)]
    found = forecast_of(points, ACCURACY)
    assert isinstance(found, Forecast)
    said = found.at([100.0])
    assert abs(said["expected"][0] - curve(100)) < 0.002
    assert said["low"][0] <= said["expected"][0] + 1e-9 <= said["high"][0] + 2e-9
    asked = found.smallest(curve(20))
    assert asked["expected"] is not None
    assert math.isclose(asked["expected"], 20, rel_tol=0.1)
    assert found.smallest(0.99)["expected"] is None  # above the floor: never
    error = Figure("mae", "mean absolute error", "less")  # the same of an error
    turned = forecast_of([(cost, 1 - value) for cost, value in points], error)
    assert isinstance(turned, Forecast)
    asked = turned.smallest(1 - curve(20))
    assert asked["expected"] is not None
    assert math.isclose(asked["expected"], 20, rel_tol=0.1)


def test_about_eight_in_ten_figures_left_out_lie_within_the_interval() -> None:
    named = of = 0
    for seed in range(20):
        counted = held_out(searched(40, np.random.default_rng(seed)), ACCURACY, seed)
        if counted is not None:
            named, of = named + counted["named"], of + counted["of"]
    assert of > 60
    assert 0.7 <= named / of <= 0.93


def test_too_little_is_said_to_be_too_little() -> None:
    few = forecast_of([(1.0, 0.5), (2.0, 0.6), (3.0, 0.7)], ACCURACY)
    assert few == (
        "No forecast: 3 students were trained within the budget, and it takes at least 15. Try more with --trials."
    )
    front = [(float(2**k), 0.9 - 0.3 / (k + 1)) for k in range(9)]
    assert isinstance(forecast_of(front, ACCURACY, stopped=5), str)
    assert isinstance(forecast_of(front, ACCURACY, stopped=6), Forecast)  # who fell short at a rung was tried as well
    short = forecast_of([(1.0 + k, 0.5 - k / 100) for k in range(20)], ACCURACY)
    assert isinstance(short, str)
    assert "the front has 1 student, and a curve that levels off takes at least 6" in short
    alike = forecast_of([(1 + k / 100, 0.5 + k / 100) for k in range(20)], ACCURACY)
    assert isinstance(alike, str)
    assert "cost nearly the same" in alike
    assert isinstance(forecast_of([], ACCURACY), str)


def test_what_is_asked_of_a_search_is_told_by_the_cost_in_its_unit() -> None:
    found = [
        Trial(k, "student", {}, trials.FINISHED, "", quality=curve(cost), cost={"latency_ms": cost / 100}, parameters=k)
        for k, cost in enumerate(np.geomspace(1, 40, 30).tolist(), 1)
    ]
    said = forecast.about(found, {}, "latency_ms", ACCURACY, teacher=0.96, keep=curve(20) / 0.96)
    assert math.isclose(said["keep"]["expected"], 0.2, rel_tol=0.1)
    assert said["keep"]["tried"] is True
    assert said["held_out"]["named"] <= said["held_out"]["of"]
    assert len(said["curve"]["cost"]) == len(said["curve"]["low"]) == len(said["curve"]["expected"])
    assert "No forecast" in forecast.about(found[:3], {}, "parameters", ACCURACY, 0.96, 0.98)["why_none"]
