"""The teacher asked again says what is stored, and where it does not, the very answers are named."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import BadInput
from limbeck.interfaces import DenseLogits, RaggedLogits, Sampled, TopK
from limbeck.targets.codecs import Rows, SampleCodec
from limbeck.targets.replay import replay
from limbeck.targets.store.as_logits import distribution
from tests.helpers.answers_of_digits import CLASSES, VIEWS, Digits, N

DIGITS = Digits()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return DIGITS.cast(tmp_path_factory.mktemp("replay") / "store")


def test_the_same_teacher_says_the_same(store):
    found = replay(store, DIGITS.ask, DIGITS.ids, 40, seed=3, batch_size=7)
    assert len({*zip(found.ids.tolist(), found.view.tolist())}) == 40
    assert found.of == N * VIEWS
    assert set(found.view.tolist()) == {0, 1}
    assert found.difference.max() < 1e-6
    assert not len(found.differing)
    again = replay(store, DIGITS.ask, DIGITS.ids, 40, seed=3)
    other = replay(store, DIGITS.ask, DIGITS.ids, 40, seed=4)
    np.testing.assert_array_equal(again.ids, found.ids)
    assert set(other.ids.tolist()) != set(found.ids.tolist())


def test_the_answers_that_differ_are_named(store):
    odd = {int(DIGITS.ids[11]), int(DIGITS.ids[99])}

    def changed(index_B, view):
        logits_BC = DIGITS.ask(index_B, view)
        wrong_B = (view == 1) & torch.isin(index_B, torch.tensor([11, 99]))
        return logits_BC.where(~wrong_B[:, None], logits_BC.roll(1, dims=1))

    found = replay(store, changed, DIGITS.ids, 10_000, seed=0)
    assert len(found.ids) == N * VIEWS
    assert {(int(found.ids[at]), int(found.view[at])) for at in found.differing} == {(id_, 1) for id_ in odd}


def test_an_answer_that_is_no_number_differs(store):
    found = replay(store, lambda index_B, view: DIGITS.ask(index_B, view) * torch.nan, DIGITS.ids, 5, seed=0)
    assert len(found.differing) == 5


@pytest.mark.parametrize(
    "codec", [SampleCodec(), SampleCodec(temperature=2.0, proposal=3.0)], ids=["plain", "proposal"]
)
def test_draws_that_rounding_has_fall_otherwise_are_no_other_teachers(tmp_path, codec):
    """Of 1,000 classes 18 are drawn: half precision has others drawn, which are as good; another teacher is found."""
    many = Digits(classes=1000)

    def sharp(index_B, view):
        return 3 * many.ask(index_B, view)

    def rounded(index_B, view):
        return sharp(index_B, view).half().float()

    store = many.cast(tmp_path / "store", codec=codec, ask=sharp)

    rows = Rows(many.ids, 0, torch.zeros(N, dtype=torch.int64))
    ways = [codec.encode(ask(torch.arange(N), 0), rows)["ids"] for ask in (sharp, rounded)]
    assert (ways[0] != ways[1]).any(1).double().mean() > 0.3
    assert not len(replay(store, rounded, many.ids, 10_000, seed=0).differing)
    assert replay(store, sharp, many.ids, 10_000, seed=0).difference.max() <= 1e-6
    for changed in (lambda i, v: 2 * sharp(i, v), lambda i, v: sharp(i, v).roll(1, dims=1)):
        found = replay(store, changed, many.ids, 10_000, seed=0)
        assert len(found.differing) > 0.5 * len(found.ids)


@pytest.mark.parametrize("ragged", [False, True], ids=["single", "sequences"])
def test_all_that_was_added_later_is_asked_again(tmp_path, ragged):
    store = DIGITS.grown(tmp_path / "store", ragged=ragged, codec=SampleCodec(20))
    ask = DIGITS.ask_sequences if ragged else DIGITS.ask
    found = replay(store, ask, DIGITS.ids, 10_000, seed=0)
    assert found.of == store.manifest["targets"] == 60 * 3 + 90 * 2
    assert len({*zip(found.ids.tolist(), found.view.tolist())}) == found.of
    assert found.difference.max() < 1e-6
    with pytest.raises(BadInput, match="not among the data"):
        replay(store, ask, DIGITS.ids[:50], 10_000, seed=0)


def test_one_position_that_differs_or_is_missing_is_found(tmp_path):
    store = DIGITS.grown(tmp_path / "store", ragged=True)

    def changed(index_B, view):
        logits_PC, lengths_B = dataclasses.astuple(DIGITS.ask_sequences(index_B, view))
        example_P = index_B.repeat_interleave(lengths_B)
        last_P = (example_P == 11) & (example_P.roll(-1) != 11)
        logits_PC = logits_PC.where(~last_P[:, None], logits_PC.roll(1, dims=1))
        return RaggedLogits(logits_PC[(example_P != 99) | (view < 1)], lengths_B.where((index_B != 99) | (view < 1), 0))

    found = replay(store, changed, DIGITS.ids, 10_000, seed=0)
    named = {(int(found.ids[at]), int(found.view[at])) for at in found.differing}
    assert named == {
        (int(DIGITS.ids[11]), 0),
        (int(DIGITS.ids[11]), 1),
        (int(DIGITS.ids[11]), 2),
        (int(DIGITS.ids[99]), 1),
    }
    with pytest.raises(BadInput, match="one answer for each example, where a sequence"):
        replay(store, DIGITS.ask, DIGITS.ids, 5, seed=0)


@settings(deadline=None)
@given(st.integers(1, CLASSES - 1), st.integers(0, 2**31))
def test_a_distribution_is_the_same_from_every_kind_of_answer(k, seed):
    logits_BC = 3 * torch.randn(4, CLASSES, generator=torch.Generator().manual_seed(seed))
    probs_BC = logits_BC.double().softmax(1)
    values, ids = logits_BC.topk(k, dim=1)
    rest = logits_BC.scatter(1, ids, -torch.inf)
    ladder = (1.0, 2.0)
    log_rest = torch.stack([(rest / t).logsumexp(1) for t in ladder], 1)
    dense = distribution(DenseLogits(logits_BC), CLASSES)
    torch.testing.assert_close(dense[:, :-1], probs_BC)
    top = distribution(TopK(ids, values, log_rest, ladder), CLASSES)
    torch.testing.assert_close(top[:, :-1].gather(1, ids), probs_BC.gather(1, ids), atol=1e-6, rtol=0)
    torch.testing.assert_close(top[:, -1], 1 - probs_BC.gather(1, ids).sum(1), atol=1e-6, rtol=0)
    padded = torch.cat([ids, torch.full((4, 1), -1)], 1)
    counts = torch.arange(1, k + 2).float().expand(4, -1)
    drawn = distribution(Sampled(padded, counts, 1.0), CLASSES)
    torch.testing.assert_close(
        drawn.gather(1, ids), (counts / counts[0, :-1].sum())[:, :-1].double(), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(drawn.sum(1), torch.ones(4, dtype=torch.float64))
