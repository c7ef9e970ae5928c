"""Top-k with a tail bucket and sampled counts: references, chunks, masks, and what is refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import IGNORED, common, sampled_cross_entropy, sparse_kl, top_k
from tests.objectives.cases import EXACT, RELATIVE, assert_is_reference, cases, log_softmax, normal
from tests.objectives.sparse_cases import TEMPERATURES, log_sum_exp, reference_sparse_kl


def reference_sampled(student, ids, counts, weights, temperature):
    log_q = log_softmax(student, temperature)
    number = sum(count for i, count in zip(ids, counts) if i >= 0)
    terms = [
        (count / number * weight, log_q[i]) for i, count, weight in zip(ids, counts, weights) if i >= 0 and count > 0
    ]
    return -(temperature**2) * math.fsum(share * log for share, log in terms)


def kept_of(rng, classes, rows, least=1):
    """Ragged sets of ids with padding of -1 between them, (rows, k)."""
    width = int(rng.integers(max(least, 1), classes + 1))
    ids = np.full((rows, width), -1)
    for row in ids:
        size = int(rng.integers(least, width + 1))
        row[rng.permutation(width)[:size]] = rng.permutation(classes)[:size]
    return ids


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from(TEMPERATURES), st.sampled_from([torch.float32, EXACT]), st.integers(0, 2**32 - 1))
def test_sparse_kl_is_the_reference(case, temperature, dtype, seed):
    (student, _), where = case.tensors(dtype)
    rows, classes = case.student.shape
    ids = kept_of(np.random.default_rng(seed), classes, rows)
    values, rest = np.full(ids.shape, np.nan), np.empty(rows)  # NaN: what padding holds must not matter
    for n, row in enumerate(case.teacher.tolist()):
        values[n, ids[n] >= 0] = [row[i] for i in ids[n] if i >= 0]
        rest[n] = log_sum_exp([value / temperature for i, value in enumerate(row) if i not in ids[n]])
    teacher = torch.tensor(ids), torch.tensor(values, dtype=dtype), torch.tensor(rest, dtype=dtype)
    value = sparse_kl(student, *teacher, temperature=temperature, **where)

    kept = iter([[i for i in row if i >= 0] for row, counted in zip(ids.tolist(), case.counts) if counted])
    pairs = []
    expected = case.mean(
        lambda s, t, _: pairs.append(reference_sparse_kl(s, t, next(kept), temperature)) or pairs[-1][0]
    )
    size = max((size for _, size in pairs), default=0.0)
    # a logit divided by T is rounded by its own size, and that error is in the exponent
    assert_is_reference(value, expected, dtype, size=(1 + case.largest / temperature) * (size + temperature**2))


@settings(max_examples=100, deadline=None)
@given(
    cases(ruled_out=("nobody", "teacher")),
    st.sampled_from(TEMPERATURES),
    st.sampled_from([torch.float32, EXACT]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_sampled_cross_entropy_is_the_reference(case, temperature, dtype, weighted, seed):
    (student, _), where = case.tensors(dtype)
    rows, classes = case.student.shape
    rng = np.random.default_rng(seed)
    ids = kept_of(rng, classes, rows, least=0)
    counts, weights = rng.integers(0, 5, ids.shape), rng.random(ids.shape).astype(np.float32)
    drawn = ((ids >= 0) & (counts > 0)).any(1)
    value = sampled_cross_entropy(
        student,
        torch.tensor(ids),
        torch.tensor(counts),
        weights=torch.tensor(weights) if weighted else None,
        temperature=temperature,
        **where,
    )
    if not weighted:
        weights = np.ones(ids.shape)
    given_ = zip(case.student.tolist(), ids.tolist(), counts.tolist(), weights.tolist(), case.counts & drawn)
    values = [reference_sampled(*row, temperature) for *row, counted in given_ if counted]
    expected = math.fsum(values) / max(len(values), 1)
    assert_is_reference(value, expected, dtype, size=(1 + case.largest / temperature) * temperature**2)


# ------------------------------------------------------------------------------------------------ in common


def some(seed=1, shape=(6, 5), dtype=EXACT):
    """Each function as one of the student's logits and the mask."""
    teacher = normal(*shape, seed=seed + 1, scale=2, dtype=dtype)
    ids, logits, rest = top_k(teacher, 2, temperature=2.0)
    counts = torch.arange(2 * shape[0]).reshape(shape[0], 2) % 4 + 1
    weights = normal(shape[0], 2, seed=seed + 2, dtype=dtype).exp()
    return {
        "top-k": lambda s, **where: sparse_kl(s, ids, logits, rest, temperature=2.0, **where),
        "sampled": lambda s, **where: sampled_cross_entropy(s, ids, counts, weights=weights, temperature=2.0, **where),
    }


