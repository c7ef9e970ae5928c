"""The texts that a report shows: where the two differ most, once each, and safe to put on a page."""

import numpy as np
import pytest

from limbeck.report.differences import EXCERPT, excerpt, most_different
from limbeck.report.html import _environment

CLASSES = ("no", "yes")


@pytest.mark.parametrize("by", ["kl", "tv"])
def test_the_largest_differences_come_first_and_copies_once(by):
    teacher = np.array([[0, 0], [0, 3], [0, 3], [0, 1], [0, 2]], dtype=np.float32)
    student = np.array([[0, 0], [3, 0], [3, 0], [0, 0], [0, -2]], dtype=np.float32)
    texts = ["same", "far", "far", "near", "middle"]
    cards = most_different(texts, CLASSES, np.array([0, 1, 1, 1, 0]), teacher, student, by=by)
    assert [card.sides for card in cards] == [("far",), ("middle",), ("near",)]
    assert [card.position for card in cards] == [1, 4, 3]
    assert cards[0].teacher_says == cards[0].truth == ("yes",)
    assert cards[0].student_says == ("no",)
    p = 1 / (1 + np.exp(-3))
    expected = (2 * p - 1) * 3 if by == "kl" else 2 * p - 1
    assert cards[0].difference == pytest.approx(expected)
    assert cards[0].answers == (
        ("yes", pytest.approx(p), pytest.approx(1 - p)),
        ("no", pytest.approx(1 - p), pytest.approx(p)),
    )


@pytest.mark.parametrize("by", ["kl", "tv"])
def test_of_several_labels_each_is_a_yes_or_no(by):
    teacher, student = np.array([[4.0, -4, 4], [1, 1, 1]]), np.array([[4.0, -4, -4], [1, 1, 1]])
    cards = most_different(["a", "b"], ("x", "y", "z"), np.array([[1, 0, 1], [0, 0, 0]]), teacher, student, by=by)
    assert [card.sides for card in cards] == [("a",)]
    assert cards[0].truth == cards[0].teacher_says == ("x", "z")
    assert cards[0].student_says == ("x",)


def test_long_texts_are_cut_off_after_a_word_and_markup_is_escaped():
    long = "word  " * 1000
    assert excerpt(long).endswith("word …")
    assert len(excerpt(long)) <= EXCERPT + 2
    assert len(excerpt("x" * 10_000)) <= EXCERPT + 2
    card = most_different(["<script>alert(1)</script>"], CLASSES, np.array([0]), np.eye(2)[:1], np.eye(2)[1:])[0]
    page = _environment("limbeck.report").from_string("<p>{{ card.sides[0] }}</p>").render(card=card)
    assert page == "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"
