"""Answers of several labels: against plain float64 arithmetic, and what must hold of them; functions and modules."""

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.interfaces import Batch, DenseLogits, Output, Target
from limbeck.objectives import modules
from limbeck.objectives.catalogue.entry import NUMBERS, ONE_CLASS, YES_OR_NO
from limbeck.objectives.functional import (
    binary_cross_entropy,
    binary_cross_entropy_positions,
    binary_kd,
    binary_kd_positions,
    forward_kl,
    kd,
)
from limbeck.objectives.modules import KD, BinaryCrossEntropy, BinaryKD, CrossEntropy
from limbeck.pipeline.objective import misfit_with_labels, objective_of
from limbeck.sections.objective import Objective
from tests.objectives.cases import EXACT, IGNORED, RELATIVE, normal


def log_sigmoid(x):
    """log of a sigmoid, in plain float64."""
    if x == -math.inf:
        return -math.inf
    return -math.log1p(math.exp(-x)) if x >= 0 else x - math.log1p(math.exp(x))


def times(weight, log):
    return 0.0 if weight == 0 else weight * log


def reference_kd(student, teacher, temperature):
    """One example's value: KL of two distributions of two, class by class, times T²."""
    parts = []
    for s, t in zip(student, teacher):
        for sign in (1, -1):
            log_p, log_q = log_sigmoid(sign * t / temperature), log_sigmoid(sign * s / temperature)
            p = math.exp(log_p)
            parts.append(0.0 if p == 0 else p * (log_p - log_q))
    return temperature**2 * math.fsum(parts)


def reference_cross_entropy(student, labels, smoothing):
    parts = [0.0]
    for s, y in zip(student, labels):
        if y != IGNORED:
            y = (1 - smoothing) * y + smoothing / 2
            parts += [times(y, log_sigmoid(s)), times(1 - y, log_sigmoid(-s))]
    return -math.fsum(parts)


def mean(values):
    return math.fsum(values) / len(values) if values else 0.0


@st.composite
def cases(draw):
    """student, teacher (N, C), labels (N, C) with -100 here and there and in whole rows, mask (N,)."""
    rows, classes = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    scale = draw(st.sampled_from([0.0, 1e-3, 1.0, 30.0, 1e4]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    student, teacher = (scale * rng.standard_normal((2, rows, classes))).astype(np.float32)
    out = rng.random((rows, classes)) < draw(st.sampled_from([0.0, 0.3]))
    teacher[out] = rng.choice([-np.inf, np.inf], (rows, classes))[out]
    if draw(st.booleans()):
        student[out] = teacher[out]  # both are certain of the same
    labels = (rng.random((rows, classes)) < 0.5).astype(np.float32)
    labels[rng.random((rows, classes)) < draw(st.sampled_from([0.0, 0.3]))] = IGNORED
    labels[rng.random(rows) < draw(st.sampled_from([0.0, 0.5]))] = IGNORED
    mask = rng.random(rows) < draw(st.sampled_from([0.0, 0.6, 1.0]))
    return student, teacher, labels, mask


kinds = st.sampled_from([torch.float32, EXACT])


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from([0.5, 1.0, 3.7, 20.0]), kinds)
def test_binary_kd_is_the_reference(case, temperature, dtype):
    student, teacher, labels, mask = case
    counts = mask & (labels != IGNORED).any(1)
    value = binary_kd(
        torch.tensor(student, dtype=dtype),
        torch.tensor(teacher, dtype=dtype),
        labels=torch.tensor(labels),
        mask=torch.tensor(mask),
        temperature=temperature,
    )
    rows = [(s, t) for s, t, counted in zip(student.tolist(), teacher.tolist(), counts) if counted]
    expected = mean([reference_kd(s, t, temperature) for s, t in rows])
    largest = max(float(np.abs(x[np.isfinite(x)]).max(initial=0)) for x in (student, teacher)) / temperature
    assert value.dtype == dtype
    assert value >= -1e-6
    tolerance = RELATIVE[dtype] * (1 + largest) * temperature**2 * student.shape[1]
    assert value.item() == pytest.approx(expected, rel=2 * RELATIVE[dtype], abs=tolerance)


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from([0.0, 0.1]), kinds)
def test_binary_cross_entropy_is_the_reference(case, smoothing, dtype):
    student, _, labels, mask = case
    student = np.nan_to_num(student, posinf=40.0, neginf=-40.0)
    counts = mask & (labels != IGNORED).any(1)
    value = binary_cross_entropy(
        torch.tensor(student, dtype=dtype),
        labels=torch.tensor(labels),
        mask=torch.tensor(mask),
        label_smoothing=smoothing,
    )
    rows = [(s, y) for s, y, counted in zip(student.tolist(), labels.tolist(), counts) if counted]
    expected = mean([reference_cross_entropy(s, y, smoothing) for s, y in rows])
    assert value.dtype == dtype
    assert value.item() == pytest.approx(expected, rel=3 * RELATIVE[dtype], abs=RELATIVE[dtype])
    if not smoothing and counts.all() and (labels != IGNORED).all():  # torch's is the mean over classes
        theirs = F.binary_cross_entropy_with_logits(torch.tensor(student, dtype=dtype), torch.tensor(labels).to(dtype))
        torch.testing.assert_close(value, theirs * labels.shape[1])


