"""The teacher asked again says what is stored, and where it does not, the very answers are named."""

import numpy as np
import pytest
import torch
from answers_of_digits import CLASSES, VIEWS, Digits, N
from hypothesis import given
from hypothesis import strategies as st

from limbeck.interfaces import DenseLogits, Sampled, TopK
from limbeck.targets.answers import difference, distribution
from limbeck.targets.replay import replay

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


@given(st.integers(1, CLASSES - 1), st.integers(0, 2**31))
def test_what_two_top_ks_differ_by_is_at_most_what_the_teachers_do_and_no_tie_counts(k, seed):
    numbers = torch.Generator().manual_seed(seed)
    logits_BC, others_BC = 3 * torch.randn(2, 4, CLASSES, generator=numbers)

    def top(logits_BC, order=slice(None)):
        values, ids = logits_BC[:, order].topk(k, dim=1)
        ids = torch.arange(CLASSES)[order][ids]
        rest = logits_BC.scatter(1, ids, -torch.inf).logsumexp(1, keepdim=True)
        return TopK(ids, values, rest, (1.0,))

    apart = difference(top(logits_BC), top(others_BC), CLASSES)
    full = difference(DenseLogits(logits_BC), DenseLogits(others_BC), CLASSES)
    assert (apart <= full + 1e-6).all()
    tied_BC = logits_BC.round()  # many classes alike, so that the order of search decides who is named
    backwards = torch.arange(CLASSES).flip(0)
    torch.testing.assert_close(
        difference(top(tied_BC), top(tied_BC, backwards), CLASSES),
        torch.zeros(4, dtype=torch.float64),
        atol=1e-6,
        rtol=0,
    )
    # and a teacher that names another class is found out
    sure_BC = torch.nn.functional.one_hot(torch.tensor([0, 1]), CLASSES).float() * 20
    assert (difference(top(sure_BC), top(sure_BC.roll(5, dims=1)), CLASSES) > 0.99).all()
