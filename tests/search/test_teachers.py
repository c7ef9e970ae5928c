"""Students by the teacher that they had."""

from dataclasses import replace

from limbeck.searching import trials
from limbeck.searching.teachers import by_teacher
from limbeck.searching.trials import Trial


def trial(number: int, width: int, quality: float, cost: float) -> Trial:
    values = {"teacher": {"model": "convnet", "width": width}}
    return Trial(number, "student", values, trials.FINISHED, "", quality=quality, cost={"size_kb": cost})


def test_each_teacher_has_its_best_student_within_the_budget() -> None:
    found = [
        trial(1, 8, 0.75, 1.0),
        trial(2, 8, 0.5, 0.5),
        trial(3, 16, 0.875, 2.0),
        replace(trial(4, 16, 0.99, 9.0), fate=trials.OVER_BUDGET, quality=None),
        replace(trial(5, 32, 0.0, 1.0), fate=trials.stopped_at(1), quality=None),
    ]
    said = by_teacher(found, {"size_kb": 4.0})
    assert [(one["teacher"]["width"], one["best"], one["quality"]) for one in said] == [
        (16, 3, 0.875),
        (8, 1, 0.75),
        (32, None, None),
    ]
    assert [(one["trials"], one["finished"], one["on_front"]) for one in said] == [(1, 1, 1), (2, 2, 2), (1, 0, 0)]
    assert [one["teacher"]["width"] for one in by_teacher(found, {"size_kb": 4.0}, better=-1)] == [8, 16, 32]
    assert by_teacher(found[:2], {}) == []  # there is one


def test_a_teacher_whose_fields_vary_is_told_by_these() -> None:
    found = [
        replace(trial(number, 8, quality, 1.0), values={"teacher.model": model, "teacher.width": 2, "views": {}})
        for number, (model, quality) in enumerate([("wrn_10_2", 0.5), ("wrn_16_2", 0.75), ("wrn_10_2", 0.625)], 1)
    ]
    assert [(one["teacher"], one["trials"], one["best"]) for one in by_teacher(found, {"size_kb": 4.0})] == [
        ({"model": "wrn_16_2", "width": 2}, 1, 2),
        ({"model": "wrn_10_2", "width": 2}, 2, 3),
    ]
    assert by_teacher(found, {}, field="assistant") == []
