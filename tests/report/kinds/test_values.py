"""What a page shows of answers that are numbers, on numbers worked out by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from limbeck.evaluation import spread
from limbeck.report import Evidence, formats
from limbeck.report.kinds import value_charts, values
from limbeck.report.shown import Picture
from tests.helpers.pages import Page, assert_harmless, written
from tests.helpers.values_evidence import values_evidence


def evidence_of(labels: list[float], teacher: list[float], student: list[float], baseline: list[float]) -> Evidence:
    columns = (np.array(one, dtype=np.float32)[:, None] for one in (teacher, student, baseline))
    answers = dict(zip(("teacher", "student", "baseline"), columns, strict=True))
    return replace(values_evidence(count=5), labels=np.array(labels)[:, None], answers=answers)


def test_how_far_off_each_model_is() -> None:
    found = values.sections(evidence_of([0, 10, 20, 40], [0, 10, 20, 40], [1, 8, 20, 43], [0, 0, 0, 0]))
    (number,) = found["numbers"]
    assert found["keys"] == ["teacher", "student", "baseline"]
    rows = {what: of for what, _, of in number.errors}
    assert rows["Mean error"] == (0, 0.5, -17.5)
    assert rows["Half are off by less than"] == (0, 1.5, 15)
    assert rows["Nine in ten are off by less than"] == pytest.approx((0, 2.7, 34))  # between the third and the fourth
    assert rows["The furthest off"] == (0, 3, 40)
    assert "RMSE" not in rows  # of a single number the table of models has it


def test_an_answer_that_is_no_number_is_left_out_and_said_to_be() -> None:
    odd = evidence_of([0, 10, 20, 40], [0, 10, np.nan, 40], [1, 8, 20, 43], [0, 0, 0, np.inf])
    found = values.sections(odd)
    assert (found["tested"], found["left_out"]) == (2, 2)
    assert {card.position for group in found["groups"] for card in group.cards} <= {0, 1}
    assert values.sections(evidence_of([0], [np.nan], [0], [0])) == {}


def test_examples_stand_where_they_say_and_once() -> None:
    labels, teacher = [0.0, 0, 0, 0, 0, 100], [0.0, 0, 0, 0, 50, 100]
    evidence = evidence_of(labels, teacher, [30.0, 2, 0, 1, 50, 100], [0.0] * 6)
    differ, off = values.sections(evidence)["groups"]
    assert [card.position for card in differ.cards] == [0, 1, 3]  # 30, 2 and 1 apart; of the others nothing
    assert [card.position for card in off.cards] == [4]  # the teacher's mistake, taken over; it has no others
    assert differ.cards[0].numbers == (("angle", ("0", "0", "30", "0")),)


def test_cells_hold_every_example_and_what_lies_outside_stands_at_the_edge() -> None:
    drawn = value_charts.predicted(np.array([0.0, 1, 1]), np.array([0.0, 1, 9]), "student", (0.0, 1.0), "angle")
    cells = re.findall(r"M([\d.]+) ([\d.]+)h", drawn)
    side, tall = (288 - 52) / value_charts.CELLS, (266 - 30) / value_charts.CELLS
    lower_left, upper_right = sorted((float(x), float(y)) for x, y in cells)  # of each its lower left corner
    assert lower_left == (52, 266)
    assert upper_right == pytest.approx((288 - side, 30 + tall), abs=0.06)


def test_no_model_covers_another_on_a_strip():
    drawn = value_charts.strip(1.0, {"teacher": 1.0, "student": 1.0, "baseline": 9.0}, (0.0, 4.0), "angle")
    assert re.findall(r'class="mark ([a-z]+)"', drawn) == ["teacher", "student", "baseline"]
    square, circle, radius, top = (
        float(re.findall(pattern, drawn)[0])
        for pattern in (
            r'class="mark teacher" x="[\d.]+" y="([\d.]+)"',
            r'class="mark student" [^>]*cy="([\d.]+)"',
            r'class="mark student" [^>]* r="([\d.]+)"',
            r'class="mark baseline" points="[\d.]+,([\d.]+)',
        )
    )
    assert square + 2 * 0.9 * radius < circle - radius
    assert circle + radius < top
    assert 'x1="130" x2="130"' not in drawn  # the truth stands at a quarter of the way
    assert 'class="truth" x1="69" x2="69"' in drawn
    assert max(float(x) for x in re.findall(r'points="[\d.]+,[\d.]+ ([\d.]+),', drawn)) < 260  # 9 stands at the edge


def test_errors_by_the_truth_are_those_of_its_bin() -> None:
    truth_N = np.repeat([0.0, 12.0], [20, 4])  # the first of the bins, and the last
    error_N = np.where(truth_N == 0, 3.0, -4.0)
    drawn = value_charts.over_range(truth_N, {"student": error_N}, "angle, °", "°")
    said = re.findall(r"Student: ([\d.]+) ° on (\d+) examples about ([\d.]+)", drawn)
    assert said == [("3.00", "20", "0.500"), ("4.00", "4", "11.5")]
    assert drawn.count('class="few"') == 1  # four say little


@pytest.mark.parametrize("names", [("angle",), ("<b>steer", "throttle")])
def test_the_page_says_whether_an_ensembles_deviation_tells_its_error(names: tuple[str, ...], tmp_path: Path) -> None:
    evidence = values_evidence(names, 200)
    kept = {"answer": torch.from_numpy(evidence.answers["teacher"]), "labels": torch.from_numpy(evidence.labels)}
    found = {split: spread.rows(kept, torch.full_like(kept["labels"], 1.0), names) for split in ("validation", "test")}
    found["test"][0] |= {"correlation": 0.4321, "within_1": 0.6125}
    results = evidence.results | {"teacher": evidence.results["teacher"] | {"spread": found}}
    assert "Does the teacher know" not in Page(written(evidence, tmp_path)).text
    page = Page(written(replace(evidence, results=results), tmp_path))
    assert_harmless(page)
    for said in (
        "Does the teacher know when it is off?",
        "0.432",
        "61.25 %",
        formats.MISSING,
        "rror by deviation.",
    ):
        assert said in page.text, said


@pytest.mark.parametrize("names", [("angle",), ("<b>steer", "throttle")])
def test_the_page_of_of_a_regression_speaks_of_numbers(names: tuple[str, ...], tmp_path: Path) -> None:
    content = written(values_evidence(names, 200), tmp_path)
    page = Page(content)
    assert_harmless(page)
    assert len(content) < 300_000
    tile = "RMSE, °, beside the same network without a teacher; less is better"
    for said in (
        "test RMSE, °",
        tile,
        "Down is better, left is cheaper",
        "How far off is it",
        "Where student and teacher differ most",
        names[0],
        f"true {names[-1]}",
    ):
        assert said in page.text, said
    assert "class" not in page.text[: page.text.index("What it cost")]
    images = [attributes for name, attributes in page.elements if name == "img"]
    assert len(images) == 3 * 6
    assert all("wide" in (attributes["class"] or "") for attributes in images)


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_a_split_of_one_number_and_answers_that_never_err_have_their_pictures(constant: float, tmp_path: Path) -> None:
    same = evidence_of([constant] * 3, [constant] * 3, [constant] * 3, [constant] * 3)
    content = written(replace(same, show=lambda position: Picture(np.zeros((4, 4, 1), np.uint8))), tmp_path)
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', content)
    assert "<img" not in content  # nothing differs
