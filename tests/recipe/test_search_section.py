"""The ``search`` section of a recipe: what it says, and what it refuses in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.errors import BadInput
from limbeck.recipe import read as recipe_file
from limbeck.sections.search import Range, Search, seconds_of
from tests.helpers.tiny import recipe


def test_values_are_lists_ranges_or_one_of_either_and_read_back(tmp_path: Path) -> None:
    said = (
        "search.space={student.width: {low: 4, high: 32, log: true}, train.epochs: [1, 2], student.depth: 3, seed: null, "
        "teacher: [{model: wrn_10_1, train: {epochs: 1}}, {model: wrn_10_2, train: {epochs: 1}}]}"
    )
    read = recipe(said, "search.budget={latency_ms: 0.05, macs: 2e9}", "search.time=1h30m")
    assert read.search is not None
    assert read.search.space["student.width"] == Range(low=4, high=32, log=True)
    assert read.search.space["train.epochs"] == (1, 2)
    assert (read.search.space["student.depth"], read.search.space["seed"]) == (3, None)
    teachers = read.search.space["teacher"]
    assert isinstance(teachers, tuple)
    assert [one["model"] for one in teachers] == ["wrn_10_1", "wrn_10_2"]
    path = tmp_path / "again.yaml"
    path.write_text(recipe_file.resolved_yaml(read))
    assert recipe_file.read(path).search == read.search


@pytest.mark.parametrize(
    ("time", "seconds"), [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("0.5h", 1800)]
)
def test_a_time_is_said_in_hours_minutes_and_seconds(time: str, seconds: float) -> None:
    assert seconds_of(time) == seconds


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("search.budget.latency=1", "no cost is called 'latency'"),
        ("search.budget.latency=1", "Did you mean 'latency_ms'?"),
        ("search.budget.size_kb=0", "search.budget.size_kb: 0 was given; it must be greater than 0"),
        ("search.space={student.width: [4]}", "one point: give 4 alone, without brackets"),
        ("search.space={student.width: []}", "the list is empty"),
        ("search.space={student.width: [4, 8, 4]}", "4 is given twice"),
        ("search.space={student.width: {low: 4, high: 4}}", "low and high are both 4, so there is one point"),
        ("search.space={student.width: {low: 8, high: 4}}", "low comes first"),
        ("search.space={student.width: {low: 0, high: 4, log: true}}", "low must be greater than 0"),
        ("search.space={student.width: {low: 1, high: 4, step: 5}}", "there is one point"),
        ("search.space={student.width: {low: 1, hihg: 4}}", "search.space.student.width.hihg: no such field"),
        ("search.time=soon", "'soon' is no time; write 2h"),
        ("search.time=0h", "'0h' is no time"),
        ("search.rungs=[0.3, 0.1]", "rungs must rise"),
        ("search.rungs=[1]", "it must be less than 1"),
        ("search.trails=5", "Did you mean 'trials'?"),
        ("search.keep=1.5", "it must be at most 1"),
        ("student.budget={latency_ms: 1}", "give search.budget"),
    ],
)
def test_what_cannot_be_meant_is_refused(said: str, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        recipe(said)
    assert sentence in str(refused.value)


def test_a_section_made_in_python_answers_alike() -> None:
    with pytest.raises(BadInput, match="Did you mean 'latency_ms'"):
        Search(budget={"latency": 1})
