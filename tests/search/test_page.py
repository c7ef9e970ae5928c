"""The page of a search, from results that are made up: many trials, few, none; and names that mean harm."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from limbeck.evaluation.figure import Figure, plain, share
from limbeck.searching import forecast, trials
from limbeck.searching.front import finalists_of, front_of, fronts_by_cost
from limbeck.searching.importances import importances_of
from limbeck.searching.page import value_text, write_page
from limbeck.searching.teachers import by_teacher
from limbeck.searching.trials import Trial
from tests.helpers.pages import Page, assert_harmless, renamed

ACCURACY = share("accuracy", "accuracy")
ERROR = Figure("rmse", "RMSE", "less", unit="°", significant=True)
BUDGET = {"latency_ms": 0.3, "size_kb": 200.0}


def tried(count: int, arm: str, figure: Figure, seed: int = 0) -> list[Trial]:
    """Trials of which half finish, a few are over budget, and the rest stop; wider is better."""
    draw, found = np.random.default_rng(seed), []
    for number in range(1, count + 1):
        width = float(np.exp(draw.uniform(np.log(2), np.log(64))))
        quality = 0.96 - 0.5 * width**-0.8 - draw.exponential(0.01) - (0.03 if arm == "baseline" else 0)
        quality = quality if figure.sign > 0 else 20 * (1 - quality)
        cost = {"latency_ms": 0.005 * width, "size_kb": 3.5 * width}
        teacher = {"model": "convnet", "width": [16, 32][number % 2]}
        values = {
            "teacher": teacher,
            "student.width": round(width),
            "train.learning_rate": float(draw.uniform(0.01, 0.5)),
        }
        one = Trial(
            number, arm, values, trials.FINISHED, "trained for 9 epochs.", cost=cost, parameters=int(80 * width)
        )
        if any(cost[name] > limit for name, limit in BUDGET.items()):
            one = replace(one, fate=trials.OVER_BUDGET, why="0.32 ms, and 0.3 are allowed.")
        else:
            done = draw.random() < 0.7
            one = replace(
                one,
                fate=trials.FINISHED if done else trials.stopped_at(1),
                rungs={1: quality - 0.1 * figure.sign},
                quality=quality if done else None,
                stage=f"{arm}{number}",
                seconds=9.0 if done else 1.0,
                steps=90 if done else 10,
                total_steps=90,
            )
        found.append(one)
    return found


def seeds(mean: float) -> dict[str, Any]:
    return {"mean": mean, "sd": 0.002, "n": 3}


def results(count: int = 80, figure: Figure = ACCURACY) -> dict[str, Any]:
    found = {arm: tried(count, arm, figure, seed) for seed, arm in enumerate(("student", "baseline"))}
    front = front_of(found["student"], BUDGET, figure.sign)
    last = finalists_of(front, BUDGET, 3, figure.sign)
    taught = 0.97 if figure.sign > 0 else 0.6
    gain = {figure.name: {"difference": 0.012 * figure.sign, "low": -0.001, "high": 0.02}}

    def fields(one: Trial) -> dict[str, Any]:
        return {name: value for name, value in vars(one).items() if name not in ("recipe", "arm")}

    def finalist(one: Trial) -> dict[str, Any]:
        assert one.quality is not None
        test = seeds(one.quality - 0.01 * figure.sign)
        return {
            "trial": one.number,
            "folder": f"front/trial-{one.number}",
            "problem": None,
            "searched": {"quality": one.quality, "cost": one.cost},
            "model": "convnet",
            "parameters": one.parameters,
            "student": {"validation": seeds(one.quality), "metrics": {figure.name: test}, "cost": one.cost},
            "within": one is not last[0],
            "fell": {"anew": 0.0, "on_test": 0.01},
            "control": {"trial": 1, "metrics": {figure.name: test}, "comparison": gain},
        }

    return {
        "name": "made up",
        "created": "2026-01-01T00:00:00+00:00",
        "figures": plain([figure]),
        "data": {"name": "digits", "train": 1000, "validation": 200, "notes": ["two are left out."]},
        "search": {"budget": BUDGET},
        "costs": [*BUDGET],
        "trials": {arm: [fields(one) for one in ones] for arm, ones in found.items()},
        "fates": {arm: {one.fate: 1 for one in ones} for arm, ones in found.items()},
        "front": [one.number for one in front],
        "fronts": {
            arm: {name: [one.number for one in on] for name, on in fronts_by_cost(ones, BUDGET, figure.sign).items()}
            for arm, ones in found.items()
        },
        "chosen": last[0].number if last else None,
        "teachers": by_teacher(found["student"], BUDGET, figure.sign),
        "assistants": [],
        "importances": importances_of(found["student"], figure.sign),
        "forecast": [
            forecast.about(found["student"], BUDGET, name, figure, taught, 0.95) for name in (*BUDGET, "parameters")
        ],
        "teacher": {
            "model": "wrn_10_2",
            "validation": taught,
            "metrics": {figure.name: seeds(taught)},
            "cost": {"latency_ms": 1.2, "size_kb": 1300.0},
        },
        "finalists": [finalist(one) for one in last],
        "command": "limbeck run runs/x/chosen.recipe.yaml --out runs/x/front/trial-1",
        "why_none": None if last else "No student was trained in full within the budget: of 0 trials none was begun.",
        "seconds": {
            "teacher": 60.0,
            "pass": 3.0,
            "assistants": 0.0,
            "students": 200.0,
            "controls": 190.0,
            "finalists": 90.0,
            "students_in_full": 600.0,
            "students_live_in_full": 4000.0,
            "over_live": 0.05,
            "over_in_full": 0.33,
        },
        "recipe": {"task": "image-classification"},
        "environment": {"python": "3.11"},
    }


def page(found: dict[str, Any], folder: Path) -> tuple[Page, str]:
    write_page(found, folder / "search.html")
    content = (folder / "search.html").read_text(encoding="utf-8")
    made = Page(content)
    assert_harmless(made)
    return made, content


def test_everything_that_was_tried_is_on_the_page(tmp_path: Path) -> None:
    found = results()
    made, content = page(found, tmp_path)
    for arm, ones in found["trials"].items():
        for one in ones:
            assert f"{one['number']} {'with' if arm == 'student' else 'without'} a teacher" in made.text
    assert made.text.count("stopped at rung 1") >= sum(
        one["fate"] == "stopped at rung 1" for one in found["trials"]["student"]
    )
    charts = [attributes for name, attributes in made.elements if (name, attributes.get("class")) == ("svg", "chart")]
    titles = [attributes["aria-label"] or "" for attributes in charts]
    assert sum(title.startswith("Accuracy over validation against") for title in titles) == 2
    assert sum(title.startswith("Forecast of accuracy") for title in titles) == 3
    assert "What mattered" in titles
    assert "The smallest student expected to keep 95\u00a0% of the teacher's accuracy" in made.text
    assert f"trial {found['chosen']} did best on validation within 0.3 ms and 200 KB" in made.text
    assert "the two do not differ by more than the noise of 3 seeds and the test examples" in made.text
    assert "measured again once it was trained, is over the budget" in made.text
    assert found["command"] in made.text
    assert '{"model": "convnet", "width": 32}' in made.text
    assert "NaN" not in content
    assert "nan" not in content.replace("finance", "")


def test_of_an_error_less_is_better(tmp_path: Path) -> None:
    made, _ = page(results(figure=ERROR), tmp_path)
    assert "down is better" in made.text
    assert "validation RMSE (less is better)" in made.text
    assert "expected to keep 95\u00a0% of the teacher's RMSE" in made.text


def test_little_and_nothing_are_said_to_be(tmp_path: Path) -> None:
    made, _ = page(results(6), tmp_path)
    assert "No forecast: " in made.text
    assert "Nothing is said of what mattered" in made.text
    made, _ = page(results(0), tmp_path)
    assert "No student was trained in full within the budget" in made.text
    one = results()
    one["finalists"][0] |= {"student": None, "problem": "the export differs."}
    made, _ = page(one, tmp_path)
    assert "it could not be finished: the export differs." in made.text


def test_of_a_section_what_is_off_is_not_said() -> None:
    assert value_text({"shift": 0.1, "flip": False, "affine": None, "erase": 0.0}) == '{"shift": 0.1}'
    assert value_text({"shift": 0.0, "flip": False}) == "none"
    assert [value_text(one) for one in (0.123456, 3, "kd", False, [1, 2])] == ["0.1235", "3", "kd", "false", "[1, 2]"]


def test_names_that_mean_harm_are_text(tmp_path: Path) -> None:
    found = copy.deepcopy(results(20))
    hostile = "</script><script>alert(1)</script>\x00"
    found |= {"name": hostile, "command": hostile, "recipe": {hostile: hostile}}
    found["teacher"]["model"] = hostile
    for one in found["trials"]["student"]:
        one["values"] = renamed(one["values"], hostile)
        one["why"] = hostile
    made, _ = page(found, tmp_path)
    assert "alert(1)" in made.text
