"""Several teachers made into one: plain references, and what one, equal or reordered teachers must give."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import (
    by_confidence,
    confidence_weights,
    kd,
    kd_positions,
    mean_logits,
    mean_probabilities,
)
from tests.objectives.cases import EXACT, IGNORED, RELATIVE, log_softmax, normal, softmax

TEMPERATURES = [0.5, 1.0, 4.0]


# ------------------------------------------------------------------------------------------------ the references


def reference_mean(rows, weights, temperature):
    """Probabilities: the weighted mean of the teachers' at the temperature, weights summing up to 1."""
    probabilities = [softmax(row, temperature) for row in rows]
    return [math.fsum(w * p[c] for w, p in zip(weights, probabilities)) for c in range(len(rows[0]))]


def reference_geometric(rows, weights, temperature):
    """Probabilities at the temperature of the weighted mean of logits."""
    kept = [(weight, row) for weight, row in zip(weights, rows) if weight > 0]
    return softmax([sum(w * row[c] for w, row in kept) for c in range(len(rows[0]))], temperature)


def reference_weights(rows, label):
    """CA-MKD; label None: by entropy."""
    doubts = []
    for row in rows:
        logs = log_softmax(row)
        entropy = -math.fsum(math.exp(log) * log for log in logs if log > -math.inf)
        doubts.append(entropy if label is None else -logs[label])
    if len(rows) == 1:
        return [1.0]
    shares = [math.exp(doubt - max(doubts)) for doubt in doubts]
    return [(1 - share / math.fsum(shares)) / (len(rows) - 1) for share in shares]


def some_teachers(seed, number=3, examples=4, classes=5, scale=2.0, ruled_out=False, dtype=EXACT):
    """(K, N, C); every class but the first may be ruled out."""
    logits = normal(number, examples, classes, seed=seed, scale=scale, dtype=torch.float32).to(dtype)
    if ruled_out:
        logits[..., 1:][normal(number, examples, classes - 1, seed=seed + 1) > 0.8] = -math.inf
    return logits


def weights_of(kind, number, examples, seed):
    """As given, and as (K, N) that sum up to 1 over K."""
    if kind is None:
        return None, torch.full((number, examples), 1 / number, dtype=EXACT)
    if kind == "teacher":
        given_ = [3.0, *[0.5] * (number - 1)]
        return given_, (torch.tensor(given_, dtype=EXACT) / sum(given_))[:, None].expand(number, examples)
    given_ = normal(number, examples, seed=seed).exp()
    given_[-1, 0] = 0.0 if number > 1 else 1.0
    return given_, given_ / given_.sum(0)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.sampled_from([None, "teacher", "example"]),
    st.sampled_from(TEMPERATURES),
    st.sampled_from([1e-3, 1.0, 30.0, 1e3]),
    st.booleans(),
    st.sampled_from([torch.float32, EXACT]),
)
def test_the_means_are_the_references(seed, number, kind, temperature, scale, ruled_out, dtype):
    teachers = some_teachers(seed, number, scale=scale, ruled_out=ruled_out, dtype=dtype)
    weights, shares = weights_of(kind, number, 4, seed)
    results = {
        reference_mean: mean_probabilities(teachers, weights=weights, temperature=temperature),
        reference_geometric: mean_logits(list(teachers), weights=weights),
    }
    largest = teachers[teachers.isfinite()].abs().max().item() / temperature
    for reference, logits in results.items():
        assert logits.dtype == dtype
        probabilities = (logits / temperature).softmax(1)
        for n in range(4):
            expected = reference(teachers[:, n].tolist(), shares[:, n].tolist(), temperature)
            # a logit is rounded by its own size, and that error is in the exponent
            tolerance = 4 * RELATIVE[dtype] * (1 + largest)
            assert probabilities[n].tolist() == pytest.approx(expected, rel=tolerance, abs=1e-37)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.sampled_from([1e-3, 1.0, 30.0]),
    st.sampled_from([torch.float32, EXACT]),
)
def test_the_weights_by_confidence_are_the_reference(seed, number, scale, dtype):
    teachers = some_teachers(seed, number, scale=scale, dtype=dtype)
    labels = torch.tensor([0, 4, IGNORED, 2])
    shares = torch.zeros(4, 5, dtype=EXACT)
    for n in (0, 1, 3):
        shares[n, labels[n]] = 1
    for given_, known in ((labels, labels.tolist()), (shares, labels.tolist()), (None, [IGNORED] * 4)):
        weights = confidence_weights(teachers, given_)
        assert weights.dtype == dtype
        for n, label in enumerate(known):
            expected = reference_weights(teachers[:, n].tolist(), None if label == IGNORED else label)
            assert weights[:, n].tolist() == pytest.approx(expected, abs=RELATIVE[dtype] * (1 + 4 * scale))
        combined = by_confidence(teachers, given_, temperature=2.0)
        torch.testing.assert_close(combined, mean_probabilities(teachers, weights=weights, temperature=2.0))
    torch.testing.assert_close(confidence_weights(teachers, labels).sum(0), torch.ones(4, dtype=dtype))


