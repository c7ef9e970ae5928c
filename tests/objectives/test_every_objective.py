"""Every objective that is made from its entry, held to what all are held to, without a line of its own here."""

import math
from dataclasses import dataclass

import pytest
import torch

from limbeck.interfaces import Batch, DenseLogits, Features, Output, Target, Values
from limbeck.objectives import functional, modules
from limbeck.objectives.catalogue import CATALOGUE
from limbeck.objectives.catalogue.entry import FEATURES, LABELS, NUMBERS
from tests.objectives.cases import EXACT, normal

EXAMPLES, WIDTH = 6, 5
# 0 elsewhere than where the student equals the teacher: at a teacher that is transformed, or nowhere
ELSEWHERE = ("nkd", "ttm", "wttm", "policy_kl", "expected_regret", "mse", "huber", "bounded_regression")
NO_FORMULAS = ("adaptive_kl",)  # whose weights are held fixed
MADE = {
    entry.name: entry for entry in CATALOGUE.values() if entry.module in set(modules.MODULES) - set(modules.WRITTEN)
}
every = pytest.mark.parametrize("name", MADE)
on_answers = pytest.mark.parametrize("name", [name for name, entry in MADE.items() if FEATURES not in entry.needs])


@dataclass(frozen=True)
class Given:
    """What an objective is asked about: the student's tensor, the teacher's, the labels."""

    name: str
    student: torch.Tensor
    teacher: torch.Tensor
    labels: torch.Tensor

    def term(self, mask=None, **settings):
        entry = MADE[self.name]
        settings = dict.fromkeys(entry.required, "layer") | settings
        module = getattr(modules, str(entry.module))(**settings)
        batch = Batch(torch.arange(len(self.student)), torch.zeros(len(self.student)), None, self.labels, mask)
        output = Output(logits=self.student, values=self.student, features={"layer": self.student})
        numbers = Values(self.teacher, torch.full_like(self.teacher, 0.5))
        kinds = DenseLogits(self.teacher), numbers, Features({"layer": self.teacher})
        ((name, term),) = module(output, Target(kinds), batch).items()
        assert name == self.name
        assert term.count == module.counts(batch)[name]
        return term

    def mean(self, **settings):
        term = self.term(**settings)
        return term.total / term.count

    def with_(self, **tensors):
        return Given(**{**vars(self), **tensors})


def given(name, dtype=EXACT):
    entry = MADE[name]
    shape = (EXAMPLES, 3, 4, 4) if FEATURES in entry.needs else (EXAMPLES, WIDTH)
    labels = torch.tensor([0, 3, 1, 4, 2, 2])
    if entry.reads == NUMBERS:
        labels = normal(*shape, seed=3).to(dtype)
    # far from one another: what is asked only of a student worse than the teacher is asked here
    student, teacher = (2 * normal(*shape, seed=1)).to(dtype), (0.5 * normal(*shape, seed=2)).to(dtype)
    if entry.reads == NUMBERS:
        teacher = labels + 0.1 * teacher
    return Given(name, student, teacher, labels)


@every
def test_it_is_0_where_student_and_teacher_are_equal_and_above_elsewhere(name):
    one = given(name)
    assert one.mean() > 1e-4
    equal = one.with_(teacher=one.student).mean()
    if name not in ELSEWHERE:
        assert abs(equal) < 1e-6 * one.mean()  # DIST has an ε of its authors


@every
def test_its_gradient_is_its_slope_and_none_reaches_the_teacher(name):
    one = given(name)
    student = one.student.requires_grad_()
    if name not in NO_FORMULAS:
        assert torch.autograd.gradcheck(lambda student: one.with_(student=student).mean(), student)
    teacher = one.teacher.clone().requires_grad_()
    one.with_(teacher=teacher).mean().backward()
    assert teacher.grad is None


@every
def test_the_teacher_takes_part_where_it_is_asked(name):
    one = given(name)
    other = one.with_(teacher=one.teacher.roll(1, 0)).mean()
    assert bool(other != one.mean()) is (MADE[name].needs != (LABELS,))


@every
def test_a_weight_is_a_factor(name):
    weight = MADE[name].defaults["weight"]
    torch.testing.assert_close(given(name).mean(weight=3 * weight), 3 * given(name).mean())


@every
def test_the_order_of_examples_does_not_matter(name):
    one, order = given(name), torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = Given(name, one.student[order], one.teacher[order], one.labels[order])
    torch.testing.assert_close(shuffled.mean(), one.mean(), rtol=1e-12, atol=0)


@every
def test_only_what_compares_examples_depends_on_how_a_batch_is_cut(name):
    one = given(name)
    parts = [
        Given(name, one.student[part], one.teacher[part], one.labels[part]).term() for part in (slice(2), slice(2, 6))
    ]
    assert sum(part.count for part in parts) == one.term().count == EXAMPLES
    same = torch.isclose(sum(part.total for part in parts), one.term().total, rtol=1e-12)  # pyright: ignore[reportArgumentType]
    assert bool(same) is not (MADE[name].relational)


@on_answers
def test_what_is_masked_is_as_if_it_were_not_there(name):
    """Bugs 11 and 23."""
    one, mask = given(name), torch.tensor([True, False, True, True, False, True])
    bad = one.student.clone().masked_fill(~mask[:, None], math.nan).requires_grad_()
    masked = one.with_(student=bad).term(mask=mask)
    left = Given(name, one.student[mask], one.teacher[mask], one.labels[mask]).term()
    assert masked.count == left.count == 4
    torch.testing.assert_close(masked.total, left.total)
    masked.total.backward()
    assert bad.grad.isfinite().all()  # pyright: ignore[reportOptionalMemberAccess]
    nobody = one.with_(student=one.student.requires_grad_()).term(mask=torch.zeros(EXAMPLES, dtype=torch.bool))
    assert (nobody.count, nobody.total.item(), nobody.total.requires_grad) == (0, 0.0, True)


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_answers_are_worked_out_in_float32(name, dtype):
    one = given(name, dtype)
    wide = Given(name, *(x.float() if x.is_floating_point() else x for x in (one.student, one.teacher, one.labels)))
    with torch.autocast("cpu", torch.bfloat16):
        value = one.mean()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, wide.mean(), rtol=1e-5, atol=1e-6)


@every
@pytest.mark.parametrize("scale", [1e-8, 1e4])
def test_small_and_large_answers_give_finite_numbers(name, scale):
    one = given(name, torch.float32)
    for student, teacher in ((scale, 1), (1, scale), (scale, scale), (0, 1), (1, 0)):
        ours = (student * one.student).requires_grad_()
        value = one.with_(student=ours, teacher=teacher * one.teacher).mean()
        value.backward()
        assert value.isfinite()
        assert ours.grad.isfinite().all()  # pyright: ignore[reportOptionalMemberAccess]


@every
def test_a_single_example_is_a_batch(name):
    one = given(name)
    value = Given(name, one.student[:1], one.teacher[:1], one.labels[:1]).mean()
    assert value.isfinite()
    assert value >= 0


@every
def test_its_function_says_where_it_is_from(name):
    said = " ".join(str(getattr(functional, MADE[name].function).__doc__).split())  # pyright: ignore[reportArgumentType]
    assert MADE[name].authors.split(", ")[0] in said or str(MADE[name].year) in said
