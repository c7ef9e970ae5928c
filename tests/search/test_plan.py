"""Claims about what a search says it would do, before it does anything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from limbeck.errors import BadInput
from limbeck.files import write_text
from limbeck.recipe.read import resolved_yaml
from limbeck.searching.plan import plan
from limbeck.searching.precision import with_precision
from limbeck.searching.study import Study
from limbeck.searching.trials import FINISHED, OVER_BUDGET
from tests.helpers.tiny import recipe

SPACE = (
    "search.space={student.model: convnet, student.width: [4, 8, 12], student.kernel: 3, student.depth: [1, 2], "
    "student.downscale: 1, train.epochs: [4, 9]}"
)


def test_a_plan_counts_students_stores_and_rungs_and_writes_nothing(tmp_path: Path) -> None:
    planned = plan(recipe("train.epochs=9", SPACE, "search.trials=7", "seeds=3"), tmp_path / "none")
    assert planned.space.of_student.points == 6
    assert planned.epochs == (4, 9)
    assert planned.rungs == (1, 3)
    assert planned.stores == 3, "views as they are, half as strong, and none"
    assert planned.trained == 3 * 3 * 3, "of each finalist and seed the student and both controls"
    assert planned.seconds is None
    assert not (tmp_path / "none").exists()


def test_a_plan_knows_what_was_tried_and_about_how_long_the_rest_takes(tmp_path: Path) -> None:
    searched = recipe("train.epochs=9", SPACE, "search.trials=5", "search.budget.parameters=1000")
    (tmp_path / "stages").mkdir()
    study = Study(
        tmp_path / "search" / "journal.log", arm="student", about="a search", directions=["maximize", "minimize"]
    )
    for parameters in (900, 1100):
        asked = study.ask(lambda trial: {"student.width": trial.suggest_categorical("student.width", [4, 8, 12])})
        fits = parameters <= 1000
        facts = {"fate": FINISHED if fits else OVER_BUDGET, "why": "", "cost": {"parameters": parameters}}
        facts |= {"architecture": str(parameters), "seconds": 3.0 if fits else 0.0}
        study.tell(asked, facts, objectives=[0.5, 900.0] if fits else None)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    planned = plan(searched, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [one.fate for one in planned.tried["student"]] == [FINISHED, OVER_BUDGET]
    assert (len(planned.measured), planned.within) == (2, 1)
    assert planned.seconds == (4 + 5) * 3.0, "what is over the budget takes no training"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(BadInput, match="holds something that is not a limbeck run"):
        plan(recipe(SPACE), tmp_path)


def test_the_folder_of_another_search_is_refused_before_anything_is_read_and_what_differs_is_said(
    tmp_path: Path,
) -> None:
    one = recipe(SPACE, "search.budget.size_kb=40")
    write_text(tmp_path / "search.recipe.yaml", resolved_yaml(with_precision(one)))
    (tmp_path / "search").mkdir()
    (tmp_path / "stages").mkdir()
    for other, said in (
        ("search.budget.size_kb=30.5", "search.budget.size_kb is 40.0 there, and 30.5 here"),
        ("search.budget.latency_ms=1", "search.budget.latency_ms is nothing (null) there, and 1.0 here"),
        ("search.space.student.width=[4, 9]", r"search.space.student.width is [4, 8, 12] there, and [4, 9] here"),
        ("train.epochs=7", "train.epochs is"),
    ):
        with pytest.raises(BadInput, match=re.escape(said)):
            plan(recipe(SPACE, "search.budget.size_kb=40", other), tmp_path)
    plan(recipe(SPACE, "search.budget.size_kb=40", "search.trials=3", "search.keep=0.9", "seeds=2", "name=b"), tmp_path)
    write_text(tmp_path / "search.recipe.yaml", resolved_yaml(one))  # of a version that varied no precision
    with pytest.raises(BadInput, match=r"export\.prefer is nothing \(null\) there, and \["):
        plan(one, tmp_path)
    plan(recipe(SPACE, "search.budget.size_kb=40", "search.space.export.prefer=null"), tmp_path)


@pytest.mark.parametrize("written", [b"", b'{"op_code":0,'])
def test_a_search_that_was_killed_before_it_had_a_study_has_a_plan(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "stages").mkdir()
    (tmp_path / "search" / "journal.log").write_bytes(written)
    assert plan(recipe(SPACE), tmp_path).tried == {"student": [], "baseline": []}
    assert (tmp_path / "search" / "journal.log").read_bytes() == written


def test_a_plan_says_in_a_sentence_that_a_journal_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "stages").mkdir()
    (tmp_path / "search" / "control.log").write_text("not a journal\nat all\n")
    with pytest.raises(BadInput, match=r"control\.log cannot be read as a study"):
        plan(recipe(SPACE), tmp_path)
