"""Slopes in closed form against autograd of the formulas, and what they must leave possible: more derivatives, torch.func."""

import math
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives import functional
from limbeck.objectives.functional import closed_form, common, log_and_prob
from tests.objectives.cases import EXACT, IGNORED, cases, normal
from tests.objectives.divergence_references import EVERYTHING
from tests.objectives.response_methods import BY_POSITION


@dataclass(frozen=True)
class Form:
    """A function, and the values at every position that it is the mean of: both of student, teacher and class ids."""

    function: object
    positions: object

    def mean(self, student, teacher, labels):
        return self.positions(student, teacher, labels).mean()

    def closed_form(self, student, teacher, labels):
        """Value and slope as the function has them."""
        student = student.clone().requires_grad_()
        value = self.function(student, teacher, labels)
        (slope,) = torch.autograd.grad(value, student)
        return value.detach(), slope


def _forms():
    for entry in EVERYTHING:
        yield (
            entry.id,
            Form(
                lambda s, t, _, entry=entry: entry.function(s, t, temperature=1.5),
                lambda s, t, _, entry=entry: entry.positions(s, t, temperature=1.5),
            ),
        )
    for name, method in BY_POSITION.items():
        yield name, Form(method, method.at)
    yield (
        "kd",
        Form(
            lambda s, t, _: functional.kd(s, t, temperature=3.0),
            lambda s, t, _: functional.kd_positions(s, t, temperature=3.0),
        ),
    )
    yield (
        "uld",
        Form(
            lambda s, t, _: functional.uld(s, t, temperature=1.5),
            lambda s, t, _: functional.uld_positions(s, t, temperature=1.5),
        ),
    )
    yield (
        "binary_kd",
        Form(
            lambda s, t, _: functional.binary_kd(s, t, temperature=1.5),
            lambda s, t, _: functional.binary_kd_positions(s, t, temperature=1.5),
        ),
    )
    for smoothing in (0.0, 0.2):
        yield (
            f"binary_cross_entropy-{smoothing}",
            Form(
                lambda s, t, _, smoothing=smoothing: functional.binary_cross_entropy(
                    s, labels=t.sigmoid(), label_smoothing=smoothing
                ),
                lambda s, t, _, smoothing=smoothing: functional.binary_cross_entropy_positions(
                    s, t.sigmoid(), label_smoothing=smoothing
                ),
            ),
        )
        yield (
            f"cross_entropy-{smoothing}",
            Form(
                lambda s, _, y, smoothing=smoothing: functional.cross_entropy(s, labels=y, label_smoothing=smoothing),
                lambda s, _, y, smoothing=smoothing: functional.cross_entropy_positions(
                    s, y, label_smoothing=smoothing
                ),
            ),
        )
        yield (
            f"cross_entropy-shares-{smoothing}",
            Form(
                lambda s, t, _, smoothing=smoothing: functional.cross_entropy(
                    s, labels=t.softmax(-1), label_smoothing=smoothing
                ),
                lambda s, t, _, smoothing=smoothing: functional.cross_entropy_positions(
                    s, t.softmax(-1), label_smoothing=smoothing
                ),
            ),
        )


FORMS = dict(_forms())
each = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def of_formula(form, student, teacher, labels):
    """Value and slope as autograd has them of the values at every position."""
    student = student.clone().requires_grad_()
    value = form.mean(student, teacher, labels)
    (slope,) = torch.autograd.grad(value, student)
    return value.detach(), slope


def in_every_way(monkeypatch):
    """The closed forms for many logits and for few, whole and in chunks of two rows."""
    for few in (0, log_and_prob.FEW):
        for whole in (common.WHOLE, 0):
            with monkeypatch.context() as changed:
                changed.setattr(log_and_prob, "FEW", few)
                changed.setattr(common, "WHOLE", whole)
                changed.setitem(common.CHUNK, "cpu", 14)
                yield


@each
@pytest.mark.parametrize("scale", [0.01, 1.0, 60.0])
@pytest.mark.parametrize("who", ["nobody", "teacher", "both"])
def test_the_slope_is_that_of_the_formula(form, scale, who, monkeypatch):
    student, teacher = normal(5, 7, seed=1, scale=scale), normal(5, 7, seed=2, scale=scale)
    student[3] = teacher[3]  # |p - q| and log(p / q) have their corner there
    if who == "both":
        student[:, 5] = teacher[:, 5] = student[1, 2] = teacher[1, 2] = -math.inf
    if who == "teacher":
        teacher[2:, 5] = -math.inf
    labels = torch.tensor([0, 1, 0, 4, 6])
    value, slope = of_formula(form, student, teacher, labels)
    for _ in in_every_way(monkeypatch):
        ours = form.closed_form(student, teacher, labels)
        torch.testing.assert_close(ours[0], value, rtol=1e-11, atol=1e-13)
        if value.isfinite():
            largest = slope.abs().max().item()
            torch.testing.assert_close(ours[1], slope, rtol=1e-9, atol=1e-12 * max(1, largest))


