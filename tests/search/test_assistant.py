"""A search over whether an assistant stands between: both are tried, one assistant serves all its students, seconds are counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.errors import BadInput
from limbeck.pipeline.run import run
from limbeck.recipe import read as recipe_file
from limbeck.searching import trials
from limbeck.searching.bench import Bench
from limbeck.searching.candidates import recipe_with
from limbeck.searching.dimensions import ASSISTANT
from limbeck.searching.finalists import link
from limbeck.searching.plan import plan
from limbeck.searching.results import search
from limbeck.searching.space import control_space, space_of
from tests.helpers import searches

CHOICES = "[null, {model: convnet, width: 6}]"
SPACE = (
    f"search.space={{assistant: {CHOICES}, student.model: convnet, student.width: [2, 4], student.depth: null, "
    "student.downscale: null, views: null, train.epochs: null, train.learning_rate: null, objective: [kd, dist]}"
)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("search") / "out"
    return search(
        searches.recipe(SPACE, "search.trials=6", "search.rungs=[]", "search.finalists=1"), out=out, threads=1
    )


def facts(out: Path, stage: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text())["facts"] for path in sorted(out.glob(f"stages/{stage}/*/done.json"))]


@pytest.mark.slow
def test_both_are_tried_and_one_assistant_serves_all_its_students(searched: dict[str, Any]) -> None:
    out = Path(searched["out"])
    tried = [one for one in searched["trials"]["student"] if one["fate"] == trials.FINISHED]
    by = {
        with_it: [one for one in tried if (one["values"]["assistant"] is not None) is with_it]
        for with_it in (False, True)
    }
    assert by[False]
    assert by[True]
    assert searched["trials"]["student"][0]["values"]["assistant"] is None  # the recipe's own, tried first
    (trained,) = facts(out, "assistant")
    stores = {
        json.loads(path.read_text())["teacher"]["weights"] for path in out.glob("stages/targets/*/ingredients.json")
    }
    (teacher,) = facts(out, "teacher")
    assert stores == {teacher["identity"]["weights"], trained["identity"]["weights"]}
    for with_it, ones in by.items():
        learnt = [
            json.loads((out / "stages" / "student" / one["stage"] / "ingredients.json").read_text()) for one in ones
        ]
        assert {one["teacher"]["weights"] for one in learnt} == {
            (trained if with_it else teacher)["identity"]["weights"]
        }
    assert all("assistant" not in one["values"] for one in searched["trials"]["baseline"])


@pytest.mark.slow
def test_its_seconds_are_counted(searched: dict[str, Any]) -> None:
    out, seconds = Path(searched["out"]), searched["seconds"]
    assert seconds["assistants"] == pytest.approx(sum(one["seconds"] for one in facts(out, "assistant")))
    assert seconds["assistants"] > 0
    assert seconds["pass"] == pytest.approx(sum(one["seconds"] for one in facts(out, "targets")))
    spent = seconds["pass"] + seconds["assistants"] + seconds["students"]
    assert seconds["over_live"] == pytest.approx(spent / seconds["students_live_in_full"])
    told = {json.dumps(one["assistant"]): one["trials"] for one in searched["assistants"]}
    assert len(told) == 2
    assert "null" in told
    page = (out / "search.html").read_text()
    assert "By assistant" in page
    assert "Assistants" in page


@pytest.mark.slow
def test_a_finalist_with_an_assistant_takes_it_over(searched: dict[str, Any], tmp_path: Path) -> None:
    out = Path(searched["out"])
    one = next(one for one in searched["trials"]["student"] if one["values"]["assistant"] is not None)
    wanted = recipe_with(searches.recipe(SPACE), one["values"])
    bench = Bench(searches.recipe(SPACE), out=out, threads=1)
    job = bench.job_of(wanted)
    made = bench.between(job)
    assert [stage.name for stage in made] == ["targets", "assistant", "targets"]
    assert all(stage.finished for stage in made)
    link(made, out, tmp_path / "run")
    # anew, its student is of another seed, and the assistant the same
    run(recipe_file.from_dict(wanted.model_dump(mode="json")), out=tmp_path / "run", threads=1)
    assert [path.name for path in (tmp_path / "run" / "stages" / "assistant").iterdir()] == [made[1].fingerprint]
    assert len(list((tmp_path / "run" / "stages" / "targets").iterdir())) == 2


def test_an_assistant_is_trained_alike_whatever_its_students_are_taught_with() -> None:
    recipe = searches.recipe(SPACE)
    sections = []
    for objective, rate in (("kd", 0.1), ("dist", 0.02)):
        values = {"assistant": {"model": "convnet", "width": 6}, "objective": objective, "train.learning_rate": rate}
        made = recipe_with(recipe, values)
        assert objective in made.objective.terms
        sections.append(made.assistant)
    assert sections[0] == sections[1]
    assert sections[0].train == recipe.train
    assert sections[0].objective == recipe.objective
    assert recipe_with(recipe, {"assistant": {"model": "convnet"}}, teacher=False).assistant is None
    assert recipe_with(recipe, {"assistant": None}) == recipe_with(recipe, {})


def test_a_plan_says_how_many_sets_of_soft_targets_there_are(tmp_path: Path) -> None:
    recipe = searches.recipe(SPACE)
    assert plan(recipe, tmp_path / "out").stores == 2
    space = space_of(recipe)
    (one,) = space.named([ASSISTANT]).dimensions
    assert one.about == "none, {model: convnet, width: 6}"
    assert not control_space(space, recipe).named([ASSISTANT]).dimensions


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[null, {width: 6}]", "search.space.assistant: assistant.model: is missing"),
        ("[null, {model: convnot}]", "there is no model 'convnot'"),
        ("[null]", "a list of one value is one point"),
        ("{low: 1, high: 2}", "search.space.assistant: is a section; list such sections"),
    ],
)
def test_an_assistant_that_cannot_be_is_refused(given: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        space_of(searches.recipe(f"search.space.assistant={given}"))
    assert said in str(caught.value)