# ------------------------------------------------------------------------------------------------ identities

COMBINATIONS = {
    "mean of probabilities": lambda teachers, T: mean_probabilities(teachers, temperature=T),
    "mean of logits": lambda teachers, _: mean_logits(teachers),
    "weighted": lambda teachers, T: mean_probabilities(teachers, weights=[0.5] * len(teachers), temperature=T),
    "by confidence": lambda teachers, T: by_confidence(teachers, torch.tensor([0, 1, IGNORED, 4]), temperature=T),
    "by entropy": lambda teachers, T: by_confidence(teachers, temperature=T),
}


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", list(COMBINATIONS))
def test_one_equal_and_reordered_teachers(name, temperature):
    def combined(teachers):
        return (COMBINATIONS[name](teachers, temperature) / temperature).softmax(1)

    teachers = some_teachers(7)
    teachers[:, 3, 2] = -math.inf  # ruled out by all
    alone = (teachers[0] / temperature).softmax(1)
    torch.testing.assert_close(combined(teachers[:1]), alone, rtol=1e-13, atol=0)
    torch.testing.assert_close(combined(teachers[:1].expand(4, 4, 5)), alone, rtol=1e-13, atol=0)
    whole = combined(teachers)
    assert (whole[3, 2] == 0).all()
    torch.testing.assert_close(combined(teachers[[2, 0, 1]]), whole, rtol=1e-13, atol=0)
    torch.testing.assert_close(combined([*teachers]), whole, rtol=0, atol=0)
    torch.testing.assert_close(combined(teachers + normal(3, 4, 1, seed=5)), whole, rtol=1e-12, atol=0)
    assert not torch.allclose(whole, alone, atol=0.01)


def test_the_mean_is_taken_at_the_temperature_of_the_objective():
    """The divergence from the mean has the gradient of the mean of the divergences; the buggy form averages at T = 1."""
    teachers, student = some_teachers(3), normal(4, 5, seed=9).requires_grad_()

    def gradient(loss):
        return torch.autograd.grad(loss, student)[0]

    each = gradient(sum(kd(student, teacher, temperature=4.0) for teacher in teachers) / 3)
    torch.testing.assert_close(
        gradient(kd(student, mean_probabilities(teachers, temperature=4.0), temperature=4.0)), each
    )
    assert not torch.allclose(gradient(kd(student, mean_probabilities(teachers), temperature=4.0)), each, rtol=0.02)
    at_one = mean_probabilities(teachers)
    torch.testing.assert_close(at_one.exp().sum(1), torch.ones(4, dtype=EXACT))  # log-probabilities as they are
    weights = confidence_weights(teachers, torch.arange(4))
    each = gradient((weights * torch.stack([kd_positions(student, teacher) for teacher in teachers])).sum(0).mean())
    torch.testing.assert_close(gradient(kd(student, by_confidence(teachers, torch.arange(4)))), each)


def test_the_sure_and_right_teacher_is_listened_to():
    right, unsure, wrong = torch.tensor([[8.0, 0, 0]]), torch.zeros(1, 3), torch.tensor([[0.0, 8.0, 0]])
    by_label = confidence_weights([right, unsure, wrong], torch.tensor([0]))[:, 0]
    assert by_label[0] > by_label[1] > by_label[2]
    by_entropy = confidence_weights([right, unsure, wrong])[:, 0]
    assert by_entropy[0] == by_entropy[2] > by_entropy[1]
    impossible = torch.tensor([[-math.inf, 1.0, 1.0]])
    weights = confidence_weights([right, unsure, impossible], torch.tensor([0]))[:, 0]
    assert weights.tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert confidence_weights([impossible, impossible], torch.tensor([0])).flatten().tolist() == [0.5, 0.5]


