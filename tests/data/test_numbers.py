"""Claims about columns of numbers: which are a regression's labels, and what is wrong with one."""

from __future__ import annotations

import datasets
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limbeck.data.numbers import check_they_vary, find_numbers, names_of_numbers, read_numbers, statistics_of
from limbeck.errors import BadInput

TABLE = datasets.Dataset.from_dict(
    {
        "who": ["a", "b", "c"],
        "age": [3, 4, 5],
        "angle": [0.5, -1.0, 2.0],
        "box": [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]],
        "kind": [0, 1, 0],
        "good": [True, False, True],
    },
    features=datasets.Features(
        {
            "who": datasets.Value("string"),
            "age": datasets.Value("int64"),
            "angle": datasets.Value("float64"),
            "box": datasets.List(datasets.Value("float32")),
            "kind": datasets.ClassLabel(names=["cat", "dog"]),
            "good": datasets.Value("bool"),
        }
    ),
)


def test_one_column_several_and_lists_are_numbers_with_names():
    for asked, names in (("angle", ("angle",)), (["age", "angle"], ("age", "angle")), ("box", ("box[0]", "box[1]"))):
        columns = find_numbers(TABLE.features, asked, ())
        assert names_of_numbers(TABLE, columns) == names
        labels = read_numbers(TABLE, columns, names, "train")
        assert labels.shape == (3, len(names))
        assert labels.dtype == torch.float32
    assert read_numbers(TABLE, ("age", "angle"), ("age", "angle"), "train").tolist() == [[3, 0.5], [4, -1], [5, 2]]


def test_where_none_is_named_the_only_column_of_fractions_is_taken_then_the_only_one_of_whole_numbers():
    one = TABLE.remove_columns(["box"])
    assert find_numbers(one.features, None, ()) == ("angle",)
    assert find_numbers(one.remove_columns(["angle"]).features, None, ()) == ("age",)
    assert find_numbers(TABLE.features, None, ("angle",)) == ("box",)
    with pytest.raises(BadInput, match=r"angle, box may all be the label: name one \(or several, in a list\)"):
        find_numbers(TABLE.features, None, ())
    with pytest.raises(BadInput, match="no column holds numbers"):
        find_numbers(TABLE.select_columns(["who", "kind"]).features, None, ())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("kind", "'kind' holds classes and no numbers: a classification learns them"),
        ("good", "'good' holds classes and no numbers"),
        ("who", "'who' holds no numbers, which a regression needs"),
        ("angel", "there is no column 'angel'. Did you mean 'angle'?"),
        (["angle", "box"], "'box' holds lists, so it must be the only one"),
        (["angle", "angle"], "each once"),
    ],
)
def test_what_cannot_be_a_number_is_refused(asked, said):
    with pytest.raises(BadInput) as caught:
        find_numbers(TABLE.features, asked, ())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            [1.0, float("nan")],
            "row 1 (counted from 0): column 'x' holds nan: every labelled example needs a finite number",
        ),
        ([float("inf"), 1.0], "row 0 (counted from 0): column 'x' holds inf"),
        ([1.0, None], "row 1 (counted from 0): column 'x' holds no number"),
        ([1.0, 1e300], "column 'x' holds 1e+300: numbers of up to 1e+15 can be learned, since float32 must hold their"),
        ([1.0, -1e37], "column 'x' holds -1e+37: numbers of up to 1e+15 can be learned"),
    ],
)
def test_a_number_that_is_missing_or_not_finite_is_named_with_its_row(values, said):
    rows = datasets.Dataset.from_dict({"x": values}, features=datasets.Features({"x": datasets.Value("float64")}))
    with pytest.raises(BadInput) as caught:
        read_numbers(rows, ("x",), ("x",), "train")
    assert said in str(caught.value)


def test_lists_of_unequal_length_are_refused():
    rows = datasets.Dataset.from_dict({"box": [[1.0, 2.0], [3.0]]})
    with pytest.raises(BadInput, match=r"row 1 .* holds 1 number, and row 0 of train holds 2"):
        read_numbers(rows, ("box",), ("box[0]", "box[1]"), "train")


def test_labels_that_are_all_alike_teach_nothing():
    check_they_vary(torch.tensor([[1.0, 2.0], [1.5, 3.0]]), ("a", "b"), "train")
    with pytest.raises(BadInput, match="'b' is 2 in every example"):
        check_they_vary(torch.tensor([[1.0, 2.0], [1.5, 2.0]]), ("a", "b"), "train")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1e9 + 0.25, 1e9 + 0.75], "'x' is 1e\\+09 in every example.* differ in later digits, shift the column"),
        ([1e9, 1e9 + 64, 1e9 + 128], "'x' are as large as 1e\\+09 and differ by 52 only: shift the column"),
    ],
)
def test_labels_that_float32_hardly_tells_apart_are_to_be_shifted(values, said):
    with pytest.raises(BadInput, match=said):
        check_they_vary(torch.tensor(values)[:, None], ("x",), "train")
    check_they_vary(torch.tensor([1.7e9, 1.7e9 + 1e6])[:, None], ("x",), "train")


@given(st.permutations([0.1, -7.25, 1e4, 3.3333333, 2.0, -0.0003]))
def test_mean_and_deviation_do_not_depend_on_the_order(values):
    labels = torch.tensor(values)[:, None]
    assert statistics_of(labels) == statistics_of(labels.sort(dim=0).values)
    (mean,), (deviation,) = statistics_of(labels)
    assert mean == pytest.approx(labels.double().mean().item(), rel=1e-5)
    assert deviation == pytest.approx(labels.double().std(correction=0).item(), rel=1e-5)
