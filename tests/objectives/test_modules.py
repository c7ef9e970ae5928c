"""The objectives on logits as modules: names, weights, counts and schedules, alone and in a sum."""

import copy
import math

import pytest
import torch

from limbeck.interfaces import Batch, DenseLogits, Needs, Output, Sampled, Target, TopK
from limbeck.objectives import functional
from limbeck.objectives.functional import IGNORED
from limbeck.objectives.modules import (
    DIST,
    DKD,
    JSD,
    KD,
    NKD,
    TAID,
    TTM,
    ULD,
    WTTM,
    AdaptiveKL,
    AlphaBeta,
    CrossEntropy,
    ForwardKL,
    MSELogits,
    PolicyKL,
    ReverseKL,
    SkewForwardKL,
    SkewReverseKL,
    StandardizedKD,
    Sum,
    TotalVariation,
)
from limbeck.objectives.schedules import Cosine, Linear, Progress


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
    assert objective.needs == Needs(labels=True, target=(DenseLogits, TopK, Sampled))


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


# Every objective on logits: module with settings off their defaults, and the function with the same ones.
FUNCTIONS = {
    "kd": (KD(temperature=3.0), functional.kd, {"temperature": 3.0}),
    "cross_entropy": (CrossEntropy(label_smoothing=0.2), None, {}),
    "dkd": (DKD(0.5, 3.0, 2.0), functional.dkd, {"alpha": 0.5, "beta": 3.0, "temperature": 2.0}),
    "nkd": (NKD(2.5, 2.0), functional.nkd, {"gamma": 2.5, "temperature": 2.0}),
    "dist": (DIST(0.5, 3.0, 2.0, 1.0), functional.dist, {"beta": 0.5, "gamma": 3.0, "temperature": 2.0}),
    "standardized_kd": (StandardizedKD(3.0, 1.0), functional.standardized_kd, {"temperature": 3.0}),
    "ttm": (TTM(0.3, 1.0), functional.ttm, {"gamma": 0.3}),
    "wttm": (WTTM(0.3, 1.0), functional.wttm, {"gamma": 0.3}),
    "mse_logits": (MSELogits(), functional.mse_logits, {}),
    "policy_kl": (PolicyKL(0.5, 2.0), functional.policy_kl, {"teacher_temperature": 0.5, "temperature": 2.0}),
    "uld": (ULD(2.0), functional.uld, {"temperature": 2.0}),
    "forward_kl": (ForwardKL(2.0), functional.forward_kl, {"temperature": 2.0}),
    "reverse_kl": (ReverseKL(2.0), functional.reverse_kl, {"temperature": 2.0}),
    "jsd": (JSD(0.2, 2.0), functional.jsd, {"beta": 0.2, "temperature": 2.0}),
    "skew_forward_kl": (SkewForwardKL(0.3, 2.0), functional.skew_forward_kl, {"skew": 0.3, "temperature": 2.0}),
    "skew_reverse_kl": (SkewReverseKL(0.3, 2.0), functional.skew_reverse_kl, {"skew": 0.3, "temperature": 2.0}),
    "alpha_beta": (
        AlphaBeta(0.4, 0.5, 2.0, 1.0),
        functional.alpha_beta,
        {"alpha": 0.4, "beta": 0.5, "temperature": 2.0},
    ),
    "adaptive_kl": (AdaptiveKL(0.3, 2.0), functional.adaptive_kl, {"mu": 0.3, "temperature": 2.0}),
    "total_variation": (TotalVariation(2.0), functional.total_variation, {"temperature": 2.0}),
    "taid": (TAID(t0=0.3, temperature=2.0), functional.taid, {"t": 0.3, "temperature": 2.0}),
}
NEED_LABELS = {"cross_entropy", "dkd", "nkd"}
FROM_PARTS = {"kd", "forward_kl"}  # learn from a part of the teacher's logits too
by_name = pytest.mark.parametrize("name", FUNCTIONS)