def test_who_rules_out_what():
    first, second = torch.tensor([[0.0, -math.inf, -math.inf]]), torch.tensor([[0.0, 0.0, -math.inf]])
    either = mean_probabilities([first, second]).exp()
    assert either[0].tolist() == pytest.approx([0.75, 0.25, 0.0])
    assert mean_logits([first, second]).tolist() == [[0.0, -math.inf, -math.inf]]
    spoilt = torch.full((1, 3), math.nan)
    for combine in (mean_logits, mean_probabilities):  # a weight of 0 leaves a teacher out, whatever it says
        left_out = combine([first, spoilt, second], weights=[0.0, 0.0, 2.0])
        torch.testing.assert_close(left_out.softmax(1), second.softmax(1))


def test_bug_a_mean_of_probabilities_that_are_too_small_for_a_float():
    teachers = torch.tensor([[[0.0, -200.0]], [[0.0, -210.0]]])
    log_rare = math.log((math.exp(-200) + math.exp(-210)) / 2)
    assert mean_probabilities(teachers)[0, 1].item() == pytest.approx(log_rare, rel=1e-6)
    assert teachers.softmax(2).mean(0).log()[0, 1] == -math.inf  # the buggy form


def test_no_gradient_reaches_a_teacher_and_narrow_logits_are_summed_in_float32():
    teachers = some_teachers(1, dtype=torch.bfloat16).requires_grad_()
    for combine in COMBINATIONS.values():
        combined = combine(teachers, 2.0)
        assert not combined.requires_grad
        assert combined.dtype == torch.float32
        assert torch.equal(combined, combine(teachers.float(), 2.0))
    assert mean_logits([teachers[0].float(), teachers[1].double()]).dtype == EXACT


def test_mutual_learning_is_kd_both_ways():
    """Zhang et al. 2018: each loss moves one student, though both are in both."""
    first, second, third = (normal(4, 5, seed=seed).requires_grad_() for seed in (1, 2, 3))
    both = torch.autograd.grad(kd(first, second) + kd(second, first), (first, second))
    p, q = first.detach().softmax(1), second.detach().softmax(1)
    torch.testing.assert_close(both[0], (p - q) / 4)
    torch.testing.assert_close(both[1], (q - p) / 4)
    # the buggy form lets the gradient into the teacher
    undetached = (q * (q.log() - first.log_softmax(1))).sum(1).mean()
    leaking = second.log_softmax(1)
    undetached = undetached + (leaking.exp() * (leaking - first.log_softmax(1))).sum(1).mean()
    assert torch.autograd.grad(undetached, second)[0].abs().sum() > 0.01
    # three: the mean of the divergences from the two others
    ours = torch.autograd.grad(kd(first, mean_probabilities([second, third])), first)[0]
    theirs = torch.autograd.grad((kd(first, second) + kd(first, third)) / 2, first)[0]
    torch.testing.assert_close(ours, theirs)


def test_what_does_not_fit_is_refused():
    teachers = some_teachers(1)
    for call, words in (
        (lambda: mean_logits([]), "no teacher"),
        (lambda: mean_probabilities([teachers[0], teachers[1][:, :4]]), r"same shape, not \(4, 5\), \(4, 4\)"),
        (lambda: mean_probabilities(teachers, temperature=0.0), "temperature"),
        (lambda: mean_logits(teachers, weights=[1.0, 2.0]), r"weights \(2,\) .* \(3,\)"),
        (lambda: mean_logits(teachers, weights=torch.ones(4, 3)), r"weights \(4, 3\)"),
        (lambda: mean_logits(teachers, weights=[1.0, -1.0, 1.0]), "negative"),
        (lambda: mean_logits(teachers, weights=[0.0, 0.0, 0.0]), "nor all 0"),
        (lambda: by_confidence(teachers, torch.zeros(3, dtype=torch.int64)), "labels"),
        (lambda: mean_logits(torch.ones(3)), r"\(K, ..., C\)"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
