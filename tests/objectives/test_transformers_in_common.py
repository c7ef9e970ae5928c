"""What holds for every objective on the inside of transformers: gradients, padding, parts, widths."""

import math

import pytest
import torch

from limbeck.objectives.functional import attention_kl, attention_scores, cls_mse, common, relation_kl, relations
from tests.objectives.cases import EXACT, normal
from tests.objectives.transformer_references import KINDS, MASK, padded

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@every_kind
def test_gradient_is_that_of_finite_differences(kind):
    student, teacher = kind.tensors(4, 3)
    student.requires_grad_()
    for mask in (None, MASK):
        assert torch.autograd.gradcheck(lambda x, mask=mask: kind.function(x, teacher, mask=mask), (student,))


@every_kind
@pytest.mark.parametrize("fill", [0.7, 1e6, math.nan, -math.inf, math.inf])
def test_padding_changes_nothing(kind, fill):
    """Bug 14: and whatever stands there."""
    tensors = kind.tensors(4, 3)
    gradients = []
    for more in (0, 1, 4):
        student, teacher = (padded(tensor, more, fill).requires_grad_() for tensor in tensors)
        value = kind.function(student, teacher, mask=padded(MASK[..., None], more, 0.0)[..., 0].bool())
        assert value > 0
        gradient, none = torch.autograd.grad(value, (student, teacher), allow_unused=True)
        assert none is None
        gradients.append(gradient)
        expected = padded(gradients[0], more, 0.0)
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(value, kind.function(*tensors, mask=MASK), rtol=1e-12, atol=0)


@every_kind
def test_parts_and_order_of_a_batch_change_nothing(kind):
    """Bug 15: positions are added up over unequal parts; a mean of means is another number."""
    student, teacher = kind.tensors(4, 3)
    whole = kind.function(student, teacher, mask=MASK)
    counts = MASK.any(1) if kind.function is cls_mse else MASK.sum(1)
    parts = [slice(0, 1), slice(1, 4)]
    means = [kind.function(student[part], teacher[part], mask=MASK[part]) for part in parts]
    added = sum(value * counts[part].sum() for value, part in zip(means, parts)) / counts.sum()
    torch.testing.assert_close(added, whole, rtol=1e-12, atol=0)
    assert abs(sum(means) / 2 - whole) > 1e-4
    order = [2, 0, 3, 1]
    torch.testing.assert_close(kind.function(student[order], teacher[order], mask=MASK[order]), whole)
    # examples without a mask and with all of it true
    torch.testing.assert_close(
        kind.function(student, teacher), kind.function(student, teacher, mask=torch.ones(4, 3).bool())
    )


@every_kind
def test_nothing_counts(kind):
    student, teacher = kind.tensors(4, 3)
    value = kind.function(student.requires_grad_(), teacher, mask=torch.zeros(4, 3, dtype=torch.bool))
    assert value == 0
    assert (torch.autograd.grad(value, student)[0] == 0).all()


@every_kind
def test_zero_where_student_equals_teacher(kind):
    student, teacher = kind.tensors(4, 3)
    teacher = teacher if student.shape == teacher.shape else student
    assert kind.function(teacher, teacher, mask=MASK) == 0
    assert kind.function(student + 1e-3 * normal(*student.shape, seed=9), teacher) > 0


@every_kind
def test_narrow_numbers_are_widened(kind):
    narrow = [tensor.bfloat16() for tensor in kind.tensors(4, 3)]
    wide = [tensor.float() for tensor in narrow]
    expected = kind.function(*wide, mask=MASK)
    assert expected.dtype == torch.float32
    assert torch.equal(kind.function(*narrow, mask=MASK), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(kind.function(*wide, mask=MASK), expected)


@every_kind
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "some"])
def test_a_few_at_a_time_is_the_same(kind, mask, monkeypatch):
    student, teacher = kind.tensors(4, 3)
    student.requires_grad_()
    value = kind.function(student, teacher, mask=mask)
    (gradient,) = torch.autograd.grad(value, student)
    monkeypatch.setattr(common, "WHOLE", 0)
    monkeypatch.setattr(common, "CHUNK", {"cpu": 37, "cuda": 37})
    few = kind.function(student, teacher, mask=mask)
    torch.testing.assert_close(few, value, rtol=1e-12, atol=0)
    torch.testing.assert_close(torch.autograd.grad(few, student)[0], gradient, rtol=1e-12, atol=1e-15)


def test_queries_and_keys_a_few_at_a_time(monkeypatch):
    student, teacher = normal(2, 4, 3, 6, seed=1).requires_grad_(), normal(2, 4, 3, 4, seed=2)

    def value():
        keys = {"student_keys_BLH": student[1], "teacher_keys_BLH": teacher[1]}
        return relation_kl(student[0], teacher[0], heads=2, mask=MASK, **keys)

    whole = value()
    (gradient,) = torch.autograd.grad(whole, student)
    monkeypatch.setattr(common, "WHOLE", 0)
    monkeypatch.setattr(common, "CHUNK", {"cpu": 37, "cuda": 37})
    torch.testing.assert_close(value(), whole, rtol=1e-12, atol=0)
    torch.testing.assert_close(torch.autograd.grad(value(), student)[0], gradient, rtol=1e-12, atol=1e-15)
    # and it is the divergence of the attention scores
    scores = [attention_scores(*x, 2) for x in (student, teacher)]
    torch.testing.assert_close(attention_kl(*scores, mask=MASK), whole, rtol=1e-12, atol=0)


def test_relations_are_distributions():
    x = normal(4, 3, 6)
    log_probs = relations(x, 3, mask=MASK)
    assert log_probs.shape == (4, 3, 3, 3)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(4, 3, 3, dtype=EXACT))
    assert (log_probs[0, :, :2, 2] == -math.inf).all()
    # heads may be any number that divides both widths: MiniLMv2
    assert relation_kl(x, normal(4, 3, 12), heads=6) > 0


def test_a_constant_added_to_a_query_changes_nothing_after_the_softmax():
    student, teacher = KINDS["attention_kl"].tensors(4, 3)
    moved = student + 50 * normal(4, 2, 3, 1, seed=7)
    torch.testing.assert_close(attention_kl(moved, teacher, mask=MASK), attention_kl(student, teacher, mask=MASK))
    # so log-probabilities do as well as scores
    logs = [x.log_softmax(-1) for x in (student, teacher)]
    torch.testing.assert_close(attention_kl(*logs, mask=MASK), attention_kl(student, teacher, mask=MASK))
