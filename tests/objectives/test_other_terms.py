"""Universal logit distillation and policies; what policy_kl shares with the divergences is in test_divergences.py."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import (
    common,
    expected_regret,
    expected_regret_positions,
    forward_kl,
    kd,
    policy_kl,
    policy_kl_positions,
    total_variation,
    uld,
    uld_positions,
)
from tests.objectives.cases import EXACT, IGNORED, assert_is_reference, normal, softmax
from tests.objectives.divergence_references import slope

# ------------------------------------------------------------------------------------------------ uld


def reference_uld(student, teacher, temperature):
    q, p = (sorted(softmax(row, temperature), reverse=True) for row in (student, teacher))
    length = max(len(p), len(q))
    return math.fsum(abs(a - b) for a, b in zip(p + [0.0] * (length - len(p)), q + [0.0] * (length - len(q))))


@st.composite
def two_vocabularies(draw):
    """Student (N, V1), teacher (N, V2), mask (N,), labels (N,)."""
    positions, scale = draw(st.integers(1, 5)), draw(st.sampled_from([0.0, 1e-2, 1.0, 30.0, 1e3]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows = []
    for _ in range(2):
        logits = scale * rng.standard_normal((positions, draw(st.integers(1, 8))))
        out = rng.random(logits.shape) < draw(st.sampled_from([0.0, 0.4, 1.0]))
        out[np.arange(positions), rng.integers(0, logits.shape[1], positions)] = False
        rows.append(np.where(out, -np.inf, logits).astype(np.float32))
    mask = rng.random(positions) < draw(st.sampled_from([0.5, 1.0]))
    labels = np.where(rng.random(positions) < draw(st.sampled_from([0.0, 0.4])), IGNORED, 0)
    return *rows, mask, labels


@settings(max_examples=100, deadline=None)
@given(two_vocabularies(), st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from([torch.float32, EXACT]))
def test_uld_is_the_reference_with_a_finite_gradient(case, temperature, dtype):
    student, teacher, mask, labels = case
    logits = torch.tensor(student, dtype=dtype).requires_grad_()
    counts = {"mask": torch.tensor(mask), "labels": torch.tensor(labels)}
    value = uld(logits, torch.tensor(teacher, dtype=dtype), temperature=temperature, **counts)
    here = mask & (labels != IGNORED)
    values = [reference_uld(student[i].tolist(), teacher[i].tolist(), temperature) for i in np.flatnonzero(here)]
    largest = max(np.abs(rows[np.isfinite(rows)]).max() for rows in (student, teacher))
    expected = math.fsum(values) / len(values) if values else 0.0
    assert_is_reference(value.detach(), expected, dtype, size=2 + 2 * float(largest) / temperature)
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient.isfinite().all()
    assert (gradient[torch.tensor(~here)] == 0).all()


@pytest.mark.parametrize("vocabularies", [(5, 5), (4, 7), (7, 4), (1, 3)])
def test_uld_gradcheck_and_what_does_not_matter(vocabularies):
    student, teacher = normal(3, 2, vocabularies[0], seed=1), normal(3, 2, vocabularies[1], seed=2)
    assert torch.autograd.gradcheck(lambda s: uld(s, teacher, temperature=1.5), (student.clone().requires_grad_(),))
    expected = uld_positions(student, teacher)
    assert expected.shape == (3, 2)
    for logits, other in ((student, teacher), (teacher, student)):
        order = torch.randperm(logits.shape[-1], generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(uld_positions(logits[..., order], other), expected)
        padded = torch.cat([logits, torch.full((3, 2, 3), -math.inf, dtype=EXACT)], -1)
        torch.testing.assert_close(uld_positions(padded + 3, other), expected)
    parts = uld_positions(student[:1], teacher[:1]).sum() + uld_positions(student[1:], teacher[1:]).sum()
    torch.testing.assert_close(uld(student, teacher), parts / 6)
    assert (expected >= 0).all()
    assert (expected < 2).all()


def test_uld_is_twice_the_total_variation_of_the_sorted():
    student, teacher = normal(6, 9, seed=1), normal(6, 9, seed=2)
    in_order = (logits.sort(descending=True).values for logits in (student, teacher))
    torch.testing.assert_close(uld(student, teacher), 2 * total_variation(*in_order))
    assert (uld_positions(student, student.flip(-1)) == 0).all()  # sure of other things, and as sure


def test_uld_cut_to_the_shorter_vocabulary_loses_what_is_beyond():
    student, teacher = torch.zeros(1, 4, dtype=EXACT), torch.zeros(1, 10, dtype=EXACT)
    assert uld(student, teacher).item() == pytest.approx(4 * (1 / 4 - 1 / 10) + 6 / 10)
    q, p = student.softmax(1), teacher.softmax(1)
    assert (q - p[:, :4]).abs().sum().item() == pytest.approx(0.6)  # the buggy form


@pytest.mark.parametrize("masked", [False, True])
def test_uld_a_few_rows_at_a_time_is_the_same(masked, monkeypatch):
    student, teacher = normal(3, 5, 4, seed=1), normal(3, 5, 6, seed=2)
    counts = {"mask": normal(3, 5, seed=3) > 0} if masked else {}
    whole, gradient = uld(student, teacher, **counts), slope(lambda s: uld(s, teacher, **counts), student)
    monkeypatch.setattr(common, "WHOLE", 0)
    monkeypatch.setitem(common.CHUNK, "cpu", 9)
    torch.testing.assert_close(uld(student, teacher, **counts), whole, rtol=1e-13, atol=0)
    torch.testing.assert_close(slope(lambda s: uld(s, teacher, **counts), student), gradient, rtol=1e-13, atol=1e-15)


def test_uld_nothing_counts_narrow_logits_and_no_gradient_to_the_teacher():
    student, teacher = normal(3, 4, seed=1).requires_grad_(), normal(3, 6, seed=2).requires_grad_()
    for value in (uld(student, teacher, labels=torch.full((3,), IGNORED)), uld(student[:0], teacher[:0])):
        assert value.item() == 0
        assert (torch.autograd.grad(value, student)[0] == 0).all()
    uld(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0
    narrow = student.bfloat16(), teacher.bfloat16()
    assert uld(*narrow) == uld(narrow[0].float(), narrow[1].float())
    dirty = teacher.detach().clone()
    dirty[1] = math.nan
    mask = torch.tensor([True, False, True])
    torch.testing.assert_close(uld(student, dirty, mask=mask), uld(student[mask], dirty[mask]))


def test_uld_refuses_positions_that_do_not_match():
    with pytest.raises(ValueError, match=r"\(2, 3, 5\).*\(2, 4, 6\).*align"):
        uld(normal(2, 3, 5), normal(2, 4, 6))
    with pytest.raises(ValueError, match="temperature"):
        uld(normal(2, 3), normal(2, 4), temperature=0)
    with pytest.raises(ValueError, match="uld"):  # what another objective says of two vocabularies
        forward_kl(normal(2, 3), normal(2, 4))


# ------------------------------------------------------------------------------------------------ policy_kl


def test_policy_kl_is_zero_at_the_values_over_their_temperature():
    values = normal(5, 4, seed=1)
    assert (policy_kl_positions(values / 0.5 + 7, values, teacher_temperature=0.5) < 1e-14).all()
    assert (policy_kl_positions(2 * values / 0.5, values, teacher_temperature=0.5, temperature=2.0) < 1e-14).all()
    student = normal(5, 4, seed=2)
    torch.testing.assert_close(policy_kl(student, values, teacher_temperature=1), forward_kl(student, values))
    # the paper's temperature is the teacher's alone, and there is no T²
    both = policy_kl(student, values, teacher_temperature=2, temperature=2)
    torch.testing.assert_close(4 * both, kd(student, values, temperature=2))
    assert abs(policy_kl(student, values, teacher_temperature=2) - both) > 0.1 * both


def test_a_low_temperature_is_the_cross_entropy_with_the_best_action():
    student, values = normal(6, 5, seed=1), normal(6, 5, seed=2).argsort().double()  # a hundred times τ apart
    expected = torch.nn.functional.cross_entropy(student, values.argmax(1))
    torch.testing.assert_close(policy_kl(student, values), expected, rtol=1e-10, atol=0)
    assert not torch.allclose(policy_kl(student, values, teacher_temperature=1), expected, rtol=0.1)


def test_large_values_that_differ_little_keep_their_difference():
    values = torch.tensor([[2.0**14, 2**14 + 2**-8, 2**14 - 2**-7]])  # in float32 exactly
    student = normal(1, 3, seed=1, dtype=torch.float32)
    exact = policy_kl(student.double(), values.double()).item()
    assert policy_kl(student, values).item() == pytest.approx(exact, rel=1e-6)
    target = (values / 0.01).softmax(1)  # the buggy form divides first
    buggy = (target * (target.log() - student.log_softmax(1))).sum()
    assert abs(buggy - exact) > 1e-3 * exact


def test_policy_kl_refuses_a_temperature_that_is_not_positive():
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="teacher_temperature"):
            policy_kl(normal(2, 3), normal(2, 3), teacher_temperature=temperature)


# ------------------------------------------------------------------------------------------------ expected_regret


def test_expected_regret_is_what_the_policy_loses_and_a_slip_among_equals_is_free():
    values = torch.tensor([[2.0, 2.0, 1.0, -1.0]], dtype=torch.float64)
    even = torch.zeros(1, 4, dtype=torch.float64)
    assert expected_regret(even, values).item() == pytest.approx((0 + 0 + 1 + 3) / 4)
    assert expected_regret(even, 3 * values + 7).item() == pytest.approx(3)
    slip, crash = (torch.full((1, 4), -200.0, dtype=torch.float64) for _ in range(2))
    slip[0, 1], crash[0, 3] = 200.0, 200.0
    assert expected_regret(slip, values).item() == pytest.approx(0, abs=1e-12)
    assert expected_regret(crash, values).item() == pytest.approx(3)
    student = normal(6, 5, seed=1)
    softer = expected_regret_positions(student / 2, normal(6, 5, seed=2))
    torch.testing.assert_close(expected_regret_positions(student, normal(6, 5, seed=2), temperature=2.0), softer)


def test_expected_regret_does_without_actions_that_are_not_allowed():
    values, student = normal(3, 5, seed=1), normal(3, 5, seed=2).requires_grad_()
    barred = values.clone()
    barred[:, 2] = -math.inf
    rest = [0, 1, 3, 4]
    value = expected_regret(student, barred)
    torch.testing.assert_close(value, expected_regret(student[:, rest], values[:, rest]))
    value.backward()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert (student.grad[:, 2] == 0).all()
