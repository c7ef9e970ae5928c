"""A teacher is doubted where it does no better than always giving the same answer, in the words of its kind."""

from __future__ import annotations

from limbeck.evaluation import classes, frames, values
from limbeck.evaluation.doubts import far_off, no_better


def test_a_teacher_of_classes_is_set_beside_the_commonest():
    (said,) = no_better(classes.FIGURES[0], 0.5, 0.5, "validation", 400)
    assert said.startswith(
        "the teacher is no better on validation than always naming the commonest answer (50.0 % vs 50.0)"
    )
    (said,) = no_better(classes.FIGURES[0], 0.52, 0.5, "training examples", 400)
    assert "is not shown to be better" in said
    assert "on 400 training examples" in said
    assert no_better(classes.FIGURES[0], 0.9, 0.5, "validation", 400) == []
    assert no_better(classes.FIGURES[0], 0.5, None, "validation", 400) == []


def test_a_teacher_of_numbers_is_set_beside_their_mean():
    rmse = values.FIGURES[0]  # of 200 errors a deviation is known to one part in 20
    (said,) = no_better(rmse, 2.1, 2.0, "validation", 200)
    assert said.startswith("the teacher is no better on validation than always answering the mean (RMSE 2.10 vs 2.00)")
    (said,) = no_better(rmse, 1.85, 2.0, "validation", 200)
    assert "is not shown to be better than always answering the mean (RMSE 1.85 vs 2.00) on 200 validation" in said
    assert no_better(rmse, 1.7, 2.0, "validation", 200) == []
    assert not far_off(2.0, 2.0, 2)  # of two examples nothing is claimed


def test_of_a_share_that_is_better_small_the_rest_counts():
    wrong = frames.FIGURES[0]
    assert no_better(wrong, 1.0, 1.0, "validation", 400) != []
    assert no_better(wrong, 0.2, 1.0, "validation", 400) == []


def test_a_teacher_that_hears_more_than_was_said_is_told():
    (said,) = no_better(frames.FIGURES[0], 1.3, 1.0, "validation", 400)
    assert said.startswith(
        "the teacher is no better on validation than always naming the commonest answer (130.0 % vs 100.0)"
    )
