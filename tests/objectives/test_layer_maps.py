"""Layer maps: which layer of the teacher a layer of the student is compared with."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.objectives.layer_maps import explicit, last, layer_pairs, path_pairs, uniform


def test_published_maps():
    # TinyBERT_4 of BERT-base: layers 3, 6, 9, 12; TinyBERT_6: every second
    assert uniform(4, 12) == ((0, 2), (1, 5), (2, 8), (3, 11))
    # PKD-skip: layers 2, 4, 6, 8, 10, the last left out
    assert [teacher + 1 for _, teacher in uniform(6, 12)[:-1]] == [2, 4, 6, 8, 10]
    assert last(6, 12) == ((5, 11),)
    assert last(6, 12, 3) == ((3, 9), (4, 10), (5, 11))
    assert uniform(3, 3) == ((0, 0), (1, 1), (2, 2))
    # 8/3 and 16/3 round to 3 and 5; 5/2 rounds upwards
    assert uniform(3, 8) == ((0, 2), (1, 4), (2, 7))
    assert uniform(2, 5) == ((0, 2), (1, 4))


@given(st.integers(1, 40), st.integers(0, 60))
def test_uniform_is_m_n_over_m_rounded(student, more):
    teacher = student + more
    pairs = uniform(student, teacher)
    assert [mine for mine, _ in pairs] == list(range(student))
    assert pairs[-1] == (student - 1, teacher - 1)
    chosen = [0, *(layer + 1 for _, layer in pairs)]
    for m, layer in enumerate(chosen):
        assert Fraction(-1, 2) < layer - Fraction(m * teacher, student) <= Fraction(1, 2)
    steps = [after - before for before, after in itertools.pairwise(chosen)]
    assert min(steps) >= 1
    assert max(steps) - min(steps) <= 1


def test_names_and_pairs():
    assert layer_pairs("uniform", 2, 4) == uniform(2, 4)
    assert layer_pairs("last", 2, 4) == last(2, 4)
    assert layer_pairs([[1, 2], [0, 0]], 2, 4) == explicit(2, 4, [(1, 2), (0, 0)]) == ((1, 2), (0, 0))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: uniform(12, 6), "12 layers against 6: name the pairs"),
        (lambda: uniform(0, 6), "the student must have at least one layer, not 0"),
        (lambda: last(2, 0), "the teacher must have at least one layer, not 0"),
        (lambda: last(2, 6, 3), "count must be between 1 and 2"),
        (lambda: explicit(2, 6, []), "at least one pair"),
        (lambda: explicit(2, 6, [(0, 6)]), "the teacher has no layer 6: its layers are 0 to 5"),
        (lambda: explicit(2, 6, [(-1, 5)]), "the student has no layer -1"),
        (lambda: explicit(2, 6, [(0, 1), (0, 1)]), "twice"),
        (lambda: explicit(2, 6, [(0, 1, 2)]), "pairs of layer numbers"),
        (lambda: explicit(2, 6, [(0, 1.0)]), "pairs of layer numbers"),
        (lambda: layer_pairs("skip", 2, 6), "no layer map 'skip'"),
        (lambda: path_pairs("a.{}", "b", (2, 6), "uniform"), "in both paths"),
        (lambda: path_pairs("a.{}", ["b"], (2, 6), "uniform"), "in both paths"),
        (lambda: path_pairs("a.{}", "b.{}", None, "uniform"), "need layers="),
        (lambda: path_pairs("a", "b", (2, 6), "uniform"), "neither has one"),
        (lambda: path_pairs(["a", "c"], ["b"], None, "uniform"), "2 paths in the student and 1 in the teacher"),
        (lambda: path_pairs([], [], None, "uniform"), "at least one"),
    ],
)
def test_what_makes_no_map_is_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()


def test_paths():
    assert path_pairs("enc.{}.out", "bert.enc.{}", (2, 4), "uniform") == (
        ("enc.0.out", "bert.enc.1"),
        ("enc.1.out", "bert.enc.3"),
    )
    assert path_pairs("stem", "head", None, "uniform") == (("stem", "head"),)
    assert path_pairs(["a", "b"], ("c", "d"), None, "last") == (("a", "c"), ("b", "d"))
