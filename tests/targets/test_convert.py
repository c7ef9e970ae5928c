"""A store made of another without asking the teacher."""

import pytest
import torch
from answers_of_digits import CLASSES, Digits, contents

from limbeck.errors import BadInput
from limbeck.targets.answers import difference, gathered
from limbeck.targets.codecs import Dense, Int8, SampleCodec, TopKCodec
from limbeck.targets.convert import convert
from limbeck.targets.replay import replay
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
    assert new.manifest["made_from"]["codec"]["name"] == "dense"
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


@pytest.mark.parametrize("codec", [TopKCodec(3), SampleCodec(20)], ids=lambda codec: codec.name)
def test_what_keeps_a_part_cannot_be_made_whole(tmp_path, codec):
    DIGITS.cast(tmp_path / "part", codec=codec)
    with pytest.raises(BadInput, match="only a part of what the teacher said"):
        convert(tmp_path / "part", tmp_path / "new", Dense())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("codec", [Int8(), TopKCodec(3), SampleCodec(50)], ids=lambda codec: codec.name)
def test_a_dense_store_in_a_cheaper_codec_is_nearly_what_the_teacher_would_have_made_it(whole, tmp_path, codec):
    new = convert(whole, tmp_path / "new", codec)
    direct = DIGITS.cast(tmp_path / "direct", codec=codec)
    assert (new.codec.name, new.manifest["made_from"]["codec"]["name"]) == (codec.name, "dense")
    for view in range(new.views):
        one, other = (gathered(store, DIGITS.ids, view) for store in (new, direct))
        # float16 at logits of at most 16 moves a probability by at most 2**-7; 50 draws by one at most
        assert float(difference(one, other, CLASSES).max()) < (0.03 if codec.name != "int8" else 0.05)
    found = replay(new, DIGITS.ask, DIGITS.ids, 10_000, seed=0)
    assert len(found.differing) <= len(found.ids) // 50
