"""A model's labels are matched with the data's by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.models.labels import map_labels

pytest.importorskip("transformers")


# Labels


@given(st.permutations(["very_Good", "so so", "bad", "Ünder"]), st.permutations(range(4)))
def test_labels_are_matched_by_name_however_they_are_written(model_names, shuffle):
    data_names = [model_names[i].replace("_", " ").upper() for i in shuffle]
    order, note = map_labels(model_names, data_names)
    assert order == tuple(shuffle)
    assert note is None


def test_labels_without_names_go_by_position_and_it_is_said():
    order, note = map_labels(["LABEL_0", "LABEL_1"], ["bad", "good"])
    assert order == (0, 1)
    assert note is not None
    assert "by position" in note
    assert "'LABEL_0', 'LABEL_1'" in note
    assert "'bad', 'good'" in note
    assert map_labels(["bad", "good"], ["0", "1"]).note is not None


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (["bad", "good"], ["bad", "great"]),
        (["bad", "good", "mixed"], ["bad", "good"]),
        (["LABEL_0", "LABEL_1", "LABEL_2"], ["bad", "good"]),
        (["good", "Good"], ["good", "bad"]),
    ],
)
def test_labels_in_doubt_are_refused_with_both_lists(model, data):
    with pytest.raises(BadInput) as refused:
        map_labels(model, data)
    assert all(repr(name) in str(refused.value) for name in (*model, *data))
