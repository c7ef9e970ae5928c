"""The objectives as modules: names, weights and counts, alone and in a sum."""

import math

import pytest
import torch

from limbeck.interfaces import Batch, DenseLogits, Needs, Output, Target
from limbeck.objectives import functional
from limbeck.objectives.functional import IGNORED
from limbeck.objectives.modules import KD, CrossEntropy, Sum


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def batch(labels, mask=None):
    count = len(labels)
    return Batch(
        ids=torch.arange(count), view=torch.zeros(count, dtype=torch.int64), inputs=None, labels=labels, mask=mask
    )


STUDENT, TEACHER = normal(6, 5, seed=1), normal(6, 5, seed=2)
OUTPUT, TARGET = Output(logits=STUDENT), Target((DenseLogits(TEACHER),))
LABELS = torch.tensor([0, 1, IGNORED, 3, 4, IGNORED])


def test_the_classic_sum():
    objective = 0.9 * KD(temperature=4) + 0.1 * CrossEntropy()
    terms = objective(OUTPUT, TARGET, batch(LABELS))
    assert list(terms) == ["kd", "cross_entropy"]
    # the teacher speaks of unlabelled examples too
    assert [int(term.count) for term in terms.values()] == [6, 4]
    kd = functional.kd(STUDENT, TEACHER, temperature=4)
    cross_entropy = functional.cross_entropy(STUDENT, labels=LABELS)
    loss = sum(term.total / term.count for term in terms.values())
    torch.testing.assert_close(loss, 0.9 * kd + 0.1 * cross_entropy)
    assert objective.needs == Needs(labels=True, target=(DenseLogits,))


SHARES = normal(6, 5, seed=3).softmax(1)
UNLABELLED = torch.cat([SHARES[:4], torch.zeros(2, 5)])
MASK = torch.tensor([True, True, False, True, False, False])


@pytest.mark.parametrize("labels", [LABELS, SHARES, UNLABELLED], ids=["ids", "probabilities", "some-unlabelled"])
@pytest.mark.parametrize("mask", [None, MASK, torch.zeros(6, dtype=torch.bool)], ids=["all", "some", "none"])
def test_counts_are_those_of_forward(labels, mask):
    objective = 0.9 * KD(temperature=4) + 0.1 * CrossEntropy(label_smoothing=0.1) + KD() + 2.0 * CrossEntropy()
    given = batch(labels, mask)
    terms, counts = objective(OUTPUT, TARGET, given), objective.counts(given)
    assert list(terms) == list(counts) == ["kd", "cross_entropy", "kd_2", "cross_entropy_2"]
    for name, term in terms.items():
        assert int(term.count) == int(counts[name])
        assert term.total.shape == term.count.shape == ()
        if not term.count:
            assert term.total == 0


def test_positions_of_a_sequence_count_under_their_mask():
    student, teacher = normal(2, 3, 5, seed=1), normal(2, 3, 5, seed=2)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    labels = torch.tensor([[1, 2, 3], [IGNORED, 0, 0]])
    teacher[1, 2] = math.nan  # nobody asked it there
    given = batch(labels, mask)
    objective = KD(temperature=2) + CrossEntropy()
    student.requires_grad_()
    terms = objective(Output(logits=student), Target((DenseLogits(teacher),)), given)
    assert {name: int(count) for name, count in objective.counts(given).items()} == {"kd": 3, "cross_entropy": 2}
    mean = terms["kd"].total / terms["kd"].count
    torch.testing.assert_close(mean, functional.kd(student, teacher, mask=mask, temperature=2))
    torch.testing.assert_close(
        terms["cross_entropy"].total / 2, functional.cross_entropy(student, labels=labels, mask=mask)
    )
    sum(term.total for term in terms.values()).backward()
    assert student.grad.isfinite().all()
    assert (student.grad[~mask] == 0).all()


def test_weights_multiply_through_nested_sums():
    nested = 2.0 * (0.5 * KD(temperature=4, weight=3.0) + CrossEntropy())
    plain = KD(temperature=4)(OUTPUT, TARGET, batch(LABELS))["kd"].total
    terms = nested(OUTPUT, TARGET, batch(LABELS))
    torch.testing.assert_close(terms["kd"].total, 3.0 * plain)
    torch.testing.assert_close(
        terms["cross_entropy"].total, 2.0 * CrossEntropy()(OUTPUT, TARGET, batch(LABELS))["cross_entropy"].total
    )
    assert [weight for weight, _ in nested.weighted] == [1.0, 2.0]
    assert (0.0 * KD())(OUTPUT, TARGET, batch(LABELS))["kd"].total == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: -0.1 * KD(),
        lambda: KD() + (-1) * CrossEntropy(),
        lambda: Sum([(math.nan, KD())]),
        lambda: KD(weight=-1.0),
        lambda: CrossEntropy(weight=-1.0),
    ],
    ids=["product", "sum", "nan", "kd", "cross_entropy"],
)
def test_a_negative_weight_is_refused(make):
    with pytest.raises(ValueError, match="negative"):
        make()


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="labels"):
        CrossEntropy()(OUTPUT, TARGET, Batch(ids=torch.arange(6), view=torch.zeros(6), inputs=None))
    with pytest.raises(KeyError, match="DenseLogits"):
        KD()(OUTPUT, Target(), batch(LABELS))
    with pytest.raises(ValueError, match="logits"):
        KD()(Output(), TARGET, batch(LABELS))
    with pytest.raises(ValueError, match="temperature"):
        KD(temperature=0)


def test_a_teacher_that_wants_gradients_gets_none():
    teacher = TEACHER.clone().requires_grad_()
    student = STUDENT.clone().requires_grad_()
    terms = (KD() + CrossEntropy())(Output(logits=student), Target((DenseLogits(teacher),)), batch(LABELS))
    sum(term.total for term in terms.values()).backward()
    assert teacher.grad is None
    assert student.grad is not None
