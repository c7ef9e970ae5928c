"""One pass over the vocabulary: the same as apart, whatever is shared, large or small; and KD from parts of a teacher."""

import math

import pytest
import torch

from limbeck.interfaces import IGNORED, Batch, DenseLogits, Output, Sampled, Target, TopK
from limbeck.objectives import functional
from limbeck.objectives.functional import common, top_k, vocabulary
from limbeck.objectives.modules import DKD, KD, CrossEntropy, ForwardKL
from limbeck.objectives.schedules import Linear, Progress
from tests.objectives.cases import normal

CLASSES, LADDER = 9, (1.0, 2.0, 4.0)
LABELS = torch.tensor([0, 3, IGNORED, 8, 2, IGNORED])
MASK = torch.tensor([True, True, False, True, False, True])
STUDENT, TEACHER = normal(6, CLASSES, seed=1, scale=2), normal(6, CLASSES, seed=2, scale=3)


def batch(mask=None, labels=LABELS):
    return Batch(ids=torch.arange(6), view=torch.zeros(6), inputs=None, labels=labels, mask=mask)


def kept(k=3):
    ids, logits, _ = top_k(TEACHER, k)
    rest = torch.stack([top_k(TEACHER, k, temperature=t)[2] for t in LADDER], dim=-1)
    return Target((TopK(ids, logits, rest, LADDER),))


def drawn(temperature=2.0):
    ids = torch.tensor([[0, 3, -1], [8, 1, 2], [4, -1, -1], [5, 6, 7], [2, 0, -1], [1, -1, -1]])
    counts = torch.tensor([[3.0, 2, 0], [1, 1, 3], [5, 0, 0], [2, 2, 1], [4, 1, 0], [5, 0, 0]])
    return Target((Sampled(ids, counts, temperature),))


def value_and_slope(objective, target, given, student=STUDENT):
    student = student.clone().requires_grad_()
    terms = objective(Output(logits=student), target, given)
    loss = sum(term.total / term.count for term in terms.values())
    return terms, torch.autograd.grad(loss, student)[0]


def assert_alike(one, other, **tolerance):
    assert list(one[0]) == list(other[0])
    for name, term in one[0].items():
        torch.testing.assert_close(term.total, other[0][name].total, **tolerance)
        assert int(term.count) == int(other[0][name].count)
    torch.testing.assert_close(one[1], other[1], **tolerance)


def large(monkeypatch, elements=20):
    monkeypatch.setattr(common, "WHOLE", 0)
    monkeypatch.setitem(common.CHUNK, "cpu", elements)


class Apart:
    """The parts of a sum, each on its own."""

    def __init__(self, objective):
        self.objective = objective

    def __call__(self, student, target, given):
        terms = {}
        for weight, part in self.objective.weighted:
            for name, term in part(student, target, given).items():
                terms[name] = type(term)(weight * term.total, term.count)
        return terms


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "some"])
@pytest.mark.parametrize(
    ("objective", "target"),
    [
        (0.9 * KD(1.0) + 0.1 * CrossEntropy(weight=Linear(1, 2)), kept()),
        (0.9 * KD(2.0) + 0.3 * ForwardKL(2.0) + 0.1 * CrossEntropy(), kept()),
        (0.9 * ForwardKL(1.0) + 0.1 * CrossEntropy(), drawn(1.0)),
        (KD(2.0) + CrossEntropy(label_smoothing=0.1), drawn()),
    ],
    ids=["top k", "two temperatures", "drawn", "smoothed"],
)
def test_a_shared_pass_is_what_the_parts_say_apart(monkeypatch, size, mask, objective, target):
    student = STUDENT.clone()
    if mask is not None:
        student[2], student[4] = math.nan, -math.inf  # what does not count is not read
    objective.at(Progress(1, 4, 9))
    expected = value_and_slope(Apart(objective), target, batch(mask), student)
    assert expected[1].isfinite().all()
    if size == "large":
        large(monkeypatch)
    assert_alike(value_and_slope(objective, target, batch(mask), student), expected, rtol=1e-12, atol=1e-13)


