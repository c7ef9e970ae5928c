"""Words and sequences: plain references, shifts and padding; and what CTC has in common with them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import common, ctc_frame_kd, ctc_sequence_kd, kd, sequence_kd, word_kd
from tests.objectives.cases import EXACT, IGNORED, assert_is_reference, log_softmax, normal
from tests.objectives.sequence_cases import PRECISIONS, SCALES


def texts(seed, scale, batch=3, length=4, vocabulary=5):
    """Student and teacher (B, L, V) in float32, tokens (B, L) with -100 among them, and a mask."""
    rng = np.random.default_rng(seed)
    pair = (scale * rng.standard_normal((2, batch, length, vocabulary))).astype(np.float32)
    tokens = rng.integers(0, vocabulary, (batch, length))
    tokens[rng.random((batch, length)) < 0.3] = IGNORED
    return pair[0], pair[1], tokens, rng.random((batch, length)) < rng.choice([0.0, 0.6, 1.0])


def places(tokens, mask, shift):
    """(sequence, position of the logits, token) of all that count."""
    for b, row in enumerate(tokens.tolist()):
        for j, token in enumerate(row):
            if token != IGNORED and mask[b, j] and j - shift >= 0:
                yield b, j - shift, token


# ------------------------------------------------------------------------------------------------ words and sequences


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), SCALES, st.booleans(), st.sampled_from([0.5, 1.0, 3.0]), PRECISIONS)
def test_word_kd_is_the_reference(seed, scale, shift, temperature, dtype):
    student, teacher, tokens, mask = texts(seed, scale)
    values, size = [], 0.0
    for b, j, _ in places(tokens, mask, shift):
        log_q, log_p = (log_softmax(logits[b, j].tolist(), temperature) for logits in (student, teacher))
        values.append(temperature**2 * math.fsum(math.exp(p) * (p - q) for p, q in zip(log_p, log_q)))
        size = max(size, temperature**2 * math.fsum(math.exp(p) * (abs(p) + abs(q)) for p, q in zip(log_p, log_q)))
    value = word_kd(
        torch.tensor(student, dtype=dtype),
        torch.tensor(teacher, dtype=dtype),
        labels=torch.tensor(tokens),
        mask=torch.tensor(mask),
        temperature=temperature,
        shift=shift,
    )
    expected = math.fsum(values) / max(len(values), 1)
    assert_is_reference(value, expected, dtype, size=(1 + 4 * scale / temperature) * (size + temperature**2))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), SCALES, st.booleans(), st.sampled_from([None, 0.0, 1.0]), PRECISIONS)
def test_sequence_kd_is_the_reference(seed, scale, shift, least, dtype):
    student, _, tokens, mask = texts(seed, scale)
    weights = None if least is None else np.maximum(np.random.default_rng(seed).random(3) - 0.5, least)
    total = number = 0.0
    for b, j, token in places(tokens, mask, shift):
        weight = 1.0 if weights is None else weights[b]
        total -= weight * log_softmax(student[b, j].tolist())[token]
        number += weight
    value = sequence_kd(
        torch.tensor(student, dtype=dtype),
        torch.tensor(tokens),
        mask=torch.tensor(mask),
        weights=None if weights is None else torch.tensor(weights, dtype=dtype),
        shift=shift,
    )
    assert_is_reference(value, total / number if number else 0.0, dtype, size=4 * scale)


def test_weights_of_sequences_are_a_weighted_mean():
    student, tokens = normal(3, 4, 5, seed=1).requires_grad_(), torch.arange(12).reshape(3, 4) % 5
    plain = sequence_kd(student, tokens)
    assert torch.allclose(plain, sequence_kd(student, tokens, weights=torch.full((3,), 0.2, dtype=EXACT)))
    student.data[1] = -math.inf  # a sequence of weight 0 is not there, whatever the student makes of it
    left_out = sequence_kd(student, tokens, weights=torch.tensor([1.0, 0.0, 1.0]))
    assert torch.allclose(left_out, sequence_kd(student[[0, 2]], tokens[[0, 2]]))
    # the buggy form divides by the number of tokens: n-best weights that sum to 1 shrink the loss
    nll = F.cross_entropy(student[[0, 2]].transpose(1, 2), tokens[[0, 2]], reduction="none")
    assert not torch.allclose((torch.tensor([[0.5], [0.5]]) * nll).mean(), left_out)
    assert torch.autograd.grad(left_out, student)[0].isfinite().all()


def toy_language():
    """Two sequences; logits at position j that know token j + 1 for certain, and know better than any shift of them."""
    inputs = torch.tensor([[1, 2, 3, 4, 5], [5, 3, 2, 1, 0]])
    labels = inputs.clone()
    labels[:, 0] = IGNORED  # the prompt
    labels[1, 4] = IGNORED  # padding
    certain = 50.0 * F.one_hot(torch.cat([inputs[:, 1:], torch.zeros(2, 1, dtype=torch.int64)], 1), 6).double()
    return certain, labels


def test_bug_no_shift_or_a_double_shift():
    certain, labels = toy_language()
    ahead = torch.cat([labels[:, 1:], torch.full((2, 1), IGNORED)], 1)
    assert sequence_kd(certain, labels, shift=True) < 1e-12
    assert sequence_kd(certain, ahead) < 1e-12
    for buggy in (sequence_kd(certain, labels), sequence_kd(certain, ahead, shift=True)):
        assert buggy > 10
    # a student that equals the teacher where a token is to be said, and nowhere else
    teacher, student = normal(2, 5, 6, seed=1), normal(2, 5, 6, seed=2)
    to_say = ahead != IGNORED
    student[to_say] = teacher[to_say]
    mask = labels != IGNORED
    for where in ({"labels": labels}, {"mask": mask}, {"labels": labels, "mask": mask}):
        assert word_kd(student, teacher, shift=True, **where) == 0
        assert word_kd(student, teacher, **where) > 0.1
    assert word_kd(student, teacher, labels=ahead) == 0
    # shifted twice, the last token that is to be said goes unseen
    student[[0, 1], [3, 2]] = normal(2, 6, seed=3, scale=3)
    assert word_kd(student, teacher, labels=labels, shift=True) > 0.1
    assert word_kd(student, teacher, labels=ahead, shift=True) == 0
    # without labels every position but the last counts
    assert torch.allclose(word_kd(student, teacher, shift=True), kd(student[:, :-1], teacher[:, :-1]))


@pytest.mark.parametrize("shift", [False, True])
def test_bugs_of_length_padding_and_micro_batches(shift):
    student, teacher = normal(4, 3, 5, seed=1).requires_grad_(), normal(4, 3, 5, seed=2)
    tokens = torch.tensor([[0, 1, 2], [3, 4, IGNORED], [1, 1, IGNORED], [2, 0, 4]])
    functions = {
        "word": lambda s, t, y: word_kd(s, t, labels=y, temperature=2.0, shift=shift),
        "sequence": lambda s, t, y: sequence_kd(s, y, shift=shift),
        "weighted": lambda s, t, y: sequence_kd(s, y, weights=torch.full((len(y),), 2.0), shift=shift),
    }
    for function in functions.values():
        whole = function(student, teacher, tokens)
        garbage = torch.full((4, 6, 5), math.nan, dtype=EXACT)
        longer = [torch.cat([logits, garbage], 1) for logits in (student, teacher)]
        padded = function(*longer, torch.cat([tokens, torch.full((4, 6), IGNORED)], 1))
        assert torch.allclose(padded, whole)
        gradients = [torch.autograd.grad(value, student, retain_graph=True)[0] for value in (whole, padded)]
        torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-14)
        twice = [torch.cat([column, column]) for column in (student, teacher, tokens)]
        assert torch.allclose(function(*twice), whole)
        counts = [(tokens[part, shift:] != IGNORED).sum() for part in (slice(0, 1), slice(1, 4))]
        parts = [function(student[part], teacher[part], tokens[part]) for part in (slice(0, 1), slice(1, 4))]
        assert torch.allclose((counts[0] * parts[0] + counts[1] * parts[1]) / sum(counts), whole)
        assert not torch.allclose((parts[0] + parts[1]) / 2, whole)  # the buggy form: each by itself
        nothing = function(student, teacher, torch.full_like(tokens, IGNORED))
        assert nothing == 0
        assert (torch.autograd.grad(nothing, student)[0] == 0).all()


# ------------------------------------------------------------------------------------------------ in common


def some(dtype=EXACT):
    teacher = normal(4, 3, 5, seed=2, dtype=dtype)
    tokens = torch.tensor([[0, 1, 2], [3, 4, IGNORED], [1, 1, IGNORED], [2, 0, 4]])
    weights = torch.tensor([1.0, 0.5, 2.0, 0.0], dtype=dtype)
    return {
        "word": lambda s: word_kd(s, teacher, labels=tokens, temperature=2.0, shift=True),
        "sequence": lambda s: sequence_kd(s, tokens),
        "weighted": lambda s: sequence_kd(s, tokens, weights=weights),
        "frames": lambda s: ctc_frame_kd(s, teacher, keep_blanks=0),
        "ctc": lambda s: ctc_sequence_kd(s, tokens.clamp(min=1), torch.tensor([2, 2, 1, 1]), weights=weights),
    }


@pytest.mark.parametrize("name", list(some()))
def test_chunks_are_the_whole(name, monkeypatch):
    function, student = some()[name], normal(4, 3, 5, seed=1).requires_grad_()
    whole = function(student)
    (gradient,) = torch.autograd.grad(whole, student)
    monkeypatch.setattr(common, "WHOLE", 0)
    monkeypatch.setitem(common.CHUNK, "cpu", 10)
    again = function(student)
    torch.testing.assert_close(again, whole, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(torch.autograd.grad(again, student)[0], gradient, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", list(some()))
def test_narrow_logits_are_summed_in_float32(name):
    function, student = some(torch.float32)[name], normal(4, 3, 5, seed=1).bfloat16()
    assert function(student).dtype == torch.float32
    assert function(student) == function(student.float())


def test_no_gradient_reaches_the_teacher():
    student, teacher = normal(2, 3, 4, seed=1).requires_grad_(), normal(2, 3, 4, seed=2).requires_grad_()
    weights = torch.ones(2, requires_grad=True)
    tokens, sizes = torch.tensor([[1, 2, 3], [3, 2, 1]]), torch.tensor([2, 1])
    value = word_kd(student, teacher) + ctc_frame_kd(student, teacher, keep_blanks=1)
    value = value + sequence_kd(student, tokens, weights=weights)
    (value + ctc_sequence_kd(student, tokens, sizes, weights=weights)).backward()
    assert teacher.grad is None
    assert weights.grad is None
    assert student.grad.abs().sum() > 0


def test_what_does_not_fit_is_refused():
    student, tokens, sizes = normal(2, 3, 4), torch.ones(2, 3, dtype=torch.int64), torch.ones(2, dtype=torch.int64)
    for call, words in (
        (lambda: word_kd(student, student[:, :2]), "same shape"),
        (lambda: word_kd(student, student, labels=tokens[:, :2]), r"labels \(2, 2\)"),
        (lambda: word_kd(student, student, mask=tokens[:1] > 0), r"mask \(1, 3\)"),
        (lambda: word_kd(student[0, 0], student[0, 0]), r"\(B, L, V\)"),
        (lambda: word_kd(student, student, temperature=0), "temperature"),
        (lambda: sequence_kd(student, tokens[:, :2]), r"tokens \(2, 2\)"),
        (lambda: sequence_kd(student, tokens, weights=torch.ones(3)), r"weights \(3,\)"),
        (lambda: ctc_frame_kd(student, student[:, :2]), "same stride .* ctc_sequence_kd"),
        (lambda: ctc_frame_kd(student, student, blank=4), "blank must be one of the 4 classes"),
        (lambda: ctc_frame_kd(student, student, keep_blanks=-1), "keep_blanks"),
        (lambda: ctc_frame_kd(student, student, lengths=torch.ones(3)), r"lengths \(3,\)"),
        (lambda: ctc_frame_kd(student, student, mask=tokens[0] > 0), r"mask \(3,\)"),
        (lambda: ctc_frame_kd(student[0], student[0]), r"\(B, T, V\)"),
        (lambda: ctc_sequence_kd(student, tokens[:1], sizes[:1]), r"hypotheses \(1, 1, 3\)"),
        (lambda: ctc_sequence_kd(student, tokens, sizes[:1]), r"hypothesis_lengths \(1, 1\)"),
        (lambda: ctc_sequence_kd(student, tokens, sizes, weights=torch.ones(1)), r"weights \(1, 1\)"),
        (lambda: ctc_sequence_kd(student, tokens, sizes, mask=tokens > 0), r"mask \(2, 3\)"),
        (lambda: ctc_sequence_kd(student, tokens, sizes, blank=-1), "blank"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
