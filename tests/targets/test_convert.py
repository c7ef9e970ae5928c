"""A store made of another without asking the teacher."""

from typing import Any

import numpy as np
import pytest
import torch

from limbeck.errors import BadInput
from limbeck.pipeline import exchange
from limbeck.targets.cast import cast
from limbeck.targets.codecs import Dense, Int8, Numbers, TopKCodec
from limbeck.targets.convert import convert
from limbeck.targets.store.as_logits import distribution, gathered
from limbeck.targets.store.store import Store, inspect
from tests.helpers.answers_of_digits import CLASSES, Digits, contents
from tests.helpers.stores import identity

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


@pytest.mark.parametrize("spread", [False, True])
def test_numbers_go_into_half_the_bytes_and_back(tmp_path, spread):
    def ask(index_B, view):
        values_BD = torch.stack([index_B * 0.1, index_B * 100.3 + view], dim=1)
        return torch.cat([values_BD, values_BD / 3], dim=1) if spread else values_BD

    codec: Any = Numbers(spread=spread)
    ids = torch.arange(9) * 5
    old = cast(tmp_path / "old", identity(classes=2), ids, 2, ask, codec=codec, block_size=4)
    half = exchange.convert(old.path, tmp_path / "half", "float16")
    assert half.codec == Numbers("float16", spread=spread)
    assert half.manifest["codec"]["bytes_per_target"] * 2 == old.manifest["codec"]["bytes_per_target"]
    assert half.manifest["made_from"]["codec"] == "numbers"
    wide = exchange.convert(half.path, tmp_path / "wide", "float32")
    for view in range(2):
        exact = ask(torch.arange(9), view)
        for store, kept in ((half, exact.half().float()), (wide, exact.half().float()), (old, exact)):
            said = gathered(store, ids, view)
            assert torch.equal(said.values, kept[:, :2])
            assert said.spread is None if not spread else torch.equal(said.spread, kept[:, 2:])


def test_logits_are_not_made_into_numbers_nor_numbers_into_logits(whole, tmp_path):
    codec: Any = Numbers()
    numbers = cast(
        tmp_path / "numbers", identity(classes=1), torch.arange(3), 1, lambda i, v: i[:, None] * 0.5, codec=codec
    )
    for wanted in ("dense", "int8", "topk"):
        with pytest.raises(
            BadInput, match=f"keeps the numbers of a regression, and {wanted} is for answers over classes"
        ):
            exchange.convert(numbers.path, tmp_path / "new", wanted)
    with pytest.raises(BadInput, match=r"keeps answers over classes .*: take dense, int8, topk or sample"):
        exchange.convert(whole, tmp_path / "new", "float16")
    with pytest.raises(BadInput, match="--set k=3: the codec float16 has no settings"):
        exchange.convert(numbers.path, tmp_path / "new", "float16", ["k=3"])
    assert not (tmp_path / "new").exists()


def test_what_keeps_a_part_cannot_be_made_whole(tmp_path):
    part = DIGITS.cast(tmp_path / "part", codec=TopKCodec(3))
    with pytest.raises(BadInput, match="as topk, which is only a part of what the teacher said"):
        convert(part.path, tmp_path / "new", Dense())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("ragged", [False, True], ids=["single", "sequences"])
def test_every_example_keeps_its_views_and_positions(tmp_path, ragged):
    old = DIGITS.grown(tmp_path / "old", ragged=ragged)
    new = convert(old.path, tmp_path / "new", Int8(), block_size=50)
    assert [one.entry for one in new.segments] == [one.entry for one in old.segments]
    for segment in old.segments:
        ids = torch.from_numpy(segment.ids)
        for view in segment.views:
            a, b = (store.encoded(ids, torch.full_like(ids, view)) for store in (old, new))
            if a.length_B is not None:
                np.testing.assert_array_equal(a.length_B, b.length_B)
            c, d = (distribution(s.codec.decode(one.columns, CLASSES), CLASSES) for s, one in ((old, a), (new, b)))
            # a step of a byte is at most 1/254 of a row's range, which is at most 100
            torch.testing.assert_close(c, d, atol=0.2, rtol=0)
