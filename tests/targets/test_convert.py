"""A store made of another without asking the teacher."""

import pytest
import torch
from answers_of_digits import CLASSES, Digits, contents

from limbeck.errors import BadInput
from limbeck.interfaces import TopK
from limbeck.targets.answers import dense_answers, gathered
from limbeck.targets.codecs import Dense
from limbeck.targets.convert import convert
from limbeck.targets.store import Store, inspect

DIGITS = Digits()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return DIGITS.cast(tmp_path_factory.mktemp("convert") / "store").path


def test_what_is_converted_says_the_same_and_where_it_comes_from(whole, tmp_path):
    before = contents(whole)
    new = convert(whole, tmp_path / "new", Dense(), block_size=50)
    old = Store.open(whole)
    for view in range(old.views):
        # once more rounded to float16, at logits of at most 16
        a, b = (gathered(store, DIGITS.ids, view).logits for store in (old, new))
        torch.testing.assert_close(a, b, atol=2**-7, rtol=0)
    assert new.manifest["made_from"]["codec"] == "dense"
    assert new.manifest["codec"]["error"]["mean_kl"] < old.manifest["codec"]["error"]["mean_kl"] + 1e-6
    assert inspect(new.path)["made_from"] == new.manifest["made_from"]
    assert contents(whole) == before
    assert contents(convert(whole, tmp_path / "again", Dense(), block_size=50).path) == contents(new.path)


def test_a_store_is_not_converted_onto_itself_or_onto_another(whole, tmp_path):
    with pytest.raises(BadInput, match="name another folder"):
        convert(whole, whole, Dense())
    DIGITS.cast(tmp_path / "other")
    with pytest.raises(BadInput, match="made from"):
        convert(whole, tmp_path / "other", Dense())


def test_what_keeps_a_part_cannot_be_made_whole(whole):
    class Part(Store):
        def gather(self, ids_B, view_B):
            rest = torch.zeros(len(ids_B), 1)
            return TopK(torch.zeros(len(ids_B), 1).long(), rest, rest, (1.0,))

    old = Store.open(whole)
    old.__class__ = Part
    with pytest.raises(BadInput, match="only a part of what the teacher said"):
        dense_answers(old, DIGITS.ids)
    assert old.classes == CLASSES