def test_the_pass_is_shared(monkeypatch):
    passes, see = [], vocabulary.see

    def counted(*given, **settings):
        passes.append(settings["temperature"])
        return see(*given, **settings)

    monkeypatch.setattr(vocabulary, "see", counted)
    given = Output(logits=STUDENT), kept(), batch()
    (KD(1.0) + CrossEntropy() + 2.0 * ForwardKL(1.0))(*given)
    assert len(passes) <= 2  # two sets of classes cannot stand apart in one pass
    passes.clear()
    (KD(1.0) + CrossEntropy())(*given)
    assert passes == [1.0]
    passes.clear()
    (KD(2.0) + CrossEntropy())(*given)
    assert passes == [2.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("elements", [1, 20, 1000])
def test_large_and_small_are_alike(monkeypatch, dtype, temperature, elements):
    """Padding, rows of padding alone, rows without a rest, classes ruled out, a tail of almost nothing."""
    logits = (normal(6, 5, seed=3, scale=4) + 100).to(dtype)
    logits[3, [0, 2]] = -math.inf
    logits[4] = torch.tensor([0.0, -1, -300, -301, -302])
    ids = torch.tensor(
        [[3, 0, -1, -1, -1], [0, 1, 2, 3, 4], [-1] * 5, [1, 3, 4, -1, -1], [0, 1, -1, -1, -1], [2] + [-1] * 4]
    )
    named = torch.tensor([[0, 0], [1, 2], [4, -1], [1, 1], [2, 3], [0, 4]])
    counts = torch.tensor([True, True, True, True, True, False])

    def seen():
        student = logits.clone().requires_grad_()
        found = vocabulary.see(student, ids, named, temperature=temperature, counts_N=counts)
        values = [part.masked_fill(part == -math.inf, 0.0) for part in found]
        weights = [normal(*part.shape, seed=place).to(part.dtype) for place, part in enumerate(values)]
        total = sum((weight * part).sum() for weight, part in zip(weights, values))
        return found, torch.autograd.grad(total, student)[0]

    expected, expected_slope = seen()
    large(monkeypatch, elements)
    found, slope = seen()
    exact = {"rtol": 1e-12, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-5}
    for one, other in zip(found, expected):
        torch.testing.assert_close(one[:5], other[:5], **exact)
    loose = {"rtol": 2e-2, "atol": 1e-2} if dtype == torch.bfloat16 else exact
    # row 4 of the rest: what is 300 below still shares its gradient among itself
    assert (slope.dtype, slope.isfinite().all()) == (dtype, torch.tensor(True))
    torch.testing.assert_close(slope, expected_slope, **loose)
    assert slope[4, 2:].abs().sum() > 0.1
    assert (slope[5] == 0).all()


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.0])
def test_kd_and_forward_kl_from_the_top_k(temperature):
    (answer,) = kept().columns
    rest = functional.rest_at(answer.log_rest, LADDER, temperature)
    expected = functional.sparse_kl(STUDENT, answer.ids, answer.logits, rest, temperature=temperature, mask=MASK)
    terms, _ = value_and_slope(KD(temperature, weight=3.0), kept(), batch(MASK))
    torch.testing.assert_close(terms["kd"].total, 3 * 4 * expected)
    terms, _ = value_and_slope(ForwardKL(temperature), kept(), batch(MASK))
    torch.testing.assert_close(terms["forward_kl"].total, 4 * expected / temperature**2)
    whole, dense = kept(CLASSES), Target((DenseLogits(TEACHER),))
    for objective in (KD(temperature), ForwardKL(temperature)):
        assert_alike(
            value_and_slope(objective, whole, batch(MASK)),
            value_and_slope(objective, dense, batch(MASK)),
            rtol=1e-10,
            atol=1e-12,
        )


def test_kd_from_draws_at_their_temperature_and_no_other():
    answer = drawn().columns[0]
    expected = functional.sampled_cross_entropy(STUDENT, answer.ids, answer.counts, temperature=2.0)
    terms, _ = value_and_slope(KD(2.0), drawn(), batch())
    torch.testing.assert_close(terms["kd"].total, 6 * expected)
    for objective in (KD(4.0), ForwardKL(1.0)):
        with pytest.raises(ValueError, match="the classes were drawn at 2"):
            value_and_slope(objective, drawn(), batch())
    with pytest.raises(ValueError, match="from 1 to 4, and 8 is outside"):
        value_and_slope(KD(8.0), kept(), batch())
    with pytest.raises(KeyError, match=r"DenseLogits.*TopK"):
        value_and_slope(DKD(), kept(), batch())


def test_sequences_of_positions():
    """(B, L, C) as the same positions in a row; those past an example's end hold anything finite."""
    student = STUDENT.reshape(2, 3, CLASSES)
    target = kept().columns[0]
    shaped = TopK(*(part.reshape(2, 3, -1) for part in (target.ids, target.logits, target.log_rest)), LADDER)
    given = Batch(torch.arange(2), torch.zeros(2), None, LABELS.reshape(2, 3), MASK.reshape(2, 3))
    objective = KD(1.0) + CrossEntropy()
    terms = objective(Output(logits=student), Target((shaped,)), given)
    flat = objective(Output(logits=STUDENT), kept(), batch(MASK))
    for name, term in terms.items():
        torch.testing.assert_close(term.total, flat[name].total)
        assert int(term.count) == int(flat[name].count)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("target", [kept(), drawn(1.0)], ids=["top k", "draws"])
def test_a_second_backward_pass_gives_the_same(monkeypatch, dtype, target):
    large(monkeypatch)
    student = STUDENT.to(dtype).requires_grad_()
    terms = (KD(1.0) + 0.5 * CrossEntropy())(Output(logits=student), target, batch())
    loss = sum(term.total for term in terms.values())
    (once,) = torch.autograd.grad(loss, student, retain_graph=True)
    first = once.clone()
    (twice,) = torch.autograd.grad(loss, student)
    assert torch.equal(first, once)  # what was handed out is not written into again
    torch.testing.assert_close(twice, once)