@by_name
@pytest.mark.parametrize("mask", [None, MASK, torch.zeros(6, dtype=torch.bool)], ids=["all", "some", "none"])
def test_a_module_is_its_function_under_a_name_with_total_and_count(name, mask):
    module, function, settings = FUNCTIONS[name]
    # only objectives that look at labels leave out what has none; the teacher speaks of it too
    labels = {"labels": LABELS} if name in NEED_LABELS else {}
    if function is None:
        expected = functional.cross_entropy(STUDENT, labels=LABELS, mask=mask, label_smoothing=0.2)
    else:
        expected = function(STUDENT, TEACHER, mask=mask, **labels, **settings)
    counted = torch.ones(6, dtype=torch.bool) if mask is None else mask
    counted = counted & (LABELS != IGNORED) if labels else counted
    given = batch(LABELS, mask)
    terms, counts = module(OUTPUT, TARGET, given), module.counts(given)
    assert list(terms) == list(counts) == [name]
    assert int(terms[name].count) == int(counts[name]) == int(counted.sum())
    torch.testing.assert_close(terms[name].total, expected * counted.sum(), rtol=1e-5, atol=1e-6)
    kinds = (DenseLogits, TopK, Sampled) if name in FROM_PARTS else () if name == "cross_entropy" else (DenseLogits,)
    assert module.needs == Needs(labels=name in NEED_LABELS, target=kinds)


@by_name
def test_micro_batches_change_nothing_but_for_what_compares_examples(name):
    module = FUNCTIONS[name][0]
    whole = module(OUTPUT, TARGET, batch(LABELS))[name]
    parts = []
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):
        target = Target((DenseLogits(TEACHER[part]),))
        parts.append(module(Output(logits=STUDENT[part]), target, batch(LABELS[part]))[name])
    assert int(sum(term.count for term in parts)) == int(whole.count)
    same = torch.allclose(sum(term.total for term in parts), whole.total, rtol=1e-5)
    assert same is not module.relational
    assert module.relational is (name == "dist")


@by_name
@pytest.mark.parametrize("kind", [Linear, Cosine])
def test_a_weight_that_is_warmed_up_begins_at_nothing(name, kind):
    constant = FUNCTIONS[name][0]
    module = copy.deepcopy(constant)
    module.weight = kind(0.0, 1.0, epochs=2)
    full = constant(OUTPUT, TARGET, batch(LABELS))[name].total
    # without a word of where the run stands, at its start
    assert module(OUTPUT, TARGET, batch(LABELS))[name].total == 0
    for step, share in ((0, 0.0), (5, 0.5), (10, 1.0), (99, 1.0)):
        module.eval().at(Progress(step, steps_per_epoch=5, total_steps=100))
        total = module(OUTPUT, TARGET, batch(LABELS))[name].total
        if name == "taid":  # whose target moves too
            full = functional.taid(STUDENT, TEACHER, t=float(module.schedule.t), temperature=2.0) * 6
        torch.testing.assert_close(total, share * full, rtol=1e-5, atol=1e-7)