@settings(max_examples=100, deadline=None)
@given(cases(), st.sampled_from([0.5, 1.0, 8.0]), kinds)
def test_it_is_zero_where_both_say_the_same_and_the_slopes_are_finite(case, temperature, dtype):
    student, teacher, labels, _ = (torch.tensor(array) for array in case)
    student, teacher = student.to(dtype), teacher.to(dtype)
    same = teacher.clone().requires_grad_()
    value = binary_kd(same, teacher, temperature=temperature)
    assert value == 0
    assert (torch.autograd.grad(value, same)[0] == 0).all()
    for function in (lambda s: binary_kd(s, teacher), lambda s: binary_cross_entropy(s, labels=labels)):
        apart = student.clone().requires_grad_()
        assert torch.autograd.grad(function(apart), apart)[0].isfinite().all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 10))
def test_one_class_is_kd_of_two(seed, temperature):
    """A yes or no with logit x is a softmax over (x, 0)."""
    student, teacher = 3 * torch.tensor(np.random.default_rng(seed).standard_normal((2, 5, 1)))
    two = [F.pad(logits, (0, 1)) for logits in (student, teacher)]
    torch.testing.assert_close(
        binary_kd(student, teacher, temperature=temperature), kd(*two, temperature=temperature), rtol=1e-9, atol=1e-12
    )


def test_gradcheck_and_second_derivatives():
    student, teacher = normal(3, 4, seed=1, scale=2).requires_grad_(), normal(3, 4, seed=2, scale=2)
    labels = (teacher > 0).double()
    labels[0, 1] = labels[2] = IGNORED
    for function in (
        lambda s: binary_kd(s, teacher, mask=torch.tensor([True, False, True]), temperature=2.5),
        lambda s: binary_cross_entropy(s, labels=labels, label_smoothing=0.1),
    ):
        assert torch.autograd.gradcheck(function, (student,))
        assert torch.autograd.gradgradcheck(function, (student,))
    teacher.requires_grad_()
    assert torch.autograd.grad(binary_kd(student, teacher), teacher, allow_unused=True)[0] is None


def test_known_bugs():
    student, teacher = normal(6, 4, seed=1, scale=2), normal(6, 4, seed=2, scale=2)
    # 1: classes that nobody doubts change nothing, so it is no mean over classes
    certain = torch.full((6, 3), -torch.inf, dtype=EXACT)
    more = [torch.cat([logits, certain], 1) for logits in (student, teacher)]
    torch.testing.assert_close(binary_kd(*more), binary_kd(student, teacher))
    # 4: T² holds the slope's scale
    sizes = []
    for temperature in (1.0, 2.0, 4.0, 8.0):
        near = (teacher / 10).clone().requires_grad_()
        value = binary_kd(near, teacher / 10 + 0.05, temperature=temperature)
        sizes.append(torch.autograd.grad(value, near)[0].norm())
    assert max(sizes) / min(sizes) < 1.01
    # 5: arguments swapped
    assert abs(binary_kd(student, teacher) - binary_kd(teacher, student)) > 1e-2
    # a softmax's KL is another number, and a constant added to a row counts here
    assert abs(binary_kd(student, teacher) - forward_kl(student, teacher)) > 1e-2
    assert abs(binary_kd(student, teacher + 3) - binary_kd(student, teacher)) > 1e-2
    # 14: no position that counts
    for nothing in (
        binary_kd(student.requires_grad_(), teacher, mask=torch.zeros(6, dtype=torch.bool)),
        binary_cross_entropy(student, labels=torch.full((6, 4), float(IGNORED))),
    ):
        assert nothing == 0
        assert (torch.autograd.grad(nothing, student)[0] == 0).all()
    # 11: narrow numbers
    assert binary_kd(student.bfloat16(), teacher.bfloat16()).dtype == torch.float32
    for positions in (
        binary_kd_positions(student, teacher),
        binary_cross_entropy_positions(student, teacher.sigmoid()),
    ):
        assert positions.shape == (6,)


