"""What a page shows where an example may have several labels."""

import numpy as np
import pytest

from limbeck.modalities import outline_of
from limbeck.report import Evidence
from limbeck.report.kinds import label_sets
from limbeck.report.shown import Text


def test_each_label_is_a_yes_or_no_and_the_sum_of_their_divergences_is_shown():
    teacher_NC, student_NC = np.array([[4.0, -4, 4], [1, 1, 1]]), np.array([[4.0, -4, -4], [1, 1, 1]])
    labels_NC = np.array([[1, 0, 1], [0, 0, 0]])
    answers = {"teacher": teacher_NC, "student": student_NC, "baseline": student_NC}
    outline, names = outline_of("text-classification"), ("x", "y", "z")
    evidence = Evidence({}, outline, "", "label_sets", names, labels_NC, answers, {}, show=lambda i: Text(("ab"[i],)))
    (card,) = label_sets.cards(evidence)
    assert card.example == Text(("a",))
    assert card.truth == card.teacher_says == ("x", "z")
    assert card.student_says == ("x",)
    p = 1 / (1 + np.exp(-4))
    assert card.difference == pytest.approx((2 * p - 1) * 4)  # of yes and of no, with a log-odds of 4 either way
    assert card.answers == (
        ("x", pytest.approx(p), pytest.approx(p)),
        ("z", pytest.approx(p), pytest.approx(1 - p)),
        ("y", pytest.approx(1 - p), pytest.approx(1 - p)),
    )