def test_a_temperature_that_changes_is_the_one_of_its_step():
    objective = 0.5 * KD(temperature=Linear(8, 2)) + CrossEntropy(weight=Cosine(1, 0, epochs=4))
    for step, temperature, weight in ((0, 8.0, 1.0), (8, 5.0, 0.5), (16, 2.0, 0.0)):
        objective.at(Progress(step, steps_per_epoch=4, total_steps=17))
        terms = objective(OUTPUT, TARGET, batch(LABELS))
        expected = functional.kd(STUDENT, TEACHER, temperature=temperature)
        torch.testing.assert_close(terms["kd"].total, 0.5 * 6 * expected)
        cross_entropy = functional.cross_entropy(STUDENT, labels=LABELS)
        torch.testing.assert_close(terms["cross_entropy"].total, weight * 4 * cross_entropy)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: KD(temperature=Linear(4, 0)), "temperature"),
        (lambda: KD(weight=Linear(-1, 1)), "negative"),
        (lambda: DKD(beta=-1.0), "beta"),
        (lambda: DIST(gamma=-1.0), "gamma"),
        (lambda: DIST(temperature=0.0), "temperature"),
        (lambda: TTM(gamma=0.0), "gamma"),
        (lambda: JSD(beta=1.5), "beta"),
        (lambda: SkewReverseKL(skew=Linear(0.1, 1.0)), "skew"),
        (lambda: AdaptiveKL(mu=-0.1), "mu"),
        (lambda: AlphaBeta(alpha=math.inf), "alpha"),
        (lambda: PolicyKL(teacher_temperature=0.0), "teacher_temperature"),
        (lambda: TAID(t0=0.9, t1=0.1), "t0"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_when_the_module_is_made(make, word):
    with pytest.raises(ValueError, match=word):
        make()


def test_objectives_that_tell_the_true_class_from_the_others_refuse_mixes():
    for module in (DKD(), NKD()):
        with pytest.raises(ValueError, match="mixup or CutMix"):
            module(OUTPUT, TARGET, batch(SHARES))


def test_a_setting_shows_in_what_enters_the_names_of_finished_stages():
    assert repr(KD(4)) == "KD(temperature=4.0, weight=1.0)"
    assert repr(CrossEntropy(weight=1)) == "CrossEntropy(weight=1.0, label_smoothing=0.0)"
    assert repr(KD(weight=Linear(0, 1))) == "KD(temperature=4.0, weight=Linear(start=0, end=1, epochs=None))"
    assert repr(TAID(t0=0.1)) != repr(TAID())


class TestTAID:
    """The target moves between steps, by what was seen in the step before."""

    STEPS = 12

    def losses(self, module, step):
        """One step, in one part or several."""
        module.at(Progress(step, steps_per_epoch=4, total_steps=self.STEPS))
        student = normal(6, 5, seed=10 + step)
        parts = [slice(0, 6)] if step % 2 else [slice(0, 1), slice(1, 6)]
        total = 0.0
        for part in parts:
            given = Output(logits=student[part]), Target((DenseLogits(TEACHER[part]),)), batch(LABELS[part])
            total += float(module(*given)["taid"].total)
        return total / 6

    def test_it_follows_the_papers_rule(self):
        module = TAID(t0=0.2, t1=0.9, alpha=0.3, momentum=0.5, temperature=2.0)
        t, trend, before = 0.2, 0.0, None
        for step in range(self.STEPS):
            loss = self.losses(module, step)
            assert float(module.schedule.t) == pytest.approx(t, rel=1e-5)
            expected = functional.taid(normal(6, 5, seed=10 + step), TEACHER, t=t, temperature=2.0)
            assert loss == pytest.approx(float(expected), rel=1e-4)
            if before is not None:
                trend = 0.5 * trend + 0.5 * (before - loss) / before
                t = t + 0.3 / (1 + math.exp(-trend)) * (1 - t)
            t = min(0.9, max(t, 0.2 + 0.7 * (step + 1) / self.STEPS))
            before = loss

    def test_it_goes_on_from_a_checkpoint(self):
        straight, first, second = TAID(), TAID(), TAID()
        expected = [self.losses(straight, step) for step in range(self.STEPS)]
        seen = [self.losses(first, step) for step in range(5)]
        second.load_state_dict(first.state_dict())
        assert seen + [self.losses(second, step) for step in range(5, self.STEPS)] == expected

    def test_looking_at_it_does_not_move_it(self):
        module = TAID()
        self.losses(module, 0)
        state = copy.deepcopy(module.state_dict())
        module.eval()
        module(OUTPUT, TARGET, batch(LABELS))
        torch.testing.assert_close(module.state_dict(), state, rtol=0, atol=0, equal_nan=True)