@pytest.mark.parametrize("name", list(some()))
def test_gradcheck_and_masks(name):
    function, student = some()[name], normal(6, 5, seed=1).requires_grad_()
    mask = torch.tensor([True, False, True, True, False, True])
    labels = torch.tensor([0, 1, IGNORED, 3, IGNORED, 0])
    assert torch.autograd.gradcheck(lambda s: function(s, labels=labels, mask=mask), (student,))
    value = function(student, mask=mask)
    (gradient,) = torch.autograd.grad(value, student)
    spoilt = student.detach().clone()
    spoilt[1], spoilt[4] = math.nan, -math.inf
    spoilt.requires_grad_()
    again = function(spoilt, mask=mask)
    assert again == value
    assert torch.equal(torch.autograd.grad(again, spoilt)[0], gradient)
    for nothing in ({"mask": torch.zeros(6, dtype=torch.bool)}, {"labels": torch.full((6,), IGNORED)}):
        value = function(student, **nothing)
        assert value == 0
        assert (torch.autograd.grad(value, student)[0] == 0).all()


@pytest.mark.parametrize("name", list(some()))
def test_chunks_are_the_whole(name, monkeypatch):
    function, student = some()[name], normal(6, 5, seed=1).requires_grad_()
    where = {"mask": torch.tensor([True, False, True, True, True, True])}
    whole = function(student, **where)
    (gradient,) = torch.autograd.grad(whole, student)
    monkeypatch.setattr(common, "WHOLE", 0)
    monkeypatch.setitem(common.CHUNK, "cpu", 10)
    again = function(student, **where)
    torch.testing.assert_close(again, whole, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(torch.autograd.grad(again, student)[0], gradient, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", list(some()))
def test_narrow_logits_are_summed_in_float32(name):
    function, student = some(dtype=torch.float32)[name], normal(6, 5, seed=1).bfloat16()
    assert function(student).dtype == torch.float32
    assert function(student) == function(student.float())


def test_no_gradient_reaches_the_teacher():
    student, teacher = normal(3, 4, seed=1).requires_grad_(), normal(3, 4, seed=2)
    ids, logits, rest = top_k(teacher, 2)
    logits, rest, weights = logits.requires_grad_(), rest.requires_grad_(), torch.ones(3, 2, requires_grad=True)
    (sparse_kl(student, ids, logits, rest) + sampled_cross_entropy(student, ids, ids + 1, weights=weights)).backward()
    assert student.grad.abs().sum() > 0
    assert logits.grad is None
    assert rest.grad is None
    assert weights.grad is None
    assert not any(column.requires_grad for column in top_k(teacher.requires_grad_(), 2))


def test_temperature_squared_keeps_the_gradients_size():
    steepness = {True: [], False: []}
    for temperature in (1.0, 2.0, 4.0, 8.0):
        student = normal(16, 10, seed=1).requires_grad_()
        value = sparse_kl(student, *top_k(normal(16, 10, seed=2), 4, temperature=temperature), temperature=temperature)
        norm = torch.autograd.grad(value, student)[0].norm().item()
        steepness[True].append(norm)
        steepness[False].append(norm / temperature**2)
    assert max(steepness[True]) < 2 * min(steepness[True])
    assert max(steepness[False]) > 10 * min(steepness[False])


def test_the_rest_depends_on_the_temperature():
    """The buggy form: a log-sum-exp that was taken at another temperature."""
    student, teacher = normal(4, 6, seed=1), normal(4, 6, seed=2)
    ids, logits, rest = top_k(teacher, 2, temperature=1.0)
    right = sparse_kl(student, *top_k(teacher, 2, temperature=4.0), temperature=4.0)
    assert not torch.allclose(sparse_kl(student, ids, logits, rest, temperature=4.0), right)
    expected = [
        log_sum_exp([v / 4 for i, v in enumerate(row) if i not in kept])
        for row, kept in zip(teacher.tolist(), ids.tolist())
    ]
    assert top_k(teacher, 2, temperature=4.0)[2].tolist() == pytest.approx(expected, rel=RELATIVE[EXACT])


def test_what_does_not_fit_is_refused():
    student = normal(3, 5)
    ids, logits, rest = top_k(student, 2)
    for arguments, words in (
        ((student, ids.float(), logits, rest), "integers"),
        ((student, ids[:2], logits[:2], rest[:2]), r"ids \(2, 2\)"),
        ((student, ids[:, :0], logits[:, :0], rest), "k of 1 or more"),
        ((student, ids, logits[:, :1], rest), r"logits \(3, 1\)"),
        ((student, ids, logits, rest[:, None]), r"log_rest \(3, 1\)"),
    ):
        with pytest.raises(ValueError, match=words):
            sparse_kl(*arguments)
    with pytest.raises(ValueError, match=r"counts \(3,\)"):
        sampled_cross_entropy(student, ids, ids[:, 0])
    with pytest.raises(ValueError, match=r"mask \(1,\)"):
        sampled_cross_entropy(student, ids, ids, mask=torch.ones(1, dtype=torch.bool))
    for temperature in (0.0, -1.0, math.nan):
        for call in (
            lambda T: sparse_kl(student, ids, logits, rest, temperature=T),
            lambda T: top_k(student, 2, temperature=T),
        ):
            with pytest.raises(ValueError, match="temperature"):
                call(temperature)
        with pytest.raises(ValueError, match="temperature"):
            sampled_cross_entropy(student, ids, ids, temperature=temperature)
    for k in (0, 6):
        with pytest.raises(ValueError, match=f"between 1 and the number of classes, 5, not {k}"):
            top_k(student, k)
