"""Objectives on numbers: worked out by hand, masks and missing labels, gradients, known bugs, terms of a batch."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limbeck.functional import (
    bounded_regression,
    bounded_regression_positions,
    huber,
    huber_positions,
    mse,
    mse_positions,
    weighted_mse,
    weighted_mse_positions,
)
from limbeck.interfaces import Batch, DenseLogits, Output, Target, Values
from limbeck.objectives.modules import MSE, BoundedRegression, Huber, HuberValues, MSEValues, WeightedMSEValues
from limbeck.objectives.schedules import Linear, Progress

EXACT = torch.float64
NAN = math.nan
# two numbers an example: errors (1, -2), (0.5, 0), (3, 0); of the teacher (1, 1), (0, 0), (0, -3)
LABELS = torch.tensor([[1.0, 2.0], [0.0, -1.0], [5.0, 4.0]], dtype=EXACT)
STUDENT = LABELS + torch.tensor([[1.0, -2.0], [0.5, 0.0], [3.0, 0.0]], dtype=EXACT)
TEACHER = LABELS + torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, -3.0]], dtype=EXACT)
numbers = st.floats(-100, 100, allow_subnormal=False)


def batch(labels=None, mask=None, examples=3):
    ids = torch.arange(examples)
    return Batch(ids=ids, view=torch.zeros_like(ids), inputs=None, labels=labels, mask=mask)


def asked(objective, student=STUDENT, teacher=TEACHER, labels=LABELS, mask=None):
    target = Target((Values(teacher),))
    ((name, term),) = objective(Output(values=student), target, batch(labels, mask, len(student))).items()
    assert name == objective.name
    assert term.count == objective.counts(batch(labels, mask, len(student)))[name]
    return float(term.total), int(term.count)


def test_by_hand():
    # squares (1 + 4)/2, 0.25/2, 9/2; Huber of 1, 2, 0.5, 3 at delta 1: 0.5, 1.5, 0.125, 2.5
    assert mse(STUDENT, LABELS).item() == pytest.approx((2.5 + 0.125 + 4.5) / 3, rel=1e-15)
    assert huber(STUDENT, LABELS).item() == pytest.approx((2.0 / 2 + 0.125 / 2 + 2.5 / 2) / 3, rel=1e-15)
    assert huber(STUDENT, LABELS, delta=2.0).item() == pytest.approx((2.5 / 2 + 0.125 / 2 + 4 / 2) / 3, rel=1e-15)
    # the student's squares 5, 0.25, 9 against the teacher's 2, 0, 9: equal asks for nothing
    assert bounded_regression_positions(STUDENT, TEACHER, LABELS).tolist() == [5.0, 0.25, 0.0]
    assert bounded_regression_positions(STUDENT, TEACHER, LABELS, margin=0.5).tolist() == [5.0, 0.25, 9.0]
    assert bounded_regression(STUDENT, TEACHER, LABELS).item() == pytest.approx(5.25 / 3, rel=1e-15)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=6), st.floats(0.1, 10), st.floats(0, 100))
def test_the_formulas_in_python(rows, delta, margin):
    students, teachers, labels = (torch.tensor(column, dtype=EXACT)[:, None] for column in zip(*rows))
    robust, bounded, squares = [], [], []
    for s, t, y in rows:
        error = abs(s - y)
        squares.append(error**2)
        robust.append(error**2 / 2 if error <= delta else delta * (error - delta / 2))
        bounded.append(error**2 if error**2 + margin > (t - y) ** 2 else 0.0)
    assert mse(students, labels).item() == pytest.approx(math.fsum(squares) / len(rows), rel=1e-12)
    assert huber_positions(students, labels, delta=delta).tolist() == pytest.approx(robust, rel=1e-12)
    assert bounded_regression_positions(students, teachers, labels, margin=margin).tolist() == pytest.approx(bounded)


def test_the_weights_by_hand():
    spread = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 7.0]], dtype=EXACT)
    # squares from the teacher (0, 9), (0.25, 0), (9, 9); weights (1, 1/2), (1/5, 1), (1, 1/50), and at tolerance 2
    # (1, 4/5), (1/2, 1), (1, 4/53)
    assert weighted_mse_positions(STUDENT, TEACHER, spread).tolist() == pytest.approx([2.25, 0.025, 4.59])
    wide = weighted_mse_positions(STUDENT, TEACHER, spread, tolerance=2)
    assert wide.tolist() == pytest.approx([3.6, 0.0625, (9 + 36 / 53) / 2])
    assert torch.equal(weighted_mse_positions(STUDENT, TEACHER, 0 * spread), mse_positions(STUDENT, TEACHER))
    target = Target((Values(TEACHER, spread),))
    term = WeightedMSEValues(weight=2)(Output(values=STUDENT), target, batch())["weighted_mse_values"]
    assert (term.count, term.total.item()) == (3, pytest.approx(2 * 6.865))
    assert weighted_mse(STUDENT, TEACHER, spread).item() == pytest.approx(6.865 / 3)


@given(st.lists(st.tuples(numbers, numbers, st.floats(0, 100)), min_size=1, max_size=6), st.floats(0.1, 10))
def test_the_weighted_square_is_a_divergence_of_normal_distributions(rows, tolerance):
    wanted = []
    for student, teacher, spread in rows:  # KL(p || q) of normal distributions about the two, of the same variance
        variance = tolerance**2 + spread**2
        wanted.append((variance + (student - teacher) ** 2) / (2 * variance) - 1 / 2)
    students, teachers, spreads = (torch.tensor(column, dtype=EXACT)[:, None] for column in zip(*rows))
    found = weighted_mse_positions(students, teachers, spreads, tolerance=tolerance) / (2 * tolerance**2)
    assert found.tolist() == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["mse", "huber", "bounded"])
def test_slopes(name):
    def of(student):
        if name == "bounded":
            return bounded_regression(student, TEACHER, LABELS)
        return mse(student, LABELS) if name == "mse" else huber(student, LABELS, delta=0.7)

    torch.autograd.gradcheck(of, (STUDENT + 0.01).requires_grad_())


def test_a_student_better_than_the_teacher_is_asked_nothing_and_the_teacher_gets_no_gradient():
    student, teacher = LABELS.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    value = bounded_regression(student + 0.1, teacher, LABELS)  # squares of 0.02, against 2, 0 and 9
    value.backward()
    assert teacher.grad is None
    assert value.item() == pytest.approx(0.02 / 3)
    assert (student.grad != 0).any(dim=1).tolist() == [False, True, False]


@pytest.mark.parametrize("objective", [MSE(), Huber(), BoundedRegression(weight=1.0)])
def test_missing_labels_and_masks_reach_neither_value_nor_gradient(objective):
    labels = LABELS.clone()
    labels[0, 1] = NAN  # one number of two is missing: there is no label
    total, count = asked(objective, labels=labels)
    alone, _ = asked(objective, STUDENT[1:], TEACHER[1:], LABELS[1:])
    assert (count, total) == (2, pytest.approx(alone))
    student = STUDENT.clone()
    student[2] = NAN  # what is masked may be anything
    student.requires_grad_()
    mask = torch.tensor([True, True, False])
    term = objective(Output(values=student), Target((Values(TEACHER),)), batch(labels, mask))[objective.name]
    term.total.backward()
    assert term.count == 1
    assert term.total.item() == pytest.approx(asked(objective, STUDENT[1:2], TEACHER[1:2], LABELS[1:2])[0])
    assert student.grad.isfinite().all()  # pyright: ignore[reportOptionalMemberAccess]
    nobody = objective(Output(values=student), Target((Values(TEACHER),)), batch(torch.full_like(LABELS, NAN)))
    assert (nobody[objective.name].count, nobody[objective.name].total.item()) == (0, 0.0)
    assert nobody[objective.name].total.requires_grad


def test_terms_are_the_functions_and_weights_may_be_scheduled():
    assert asked(MSE(weight=2)) == (pytest.approx(2 * 7.125), 3)
    assert asked(MSEValues()) == (pytest.approx(3 * mse(STUDENT, TEACHER).item()), 3)
    assert asked(HuberValues(delta=0.5)) == (pytest.approx(3 * huber(STUDENT, TEACHER, delta=0.5).item()), 3)
    assert asked(BoundedRegression()) == (pytest.approx(0.5 * 5.25), 3)  # the published weight
    warming = Huber(delta=Linear(1, 2, epochs=1), weight=Linear(0, 2, epochs=1))
    warming.at(Progress(step=5, steps_per_epoch=10, total_steps=10))
    assert asked(warming) == (pytest.approx(3 * huber(STUDENT, LABELS, delta=1.5).item()), 3)
    assert repr(BoundedRegression(margin=1)) == "BoundedRegression(margin=1.0, weight=0.5)"


def test_the_teachers_numbers_need_no_labels_and_positions_count_each():
    assert MSEValues().needs.target == (Values,)
    assert not MSEValues().needs.labels
    assert BoundedRegression().needs.labels
    positions = STUDENT[None].expand(2, 3, 2)
    mask = torch.tensor([[True, False, False], [True, True, True]])
    target = Target((Values(TEACHER[None].expand(2, 3, 2)),))
    term = MSEValues()(Output(values=positions), target, batch(mask=mask, examples=2))["mse_values"]
    squares = (STUDENT - TEACHER).square().mean(1)
    assert (term.count, term.total.item()) == (4, pytest.approx((2 * squares[0] + squares[1] + squares[2]).item()))


def test_half_precision_is_worked_out_in_float32():
    student, labels = torch.tensor([[300.0]], dtype=torch.float16), torch.tensor([[0.0]])
    assert mse(student, labels).item() == 90000.0  # beyond float16
    assert mse(student, labels).dtype == torch.float32


def test_bug_of_a_column_compared_with_a_row():
    with pytest.raises(ValueError, match=r"\(3, 1\) and what they are compared with \(3,\) .* \(values\[:, None\]\)"):
        mse(torch.zeros(3, 1), torch.zeros(3))
    with pytest.raises(ValueError, match=r"must have the same shape"):
        asked(MSEValues(), teacher=TEACHER[:, :1])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Huber(delta=0), "delta must be above 0, not 0"),
        (lambda: BoundedRegression(margin=Linear(1, -1)), "margin must be at least 0, not -1"),
        (lambda: WeightedMSEValues(tolerance=0), "tolerance must be above 0, not 0"),
        (
            lambda: asked(WeightedMSEValues()),
            r"weighs the teacher's numbers by their deviation, and there is none: it takes",
        ),
        (lambda: MSE(weight=-1), "cannot be negative"),
        (lambda: MSE()(Output(logits=STUDENT), Target(), batch(LABELS)), "the task gave none: it is no regression"),
        (lambda: asked(MSE(), labels=None), "mse needs labels, and the data has none"),  # pyright: ignore[reportArgumentType]
        (lambda: asked(MSE(), labels=torch.tensor([0, 1, 2])), "needs numbers for labels, and these are class ids"),
        (lambda: mse(STUDENT, LABELS, mask=torch.ones(2, dtype=torch.bool)), r"a mask \(2,\) does not fit"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_teacher_of_classes_is_refused_by_name():
    with pytest.raises(KeyError, match=r"needs Values, but the teacher's answer holds DenseLogits"):
        MSEValues()(Output(values=STUDENT), Target((DenseLogits(TEACHER),)), batch())