@each
def test_it_has_a_second_derivative(form):
    student, teacher, labels = normal(3, 4, seed=1), normal(3, 4, seed=2), torch.tensor([0, 3, 1])
    weights = normal(3, 4, seed=3)

    def bent(function):
        s = student.clone().requires_grad_()
        (first,) = torch.autograd.grad(function(s, teacher, labels) ** 2, s, create_graph=True)
        return torch.autograd.grad((first * weights).sum(), s)[0]

    torch.testing.assert_close(bent(form.function), bent(form.mean))


@each
def test_a_number_that_is_none_shows(form):
    labels = torch.tensor([0, 3, 1])
    for which in (0, 1):
        pair = normal(3, 4, seed=1), normal(3, 4, seed=2)
        pair[which][1, 2] = math.nan
        shows = form.mean(*pair, labels).isnan()
        value, _ = form.closed_form(*pair, labels)
        assert value.isnan() == shows
        assert shows or which == 1  # a cross-entropy with class ids asks no teacher


@each
def test_torch_func_takes_the_derivative_itself(form):
    student, teacher, labels = normal(3, 4, seed=1), normal(3, 4, seed=2), torch.tensor([0, 3, 1])
    expected = form.closed_form(student, teacher, labels)[1]
    given = torch.func.grad(form.function)(student, teacher, labels)
    torch.testing.assert_close(given, expected)


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from([0.5, 1.0, 8.0]), st.sampled_from([torch.float32, EXACT]))
def test_two_ways_to_a_softmax(case, temperature, dtype):
    student = torch.tensor(case.student, dtype=dtype)
    for logs, shares in (log_and_prob.softened(student, temperature), softened_as_many(student, temperature)):
        torch.testing.assert_close(logs.exp(), shares)
        torch.testing.assert_close(logs, functional.log_probabilities(student, temperature), rtol=1e-6, atol=1e-6)


def softened_as_many(logits, temperature):
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(log_and_prob, "FEW", 0)
        return log_and_prob.softened(logits, temperature)


def test_a_second_backward_pass_gives_the_same_again():
    student, teacher = normal(3, 4, seed=1).requires_grad_(), normal(3, 4, seed=2)
    value = 3 * functional.kd(student, teacher, mask=torch.tensor([True, False, True]))
    first, second = (torch.autograd.grad(value, student, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert (first[1] == 0).all()


def test_closed_forms_know_their_settings():
    values_of = partial(functional.jsd_positions, beta=0.2)
    found = closed_form.closed_form(values_of, few=True)(normal(3, 4, seed=1), normal(3, 4, seed=2), wanted=False)
    torch.testing.assert_close(found.value_factor * found.values, values_of(normal(3, 4, seed=1), normal(3, 4, seed=2)))
    assert closed_form.closed_form(functional.hidden_mse, few=False) is None
    for few in (False, True):  # torch's own cross-entropy is as good as ours where calls are what costs
        assert (closed_form.closed_form(functional.cross_entropy_positions, few=few) is None) is few


def test_class_ids_that_are_ignored_or_out_of_range():
    logits, labels = normal(4, 3, seed=1), torch.tensor([0, IGNORED, 2, IGNORED])
    slopes = []
    for mask in (None, torch.tensor([True, True, True, True])):
        student = logits.clone().requires_grad_()
        functional.total_of(functional.cross_entropy_positions, student, labels, counts=mask).backward()
        slopes.append(student.grad)
    found = closed_form.closed_form(functional.cross_entropy_positions, few=False)(logits, labels, wanted=True)
    torch.testing.assert_close(found.slope, slopes[0])
    assert torch.equal(slopes[0], slopes[1])
    assert (found.values[[1, 3]] == 0).all()
    for wrong in (3, -1):
        with pytest.raises(ValueError, match=f"the label at position 2 is {wrong}"):
            functional.cross_entropy(logits, labels=torch.tensor([0, 1, wrong, 0]))