def batch(labels):
    return Batch(ids=torch.arange(len(labels)), view=torch.zeros(len(labels)), inputs=None, labels=labels)


def test_modules_count_whom_they_can():
    """Texts of a transfer set carry -100 everywhere: the teacher's answer counts, the labels do not; and the sums add up."""
    student, teacher = normal(5, 3, seed=1), normal(5, 3, seed=2)
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0], [IGNORED] * 3, [1, IGNORED, 0], [IGNORED] * 3])
    objective = objective_of(Objective.model_validate({"binary_kd": {"temperature": 2}, "binary_cross_entropy": {}}))
    terms = objective(Output(logits=student), Target((DenseLogits(teacher),)), batch(labels))
    counts = objective.counts(batch(labels))
    assert {name: int(count) for name, count in counts.items()} == {"binary_kd": 5, "binary_cross_entropy": 3}
    for name, mean_value in (
        ("binary_kd", binary_kd(student, teacher, temperature=2)),
        ("binary_cross_entropy", binary_cross_entropy(student, labels=labels)),
    ):
        assert terms[name].count == counts[name]
        torch.testing.assert_close(terms[name].total / terms[name].count, mean_value)
    halves = [
        objective(Output(logits=student[part]), Target((DenseLogits(teacher[part]),)), batch(labels[part]))
        for part in (slice(0, 1), slice(1, 5))
    ]
    for name, term in terms.items():
        torch.testing.assert_close(sum(half[name].total for half in halves), term.total)
    # no label of an example at all is an answer, and not an example without one
    alone = BinaryCrossEntropy()(Output(logits=student[1:2]), Target(), batch(labels[1:2]))["binary_cross_entropy"]
    assert (alone.count, alone.total) == (1, pytest.approx(F.softplus(student[1]).sum().item()))
    with pytest.raises(ValueError, match=r"a 0 or 1 for each class; .* use cross_entropy"):
        BinaryCrossEntropy()(Output(logits=student), Target(), batch(torch.arange(5) % 3))


@pytest.mark.parametrize(
    ("objective", "reads", "said"),
    [
        (0.9 * KD() + CrossEntropy(), ONE_CLASS, None),
        (BinaryKD() + BinaryCrossEntropy(), YES_OR_NO, None),
        (KD() + CrossEntropy(), YES_OR_NO,
         "objective: kd and cross_entropy read an answer as one class of several, and here an example may have several "
         "labels, each a yes or no of its own: take binary_kd and binary_cross_entropy instead."),
        (modules.DKD() + BinaryCrossEntropy(), YES_OR_NO, "dkd reads an answer .* take binary_kd instead"),
        (BinaryCrossEntropy() + modules.PKD(), ONE_CLASS, "binary_cross_entropy reads .*has one label: take cross_entropy inst"),
        (modules.MSEValues() + KD() + modules.MSE(), YES_OR_NO,
         "objective: mse_values and mse read an answer as numbers, kd reads an answer as one class of several, and here an "
         "example may have several labels, each a yes or no of its own: take binary_kd and binary_cross_entropy instead."),
        (KD() + CrossEntropy() + modules.Huber(), NUMBERS,
         "objective: kd and cross_entropy read an answer as one class of several, and here an example has numbers for a "
         "label: take mse_values and mse instead."),
        (modules.BoundedRegression() + modules.PKD(), NUMBERS, None),
        (modules.TinyBERT() + modules.RKD("a", "b"), YES_OR_NO, None),
        (modules.TinyBERT() + modules.RKD("a", "b"), ONE_CLASS, None),
    ],
)  # fmt: skip
def test_objectives_and_labels_that_do_not_fit(objective, reads, said):
    sentence = misfit_with_labels(objective, reads)
    if said is None:
        assert sentence is None
    else:
        assert sentence is not None
        assert sentence == said or re.search(said, sentence)


def test_rounding_does_not_make_a_divergence_negative():
    student, teacher = torch.tensor([[0.00018905, -0.00052275]]), torch.tensor([[-0.00041306, -0.00244147]])
    assert 0 <= binary_kd(student, teacher, temperature=20.0) < 1e-4
