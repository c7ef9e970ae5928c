"""The dense form as a limit of top-k and of samples, and what top-k is known to break."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import (
    kd,
    kd_positions,
    sampled_cross_entropy,
    sampled_cross_entropy_positions,
    sparse_kl,
    sparse_kl_positions,
    top_k,
)
from tests.objectives.cases import EXACT, normal, softmax
from tests.objectives.sparse_cases import TEMPERATURES, reference_sparse_kl

# ------------------------------------------------------------------------------------------------ identities


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.sampled_from(TEMPERATURES), st.sampled_from([1e-3, 1.0, 30.0]))
def test_all_classes_are_the_dense_form_and_fewer_never_say_more(seed, classes, temperature, scale):
    student = normal(5, classes, seed=seed, scale=scale).requires_grad_()
    teacher = normal(5, classes, seed=seed + 1, scale=scale)
    dense = kd_positions(student, teacher, temperature=temperature)
    before = torch.zeros(5, dtype=EXACT)
    tolerance = {"rtol": 1e-11, "atol": 1e-13 * temperature**2 * (1 + scale)}
    for k in range(1, classes + 1):
        values = sparse_kl_positions(student, *top_k(teacher, k, temperature=temperature), temperature=temperature)
        assert (values >= before - tolerance["atol"]).all()  # one more id splits the bucket: no less is told apart
        before = values.detach()
    torch.testing.assert_close(values, dense, **tolerance)
    gradients = [torch.autograd.grad(value.sum(), student)[0] for value in (values, dense)]
    torch.testing.assert_close(*gradients, **tolerance)
    same = sparse_kl_positions(
        teacher, *top_k(teacher, (classes + 1) // 2, temperature=temperature), temperature=temperature
    )
    assert same.abs().max() <= 1e-13 * temperature**2 * (1 + scale)


def test_the_order_of_ids_padding_shifts_and_permuted_classes_change_nothing():
    student, teacher = normal(4, 7, seed=1), normal(4, 7, seed=2, scale=3)
    ids, logits, rest = top_k(teacher, 3, temperature=2.0)
    value = sparse_kl_positions(student, ids, logits, rest, temperature=2.0)

    def same(*arguments):
        torch.testing.assert_close(sparse_kl_positions(*arguments, temperature=2.0), value, rtol=1e-12, atol=1e-13)

    same(student, ids.flip(1), logits.flip(1), rest)
    same(student + 5, ids, logits - 3, rest - 3 / 2.0)
    same(student, ids.int(), logits, rest)
    nothing, anything = torch.full((4, 2), -1), torch.full((4, 2), 1e4, dtype=EXACT)
    same(student, torch.cat([nothing, ids], 1), torch.cat([anything, logits], 1), rest)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    same(student[:, order], order.argsort()[ids], logits, rest)
    parts = [
        sparse_kl(student[part], ids[part], logits[part], rest[part], temperature=2.0)
        for part in (slice(1), slice(1, 4))
    ]
    assert torch.allclose((parts[0] + 3 * parts[1]) / 4, sparse_kl(student, ids, logits, rest, temperature=2.0))


def test_a_position_of_padding_alone_says_nothing():
    for classes in (1, 4):
        student = normal(2, classes, seed=1).requires_grad_()
        ids, logits = torch.tensor([[-1, -1], [0, -1]]), torch.zeros(2, 2, dtype=EXACT)
        values = sparse_kl_positions(student, ids, logits, torch.tensor([0.5, -math.inf], dtype=EXACT))
        assert values[0] == 0
        (gradient,) = torch.autograd.grad(values.sum(), student)
        assert (gradient[0] == 0).all()
        assert gradient.isfinite().all()
    counts = torch.tensor([[3, 3], [3, 3]])
    value = sampled_cross_entropy(student, ids, counts)
    assert torch.allclose(value, -student[1].log_softmax(0)[0])  # the position without a draw does not count
    assert sampled_cross_entropy_positions(student, ids, counts)[0] == 0


def test_a_tail_of_almost_nothing_is_still_there():
    """Its share is below what 1 - sum could tell in float32, and so is its gradient."""
    teacher = torch.tensor([[0.0, -1.0, -40.0, -41.0]])
    student = torch.tensor([[0.0, -1.0, -60.0, -61.0]], requires_grad=True)
    value = sparse_kl(student, *top_k(teacher, 2))
    (gradient,) = torch.autograd.grad(value, student)
    expected, _ = reference_sparse_kl(student[0].tolist(), teacher[0].tolist(), [0, 1], 1.0)
    p, q = softmax(teacher[0].tolist()), softmax(student[0].tolist())
    inside = [q[i] / (q[2] + q[3]) for i in (2, 3)]  # the bucket pulls its classes up in proportion to what they have
    expected_gradient = [q[i] - share * (p[2] + p[3]) for i, share in zip((2, 3), inside)]
    assert gradient[0, 2:].tolist() == pytest.approx(expected_gradient, rel=1e-5)
    assert value.item() == pytest.approx(expected, abs=1e-6)
    assert 1 - student.softmax(1)[0, :2].sum() <= 1e-7  # the naive tail: rounding, or less than nothing


def test_what_the_student_rules_out_costs_infinity_and_what_the_teacher_rules_out_nothing():
    student = torch.tensor([[1.0, -math.inf, 0.0]], dtype=EXACT, requires_grad=True)
    teacher = torch.tensor([[0.0, 1.0, 2.0]], dtype=EXACT)
    assert sparse_kl(student, *top_k(teacher, 2)) == math.inf  # a kept class
    assert sparse_kl(student, torch.tensor([[0, 2]]), teacher[:, [0, 2]], teacher[:, 1]) == math.inf  # all of the rest
    assert sampled_cross_entropy(student, torch.tensor([[1]]), torch.tensor([[2]])) == math.inf
    for value in (
        sparse_kl(student, torch.tensor([[0, 2]]), teacher[:, [0, 2]], torch.tensor([-math.inf], dtype=EXACT)),
        sparse_kl(student, torch.tensor([[1, 0]]), torch.tensor([[-math.inf, 0.0]], dtype=EXACT), teacher[:, 2]),
        sampled_cross_entropy(student, torch.tensor([[0, 1]]), torch.tensor([[2, 0]])),
    ):
        assert 0 < value < 10
        assert torch.autograd.grad(value, student)[0].isfinite().all()


def test_the_expectation_over_all_draws_is_the_dense_cross_entropy():
    """Value and gradient, over every sequence of 4 draws from 3 classes; importance weights mend another proposal."""
    temperature, number = 2.0, 4
    rows = [0.0, 2.0, -3.0], [2.0, 0.5, -1.0], [-1.0, 1.0, 0.0]
    student, teacher, proposal = (torch.tensor([row], dtype=EXACT, requires_grad=True) for row in rows)
    p, r = (softmax(logits[0].tolist(), temperature) for logits in (teacher, proposal))
    dense = temperature**2 * -(torch.tensor(p, dtype=EXACT) * (student / temperature).log_softmax(1)).sum()
    (dense_gradient,) = torch.autograd.grad(kd(student, teacher, temperature=temperature), student)
    draws = list(itertools.product(range(3), repeat=number))

    def expectation(chances, weights_of):
        total = 0.0
        for draw in draws:
            ids, counts = (torch.tensor([column]) for column in zip(*sorted((i, draw.count(i)) for i in set(draw))))
            weights = weights_of(ids, counts)
            value = sampled_cross_entropy(student, ids, counts, weights=weights, temperature=temperature)
            total = total + math.prod(chances[i] for i in draw) * value
        return total, torch.autograd.grad(total, student)[0]

    def ratio(ids, _):
        return torch.tensor(p, dtype=EXACT)[ids] / torch.tensor(r, dtype=EXACT)[ids]

    def normalised(ids, counts):  # the buggy form: weights made to average to 1
        return ratio(ids, counts) * number / (ratio(ids, counts) * counts).sum()

    for chances, weights_of in ((p, lambda *_: None), (r, ratio)):
        value, gradient = expectation(chances, weights_of)
        assert value.item() == pytest.approx(dense.item(), rel=1e-12)
        torch.testing.assert_close(gradient, dense_gradient, rtol=1e-11, atol=1e-13)
    for chances, weights_of in ((r, lambda *_: None), (r, normalised)):
        assert abs(expectation(chances, weights_of)[0].item() - dense.item()) > 0.05


def test_counts_in_proportion_are_the_dense_cross_entropy_however_they_are_written():
    student = normal(1, 4, seed=1).requires_grad_()
    counts = torch.tensor([[5, 0, 1, 2]])
    dense = -(counts / 8 * student.log_softmax(1)).sum()
    one_by_one = torch.tensor([[0, 3, 0, -1, 0, 2, 3, 0, 0]])
    for value in (
        sampled_cross_entropy(student, torch.arange(4)[None], counts),
        sampled_cross_entropy(student, torch.arange(4)[None], 7 * counts),
        sampled_cross_entropy(student, one_by_one, torch.ones_like(one_by_one)),
    ):
        assert value.item() == pytest.approx(dense.item(), rel=1e-13)


# ------------------------------------------------------------------------------------------------ bug 17


def test_bug_top_k_renormalised_truncated_or_clamped():
    teacher = torch.tensor([[2.0, 1.0, 0.0, -0.5]], dtype=EXACT)
    kept = top_k(teacher, 2)
    p = teacher.softmax(1)[:, :2]

    def gradient(loss, at):
        student = at.clone().requires_grad_()
        value = loss(student)
        return value.item(), torch.autograd.grad(value, student)[0]

    def ours(student):
        return sparse_kl(student, *kept)

    def renormalised(student):  # the teacher's two made to sum to 1: whoever agrees with it is told to be surer
        share = p / p.sum()
        return (share * (share.log() - student.log_softmax(1)[:, :2])).sum()

    def both_renormalised(student):  # blind to how much the student leaves for the rest
        share = p / p.sum()
        return (share * (share.log() - student[:, :2].log_softmax(1))).sum()

    def truncated(student):
        return (p * (p.log() - student.log_softmax(1)[:, :2])).sum()

    def clamped(student):
        return truncated(student).clamp(min=0)

    def wrong_sign(student):
        return -truncated(student)

    value, slope = gradient(ours, teacher)
    assert abs(value) < 1e-15
    assert slope.abs().max() < 1e-15
    for buggy in (renormalised, truncated, wrong_sign):
        assert gradient(buggy, teacher)[1].abs().max() > 0.05  # the teacher itself would be moved

    sure = torch.tensor([[3.0, 2.0, -1.0, -1.5]], dtype=EXACT)  # too little for the rest
    value, slope = gradient(ours, sure)
    assert value > 0.05
    assert (slope[0, 2:] < 0).all()  # the rest is to be raised
    assert gradient(truncated, sure)[0] < -0.05
    assert gradient(clamped, sure)[0] == 0
    assert gradient(clamped, sure)[1].abs().max() == 0
    assert abs(gradient(both_renormalised, sure)[0]) < 1e-15
    for buggy in (renormalised, both_renormalised, truncated, clamped):
        assert abs(gradient(buggy, sure)[0] - value) > 0.01
