"""What mattered, of settings of which it is known; Optuna does the sums."""

import warnings
from dataclasses import replace

import numpy as np
import optuna

from limbeck.searching import trials
from limbeck.searching.importances import importances_of
from limbeck.searching.trials import Trial


def searched(count: int) -> list[Trial]:
    """Width matters much, the rate less, the views and the objective not at all; a temperature only goes with kd."""
    draw, found = np.random.default_rng(0), []
    for number in range(1, count + 1):
        values: dict[str, object] = {
            "student.width": int(np.exp(draw.uniform(np.log(4), np.log(64)))),
            "train.learning_rate": float(np.exp(draw.uniform(-8, -3))),
            "views": [None, {"flip": True}][draw.integers(2)],
            "objective": ["kd", "dist"][draw.integers(2)],
        }
        if values["objective"] == "kd":
            values["objective.kd.temperature"] = float(draw.uniform(1, 20))
        rate = np.log(float(str(values["train.learning_rate"])))
        quality = 0.9 - 0.5 / int(str(values["student.width"])) - 0.01 * (rate + 5) ** 2 + draw.normal(0, 0.003)
        fate = trials.FINISHED if number % 2 else trials.stopped_at(1)
        found.append(Trial(number, "student", values, fate, "", rungs={1: float(quality)}))
    return found


def test_what_matters_is_told_from_what_does_not() -> None:
    verbosity = optuna.logging.get_verbosity()
    said = importances_of(searched(50))
    assert (said["at"], said["trials"], said["why_none"]) == ("rung 1", 50, None)
    settings = {one["setting"]: one for one in said["settings"]}
    assert [one["setting"] for one in said["settings"]][:2] == ["student.width", "train.learning_rate"]
    assert {name for name, one in settings.items() if one["beyond_chance"]} >= {"student.width", "train.learning_rate"}
    assert not settings["views"]["beyond_chance"]
    assert settings["student.width"]["low"] > settings["views"]["high"]
    assert abs(sum(one["importance"] for one in said["settings"]) - 1) < 1e-9
    assert optuna.logging.get_verbosity() == verbosity
    upside_down = [Trial(**{**vars(one), "rungs": {1: -one.rungs[1]}}) for one in searched(50)]
    assert importances_of(upside_down, better=-1)["settings"] == said["settings"]


def test_of_few_trials_nothing_is_said() -> None:
    said = importances_of(searched(5))
    assert said["settings"] == []
    assert said["why_none"] == "Nothing is said of what mattered: 5 students were trained, and it takes at least 12."


def test_a_setting_that_hardly_any_trial_has_is_no_obstacle_and_left_out() -> None:
    found = searched(20)
    rare = [replace(one, values={**one.values, "objective.nkd.gamma": float(one.number)}) for one in found[:2]]
    few = [replace(one, values={**one.values, "student.depth": one.number % 3}) for one in found[10:]]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        said = importances_of([*rare, *found[2:10], *few])  # a draw may have none of either
    names = {one["setting"] for one in said["settings"]}
    assert "objective.nkd.gamma" not in names
    assert "student.depth" in names
    same = [replace(one, values={**one.values, "student.depth": 1}) for one in found[10:]]
    assert "student.depth" not in {one["setting"] for one in importances_of([*found[:10], *same])["settings"]}
