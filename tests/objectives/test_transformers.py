"""Objectives on the inside of transformers: against plain float64 references, and known bugs."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import (
    attention_kl,
    attention_mse,
    attention_scores,
    cls_mse,
    hidden_cosine,
    hidden_mse,
    relation_kl,
    relations,
)
from tests.objectives.cases import EXACT, assert_is_reference, log_softmax, normal
from tests.objectives.transformer_references import KINDS, MASK, padded

# ------------------------------------------------------------------------------------------------ the references


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values) if values else 0.0


def unit(vector):
    length = math.sqrt(math.fsum(x * x for x in vector))
    return [x / length for x in vector] if length else [0.0] * len(vector)


def squared_distance(first, second):
    return math.fsum((x - y) ** 2 for x, y in zip(first, second))


def counted_positions(mask):
    return [(b, i) for b in range(mask.shape[0]) for i in range(mask.shape[1]) if mask[b, i]]


def reference_hidden_mse(student, teacher, mask):
    return mean(squared_distance(student[b, i], teacher[b, i]) / student.shape[2] for b, i in counted_positions(mask))


def reference_hidden_cosine(student, teacher, mask):
    pairs = [(unit(student[b, i]), unit(teacher[b, i])) for b, i in counted_positions(mask)]
    # no direction: half for each vector of the two that has one
    return mean(
        1 - math.fsum(x * y for x, y in zip(s, t)) if any(s) and any(t) else (any(s) + any(t)) / 2 for s, t in pairs
    )


def reference_cls_mse(student, teacher, mask):
    first = [(unit(student[b, 0]), unit(teacher[b, 0])) for b in range(len(student)) if mask[b].any()]
    return mean(squared_distance(s, t) / len(s) for s, t in first)


def over_queries(value_of, student, teacher, mask):
    """Mean over counted queries, of the mean over heads, of a value of two rows of scores over the keys that count."""

    def of_query(b, i):
        keys = np.flatnonzero(mask[b])
        return mean(value_of(student[b, a, i, keys], teacher[b, a, i, keys]) for a in range(student.shape[1]))

    return mean(of_query(b, i) for b, i in counted_positions(mask))


def squared_gaps(student, teacher):
    student, teacher = ([0.0 if x <= -100 else x for x in row] + [row] for row in (student, teacher))
    kept = [k for k in range(len(student) - 1) if student[-1][k] > -100 or teacher[-1][k] > -100]
    return mean((student[k] - teacher[k]) ** 2 for k in kept)


def divergence(student, teacher):
    log_q, log_p = log_softmax(list(student)), log_softmax(list(teacher))
    return math.fsum(math.exp(p) * (p - q) for p, q in zip(log_p, log_q) if math.exp(p) > 0)


def scores_of(queries, keys, heads):
    batch, length, width = queries.shape
    d = width // heads
    scores = np.zeros((batch, heads, length, length))
    for b, a, i, j in np.ndindex(scores.shape):
        part = slice(a * d, (a + 1) * d)
        scores[b, a, i, j] = math.fsum(queries[b, i, part] * keys[b, j, part]) / math.sqrt(d)
    return scores


HIDDEN = {
    hidden_mse: reference_hidden_mse,
    hidden_cosine: reference_hidden_cosine,
    cls_mse: reference_cls_mse,
}


ATTENTION = {attention_mse: squared_gaps, attention_kl: divergence}


@st.composite
def masks(draw):
    """(B, L), and a generator of numbers."""
    batch, length = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.random((batch, length)) < draw(st.sampled_from([0.0, 0.6, 1.0])), rng


@pytest.mark.parametrize("function", HIDDEN, ids=lambda f: f.__name__)
@settings(max_examples=60, deadline=None)
@given(
    case=masks(),
    width=st.integers(1, 5),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e3]),
    dtype=st.sampled_from([torch.float32, EXACT]),
)
def test_hidden_states_are_the_reference(function, case, width, scale, dtype):
    mask, rng = case
    pair = (scale * rng.standard_normal((2, *mask.shape, width))).astype(np.float32)
    value = function(*torch.tensor(pair, dtype=dtype), mask=torch.tensor(mask))
    student, teacher = pair.astype(np.float64)
    size = float(np.abs(pair).max() ** 2) if function is hidden_mse else 1.0
    assert_is_reference(value, HIDDEN[function](student, teacher, mask), dtype, size=size)


@pytest.mark.parametrize("function", ATTENTION, ids=lambda f: f.__name__)
@settings(max_examples=60, deadline=None)
@given(
    case=masks(),
    heads=st.integers(1, 3),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 20.0]),
    sentinel=st.sampled_from([None, -math.inf, float(torch.finfo(torch.float32).min), -1e4]),
    dtype=st.sampled_from([torch.float32, EXACT]),
)
def test_attention_is_the_reference(function, case, heads, scale, sentinel, dtype):
    mask, rng = case
    batch, length = mask.shape
    pair = (scale * rng.standard_normal((2, batch, heads, length, length))).astype(np.float32)
    pair = pair.clip(-90, 90)
    size = float(np.abs(pair).max() ** 2)
    if sentinel is not None:  # a decoder: later tokens are ruled out
        pair[..., ~np.tri(length, dtype=bool)] = sentinel
    value = function(*torch.tensor(pair, dtype=dtype), mask=torch.tensor(mask))
    expected = over_queries(ATTENTION[function], *pair.astype(np.float64), mask)
    assert_is_reference(value, expected, dtype, size=4 * size)


@settings(max_examples=80, deadline=None)
@given(
    case=masks(),
    heads=st.integers(1, 3),
    widths=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 3.0]),
    crossed=st.booleans(),
    dtype=st.sampled_from([torch.float32, EXACT]),
)
def test_relations_are_the_reference(case, heads, widths, scale, crossed, dtype):
    mask, rng = case
    student, teacher = (
        (scale * rng.standard_normal((2, *mask.shape, heads * width))).astype(np.float32) for width in widths
    )
    tensors = [torch.tensor(x, dtype=dtype) for x in (*student, *teacher)]
    keys = {"student_keys_BLH": tensors[1], "teacher_keys_BLH": tensors[3]} if crossed else {}
    value = relation_kl(tensors[0], tensors[2], heads=heads, mask=torch.tensor(mask), **keys)
    scores = [scores_of(x[0], x[int(crossed)], heads) for x in (student.astype(np.float64), teacher.astype(np.float64))]
    expected = over_queries(divergence, *scores, mask)
    assert_is_reference(value, expected, dtype, size=max(np.abs(s).max() for s in scores) ** 2)


def test_vectors_of_any_length_have_a_direction():
    student, teacher = normal(1, 4, 5, seed=1, dtype=torch.float32), normal(1, 4, 5, seed=2, dtype=torch.float32)
    for function in (hidden_cosine, cls_mse):
        plain = function(student, teacher)
        for scale in (1e-30, 1e30):
            scaled = (scale * student).requires_grad_()
            value = function(scaled, 3e20 * teacher)
            torch.testing.assert_close(value, plain, rtol=1e-5, atol=0)
            assert torch.autograd.grad(value, scaled)[0].isfinite().all()
        zero = torch.zeros_like(student, requires_grad=True)
        assert function(zero, zero) == 0
        assert torch.autograd.grad(function(zero, teacher), zero)[0].isfinite().all()


def test_a_cls_state_is_that_of_position_0_on_whichever_side_a_text_is_padded():
    student, teacher = normal(3, 2, 5, seed=1), normal(3, 2, 5, seed=2)
    right, left = (torch.tensor([row, [False, False], [True, True]]) for row in ([True, False], [False, True]))
    for mask in (right, left):
        assert cls_mse(student, teacher, mask=mask) == cls_mse(student[[0, 2]], teacher[[0, 2]])


DIVERGENCES = ["attention_kl", "relation_kl"]


# ------------------------------------------------------------------------------------------------ bugs of others


def test_bug_1_and_2_reduction():
    """The mean over (B, A, L, L) divides by the keys too; the sum over the batch alone grows with L."""
    student, teacher = KINDS["attention_kl"].tensors(4, 3)
    right = attention_kl(student, teacher)
    log_q, p = student.log_softmax(-1), teacher.softmax(-1)
    with pytest.warns(UserWarning, match="batchmean"):
        torch.testing.assert_close(F.kl_div(log_q, p, reduction="mean") * 3, right)
    torch.testing.assert_close(F.kl_div(log_q, p, reduction="batchmean") / (2 * 3), right)


def test_bug_5_and_6_order_and_entropy():
    for name in DIVERGENCES:
        student = KINDS[name].tensors(4, 3)[0]
        other = student.roll(1, 0)
        function = KINDS[name].function
        assert abs(function(student, other) - function(other, student)) > 1e-3
    student, teacher = KINDS["attention_kl"].tensors(4, 3)
    cross = -(teacher.softmax(-1) * student.log_softmax(-1)).sum(-1)
    entropy = -(teacher.softmax(-1) * teacher.log_softmax(-1)).sum(-1)
    torch.testing.assert_close((cross - entropy).mean(), attention_kl(student, teacher))
    assert entropy.mean() > 0.1  # what a cross-entropy would show where student equals teacher


def test_bug_14_tinybert_divides_by_padding():
    """Scores set to 0 at padding, then the mean over all entries: half as large at 1.4 times the length."""

    def buggy(student, teacher, mask):
        student, teacher = (x.masked_fill(~mask[:, None, None, :], -1e4) for x in (student, teacher))
        student, teacher = (torch.where(x <= -1e2, torch.zeros_like(x), x) for x in (student, teacher))
        return F.mse_loss(student, teacher)

    tensors = KINDS["attention_mse"].tensors(2, 3)
    short = torch.ones(2, 3, dtype=torch.bool)
    torch.testing.assert_close(attention_mse(*tensors, mask=short), buggy(*tensors, short))
    longer = [padded(x, 2, 0.3) for x in tensors], F.pad(short, (0, 2))
    torch.testing.assert_close(attention_mse(*longer[0], mask=longer[1]), buggy(*tensors, short))
    assert buggy(*longer[0], longer[1]) < 0.5 * buggy(*tensors, short)


def test_bug_14_padding_as_a_key():
    """A softmax over all keys gives padding a share, and the value depends on what stands there."""

    def buggy(student, teacher, mask):
        log_q, log_p = (attention_scores(x, x, 2).log_softmax(-1) for x in (student, teacher))
        return ((log_p.exp() * (log_p - log_q)).sum(-1).mean(1))[mask].mean()

    student, teacher = KINDS["relation_kl"].tensors(4, 3)
    other = student.masked_fill(~MASK[..., None], 2.0)
    assert abs(buggy(student, teacher, MASK) - buggy(other, teacher, MASK)) > 1e-2
    assert relation_kl(student, teacher, heads=2, mask=MASK) == relation_kl(other, teacher, heads=2, mask=MASK)


def test_bug_16_minus_infinity():
    student, teacher = KINDS["attention_kl"].tensors(4, 3)
    later = torch.ones(3, 3).triu(1).bool()
    student, teacher = (x.masked_fill(later, -math.inf) for x in (student, teacher))
    log_q, log_p = student.log_softmax(-1), teacher.log_softmax(-1)
    assert (log_p.exp() * (log_p - log_q)).sum().isnan()  # the formula as it stands
    assert F.mse_loss(student, teacher).isnan()
    for function in (attention_kl, attention_mse):
        leaf = student.clone().requires_grad_()
        value = function(leaf, teacher, mask=MASK)
        value.backward()
        assert value.isfinite()
        assert value > 0
        assert leaf.grad.isfinite().all()
        assert (leaf.grad[..., later] == 0).all()
    # a key that the teacher attends to and the student rules out
    assert attention_kl(student, teacher.masked_fill(later, 0.0)) == math.inf


def test_low_scores_are_kept_where_no_mask_was_added():
    student, teacher = -200 + KINDS["attention_mse"].tensors(4, 3)[0], KINDS["attention_mse"].tensors(4, 3)[1]
    torch.testing.assert_close(
        attention_mse(student, teacher, ruled_out=-math.inf), (student - teacher).square().mean()
    )
    assert attention_mse(student, teacher) < 10


# ------------------------------------------------------------------------------------------------ bad input


X, SCORES = normal(2, 3, 6), normal(2, 2, 3, 3)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: hidden_mse(X, X[:, :2]), "the same tokens"),
        (lambda: hidden_cosine(X, X[..., :4]), "6 wide in the student and 4 in the teacher.*HiddenStates"),
        (lambda: cls_mse(X[:, 0], X[:, 0]), r"must both be \(batch, positions, width\)"),
        (lambda: hidden_mse(X, X, mask=torch.ones(2, 4).bool()), r"the mask \(2, 4\) must be .* \(2, 3\)"),
        (lambda: hidden_mse(X, X, mask=torch.ones(2, 3)), r"must be bool.*mask.bool\(\)"),
        (lambda: relations(X, 4), "a width of 6 cannot be cut into 4 heads"),
        (lambda: relations(X, 0), "into 0 heads"),
        (lambda: relation_kl(X, normal(2, 3, 8), heads=3), "a width of 8 cannot be cut into 3 heads"),
        (lambda: relation_kl(X, X[:, :2], heads=2), "the same tokens"),
        (lambda: relation_kl(X, X, heads=2, student_keys_BLH=X), "for both"),
        (lambda: attention_scores(X, X[..., :2], 2), "as many heads for keys as for queries"),
        (lambda: attention_kl(SCORES, SCORES[:, :1]), "2 heads, the teacher 1: use relation_kl"),
        (lambda: attention_mse(SCORES, SCORES[:, :, :2, :2]), "the same tokens"),
        (lambda: attention_mse(X, X), "must be .batch, heads, positions, positions"),
        (lambda: attention_kl(SCORES, SCORES, mask=torch.ones(2, 2).bool()), "the mask"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()
