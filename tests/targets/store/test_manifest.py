"""Whose a store is: another kind, other examples, another codec are refused and named."""

import pytest

from limbeck.errors import BadInput
from limbeck.targets.store.store import Store
from tests.helpers.stores import contents, identity, logits_of, make, shuffled_ids

# --- whose it is


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"teacher": {"weights": "b" * 64, "probe": [1.0, -2.0, 3.0]}}, "teacher's weights"),
        ({"teacher": {"weights": "a" * 64, "probe": [1.0, -2.0, 3.5]}}, "answers a probe otherwise"),
        ({"data": "e" * 16}, "the data"),
        ({"views": {"flip": False, "pad_crop": 4}}, "flip is True there, False here"),
        ({"view_seed": 1}, "seed of the views"),
        ({"precision": "bfloat16"}, "precision"),
        ({"preprocess": {"mean": [0.5]}}, "preprocessing"),
        ({"classes": 6}, "number of classes: 5 there, 6 here"),
    ],
)
def test_a_store_of_another_kind_is_refused_and_what_differs_named(whole, changes, named):
    before = contents(whole)
    with pytest.raises(BadInput, match=named):
        Store.open(whole, expect=identity(**changes))
    with pytest.raises(BadInput, match=named):
        make(whole, identity=identity(**changes))
    assert contents(whole) == before


def test_other_examples_views_or_codec_are_refused(whole):
    with pytest.raises(BadInput, match="ids"):
        make(whole, ids_N=shuffled_ids() + 1)
    with pytest.raises(BadInput, match="number of views: 3 there, 4 here"):
        make(whole, views=4)
    with pytest.raises(BadInput, match="codec: dense there, topk here"):
        Store.open(whole, expect={"codec": "topk"})


def test_a_probe_may_differ_by_rounding(whole):
    Store.open(whole, expect=identity(teacher={"weights": "a" * 64, "probe": [1.0001, -2.0, 3.0]}))


def test_no_store_and_an_unfinished_store_say_so(tmp_path):
    with pytest.raises(BadInput, match="no soft targets at"):
        Store.open(tmp_path / "nowhere")

    def stops(index_B, view):
        if view == 1:
            raise KeyboardInterrupt
        return logits_of(shuffled_ids()[index_B], view)

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "store", ask=stops)
    with pytest.raises(BadInput, match="casting has not finished"):
        Store.open(tmp_path / "store")
    with pytest.raises(BadInput, match="teacher's weights"):
        make(tmp_path / "store", identity=identity(teacher={"weights": "b" * 64, "probe": []}))
