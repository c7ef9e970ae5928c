"""Every divergence against its reference and what must hold of all; then the bugs that divergences are known for."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import (
    common,
    forward_kl,
    forward_kl_positions,
    jsd,
    jsd_positions,
    kd,
    reverse_kl,
    reverse_kl_positions,
    skew_forward_kl,
    skew_forward_kl_positions,
    skew_reverse_kl,
    skew_reverse_kl_positions,
    total_variation,
    total_variation_positions,
)
from tests.objectives.cases import EXACT, IGNORED, assert_is_reference, normal
from tests.objectives.divergence_references import DIVERGENCES, EVERYBODY, EVERYTHING, head_of, pair, slope

each = pytest.mark.parametrize("entry", EVERYTHING, ids=lambda entry: entry.id)
each_divergence = pytest.mark.parametrize("entry", DIVERGENCES, ids=lambda entry: entry.id)


# ------------------------------------------------------------------------------------------------ what holds of all


@each
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_it_is_the_reference_with_a_finite_gradient(entry, data):
    case = data.draw(entry.cases())
    temperature = data.draw(st.sampled_from([0.5, 1.0, 2.0, 7.3]))
    dtype = data.draw(st.sampled_from([torch.float32, EXACT]))
    if entry.name == "adaptive_kl":  # a mass at the edge of the head falls to either side by rounding
        margins = [head_of(row, temperature, entry.settings["mu"])[1] for row in case.teacher.tolist()]
        assume(min(margins) > 1e-3)
    (student, teacher), counts = case.tensors(dtype)
    student.requires_grad_()
    value = entry.function(student, teacher, temperature=temperature, **counts)
    expected, size = (case.mean(lambda s, t, _, i=i: entry.value(s, t, temperature)[i]) for i in (0, 1))
    # a logit divided by T is rounded by its own size, and that error is in the exponent
    rounding = (1 + size) * (1 + case.largest * entry.sharpness / temperature)
    assert_is_reference(value.detach(), expected, dtype, size=rounding if math.isfinite(rounding) else None)
    if math.isfinite(expected):
        (gradient,) = torch.autograd.grad(value, student)
        assert gradient.isfinite().all()
        assert (gradient[torch.tensor(~case.counts)] == 0).all()


@each
def test_it_is_good_to_a_millionth_at_ordinary_sizes(entry):
    for classes, temperature in ((2, 1.0), (10, 4.0), (300, 2.0)):
        student, teacher = pair(8, classes, scale=3, dtype=torch.float32)
        values = [entry.value(s, t, temperature)[0] for s, t in zip(student.tolist(), teacher.tolist())]
        expected = math.fsum(values) / len(values)
        for dtype, relative in ((torch.float32, 1e-6), (EXACT, 1e-12)):
            value = entry.function(student.to(dtype), teacher.to(dtype), temperature=temperature).item()
            assert value == pytest.approx(expected, rel=relative, abs=relative / 100)


@pytest.mark.parametrize("entry", [e for e in EVERYTHING if e.smooth], ids=lambda entry: entry.id)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_gradcheck(entry, temperature):
    student, teacher = pair(3, 2, 4, scale=1)
    teacher[0, 0, 1] = student[0, 0, 1] = -math.inf
    if "teacher" in entry.finite_for and entry.largest > 1:
        teacher[0, 1, 2] = -math.inf
    if "student" in entry.finite_for and entry.largest > 1:
        student[1, 0, 3] = -math.inf
    if entry.name != "total_variation":  # p = q in two classes, where forms for p < q and p > q meet
        student[2, 1] = teacher[2, 1, [0, 2, 1, 3]]
    mask = torch.tensor([[True, True], [True, True], [False, True]])
    assert torch.autograd.gradcheck(
        lambda s: entry.function(s, teacher, mask=mask, temperature=temperature), (student.requires_grad_(),)
    )


@each_divergence
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([0.5, 1.0, 4.0]), st.sampled_from([0.01, 1.0, 4.0]))
def test_it_is_a_divergence(entry, seed, classes, temperature, scale):
    student, teacher = (normal(4, classes, seed=seed + i, scale=scale) for i in (0, 1))
    values = entry.positions(student, teacher, temperature=temperature)
    assert (values >= -1e-13).all()
    assert (entry.positions(student.float(), teacher.float(), temperature=temperature) >= -1e-6).all()
    if classes > 1 and scale == 1 and entry.settings.get("t") != 0:
        assert (values > 0).all()
    for dtype in (torch.float32, EXACT):
        same = student.to(dtype)
        assert (entry.positions(same, same.clone(), temperature=temperature) == 0).all()


@each
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.sampled_from([0.5, 1.0, 4.0]))
def test_what_does_not_matter(entry, seed, classes, temperature):
    student, teacher = (normal(4, classes, seed=seed + i) for i in (0, 1))

    def values(s, t):
        return entry.positions(s, t, temperature=temperature)

    expected, generator = values(student, teacher), torch.Generator().manual_seed(seed)
    classwise, rowwise = (torch.randperm(n, generator=generator) for n in (classes, 4))
    padding = torch.full((4, 3), -math.inf, dtype=EXACT)
    closely = {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(values(student + 3, teacher - normal(4, 1, seed=seed)), expected, **closely)
    torch.testing.assert_close(values(student[:, classwise], teacher[:, classwise]), expected, **closely)
    torch.testing.assert_close(values(student[rowwise], teacher[rowwise]), expected[rowwise], **closely)
    wide = values(torch.cat([student, padding], 1), torch.cat([teacher, padding], 1))
    torch.testing.assert_close(wide, expected, **closely)
    stacked = values(student.view(2, 1, 2, classes), teacher.view(2, 1, 2, classes))
    torch.testing.assert_close(stacked, expected.view(2, 1, 2), rtol=0, atol=0)
    parts = (values(student[:3], teacher[:3]).sum() + values(student[3:], teacher[3:]).sum()) / 4
    torch.testing.assert_close(entry.function(student, teacher, temperature=temperature), parts, **closely)


@each
def test_padding_and_what_stands_under_it_do_not_count(entry):
    student, teacher = pair(2, 3, 5)
    there = torch.tensor([[True, True, True], [True, False, False]])
    labels = torch.where(there, 0, IGNORED)
    dirty_student, dirty_teacher = student.clone(), teacher.clone()
    dirty_student[~there], dirty_teacher[~there] = math.nan, -math.inf
    expected = entry.function(student[there], teacher[there])
    clean = slope(lambda s: entry.function(s, teacher, mask=there), student)
    for counts in ({"mask": there}, {"labels": labels}, {"mask": there, "labels": labels}):
        torch.testing.assert_close(entry.function(dirty_student, dirty_teacher, **counts), expected)
        gradient = slope(lambda s, counts=counts: entry.function(s, dirty_teacher, **counts), dirty_student)
        assert torch.equal(gradient, clean)
        assert (gradient[~there] == 0).all()


@each
def test_nothing_counts(entry):
    student, teacher = pair(3, 4)
    student.requires_grad_()
    for value in (
        entry.function(student, teacher, mask=torch.zeros(3, dtype=torch.bool)),
        entry.function(student, teacher, labels=torch.full((3,), IGNORED)),
        entry.function(student[:0], teacher[:0]),
    ):
        assert value.item() == 0
        (gradient,) = torch.autograd.grad(value, student)
        assert (gradient == 0).all()


@each
def test_no_gradient_reaches_the_teacher_and_narrow_logits_are_summed_in_float32(entry):
    student, teacher = pair(4, 6)
    student.requires_grad_(), teacher.requires_grad_()
    entry.function(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0 or entry.settings.get("t") == 0
    narrow = student.detach().bfloat16(), teacher.detach().bfloat16()
    assert entry.function(*narrow).dtype == torch.float32
    assert entry.function(*narrow) == entry.function(*(logits.float() for logits in narrow))


@each
@pytest.mark.parametrize("masked", [False, True])
def test_a_few_rows_at_a_time_is_the_same(entry, masked, monkeypatch):
    student, teacher = pair(3, 5, 4)
    student[0, 0, 1] = teacher[0, 0, 1] = -math.inf
    counts = {"mask": normal(3, 5, seed=3) > 0} if masked else {}
    whole = entry.function(student, teacher, temperature=2.0, **counts)
    gradient = slope(lambda s: entry.function(s, teacher, temperature=2.0, **counts), student)
    monkeypatch.setattr(common, "WHOLE", 0)
    monkeypatch.setitem(common.CHUNK, "cpu", 9)
    torch.testing.assert_close(
        entry.function(student, teacher, temperature=2.0, **counts), whole, rtol=1e-13, atol=1e-15
    )
    again = slope(lambda s: entry.function(s, teacher, temperature=2.0, **counts), student)
    torch.testing.assert_close(again, gradient, rtol=1e-12, atol=1e-15)


@each
def test_what_does_not_fit_is_refused(entry):
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        entry.function(normal(2, 3), normal(2, 4))
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="temperature"):
            entry.function(normal(2, 3), normal(2, 3), temperature=temperature)


def test_shares_out_of_range_are_refused():
    logits = pair(2, 3)
    for beta in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"beta.*{beta}"):
            jsd(*logits, beta=beta)
    for function in (skew_forward_kl, skew_reverse_kl):
        for skew in (-0.1, 1.0, math.nan):
            with pytest.raises(ValueError, match=f"skew.*{skew}"):
                function(*logits, skew=skew)


# ------------------------------------------------------------------------------------------------ identities


@pytest.mark.parametrize("temperature", [0.7, 1.0, 4.0])
def test_kd_is_forward_kl_times_temperature_squared(temperature):
    student, teacher = pair(5, 7)
    for function in (forward_kl, jsd, skew_forward_kl):
        kind = {"beta": 0} if function is jsd else {"skew": 0} if function is skew_forward_kl else {}
        value = function(student, teacher, temperature=temperature, **kind)
        assert torch.allclose(temperature**2 * value, kd(student, teacher, temperature=temperature), rtol=1e-14)
    # no factor of its own in any other: dividing both logits by T beforehand is the same
    for entry in DIVERGENCES:
        divided = entry.function(student / temperature, teacher / temperature)
        torch.testing.assert_close(entry.function(student, teacher, temperature=temperature), divided)


def test_one_is_the_other_with_the_models_in_each_others_place():
    student, teacher = pair(5, 7)
    for forward, reverse in (
        (forward_kl_positions, reverse_kl_positions),
        (skew_forward_kl_positions, skew_reverse_kl_positions),
        (total_variation_positions, total_variation_positions),
    ):
        torch.testing.assert_close(forward(student, teacher), reverse(teacher, student))
    for beta in (0.0, 0.2, 0.5):
        torch.testing.assert_close(
            jsd_positions(student, teacher, beta=beta), jsd_positions(teacher, student, beta=1 - beta)
        )


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_bounds_hold_and_are_reached(scale):
    student, teacher = pair(20, 6, scale=scale)
    for beta in (0.1, 0.5, 0.9):
        most = -(beta * math.log(beta) + (1 - beta) * math.log(1 - beta))
        assert (jsd_positions(student, teacher, beta=beta) <= most * (1 + 1e-12)).all()
    assert (skew_forward_kl_positions(student, teacher, skew=0.1) <= math.log(10) * (1 + 1e-12)).all()
    assert (skew_reverse_kl_positions(student, teacher, skew=0.1) <= math.log(10) * (1 + 1e-12)).all()
    assert (total_variation_positions(student, teacher) <= 1 + 1e-12).all()
    apart = torch.tensor([[0.0, -math.inf]]), torch.tensor([[-math.inf, 0.0]])  # no class in common
    assert jsd(*apart).item() == pytest.approx(math.log(2), rel=1e-6)
    assert skew_forward_kl(*apart).item() == pytest.approx(math.log(10), rel=1e-6)
    assert skew_reverse_kl(*apart).item() == pytest.approx(math.log(10), rel=1e-6)
    assert total_variation(*apart) == 1
    assert forward_kl(*apart) == reverse_kl(*apart) == math.inf


@pytest.mark.parametrize("who", EVERYBODY[1:])
def test_ruled_out_classes_make_it_infinite_only_where_it_is(who):
    student, teacher = pair(2, 4)
    if who in ("student", "both"):
        student[:, 2] = -math.inf
    if who in ("teacher", "both"):
        teacher[:, 2] = -math.inf
    assert forward_kl(student, teacher).isinf() == (who == "student")
    assert reverse_kl(student, teacher).isinf() == (who == "teacher")
    for function in (jsd, skew_forward_kl, skew_reverse_kl, total_variation):
        assert function(student, teacher).isfinite()


# ----------------------------------------------------------- known bugs: the buggy form is written out and told apart


def test_bug_5_swapped_arguments_and_probabilities_for_logarithms():
    student, teacher = torch.tensor([[2.0, 0.0, 0.0]], dtype=EXACT), torch.tensor([[0.0, 0.0, 5.0]], dtype=EXACT)
    p, q = teacher.softmax(1), student.softmax(1)
    unlogged = F.kl_div(q, p, reduction="batchmean")
    assert unlogged < 0 < min(forward_kl(student, teacher), reverse_kl(student, teacher))
    assert forward_kl(student, teacher) == pytest.approx(F.kl_div(q.log(), p, reduction="batchmean").item())
    assert reverse_kl(student, teacher) == pytest.approx(F.kl_div(p.log(), q, reduction="batchmean").item())


def test_bug_6_cross_entropy_for_divergence():
    logits = normal(4, 5, seed=1)
    p = logits.softmax(1)
    assert -(p * p.log()).sum(1).mean() > 0.5
    assert forward_kl(logits, logits) == reverse_kl(logits, logits) == 0


def test_bug_8_sign_of_reverse_kl():
    student, teacher = pair(6, 5)

    def buggy(s):
        return (s.softmax(1) * (teacher.log_softmax(1) - s.log_softmax(1))).sum(1).mean()

    assert buggy(student) < 0 < reverse_kl(student, teacher)
    # a step down the slope takes the student towards the teacher, and with the wrong sign away from it
    for loss, better in ((lambda s: reverse_kl(s, teacher), True), (buggy, False)):
        moved = student - 0.1 * slope(loss, student)
        assert bool(reverse_kl(moved, teacher) < reverse_kl(student, teacher)) is better


def test_bug_9_mixture_of_logarithms():
    student, teacher = pair(6, 5, scale=10)
    log_p, log_q = teacher.log_softmax(1), student.log_softmax(1)
    log_m = (log_p + log_q) / 2  # the mean of logarithms is no probability
    buggy = ((log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(1) / 2).mean()
    assert jsd(student, teacher) < math.log(2) < buggy


def test_bug_10_beta_in_each_others_place_and_ends_that_vanish():
    student, teacher = pair(6, 5)
    forward, reverse = forward_kl(student, teacher), reverse_kl(student, teacher)
    assert abs(forward - reverse) > 0.1
    errors = [abs(jsd(student, teacher, beta=b) / b - forward).item() for b in (1e-2, 1e-4, 1e-6)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    errors = [abs(jsd(student, teacher, beta=1 - b) / b - reverse).item() for b in (1e-2, 1e-4, 1e-6)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    assert jsd(student, teacher, beta=0) == forward
    assert jsd(student, teacher, beta=1) == reverse

    def raw(s, beta):
        p, q = teacher.softmax(1), s.softmax(1)
        m = beta * p + (1 - beta) * q
        return (beta * p * (p / m).log() + (1 - beta) * q * (q / m).log()).sum(1).mean()

    torch.testing.assert_close(jsd(student, teacher, beta=0.2), raw(student, 0.2))
    assert not torch.allclose(jsd(student, teacher, beta=0.2), raw(student, 0.8), rtol=0.05)
    for beta in (0, 1):
        assert slope(lambda s, beta=beta: raw(s, beta), student).abs().max() < 1e-12
        assert slope(lambda s, beta=beta: jsd(s, teacher, beta=beta), student).abs().max() > 1e-3


def test_bug_11_negative_from_mixed_precision():
    student = normal(64, 50, seed=1, dtype=torch.float32)
    teacher = student.bfloat16()
    log_p, log_q = teacher.log_softmax(1), student.bfloat16().log_softmax(1)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    buggy = ((log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(1) / 2).min()
    assert buggy < -1e-4
    for positions in (jsd_positions, skew_forward_kl_positions, skew_reverse_kl_positions, forward_kl_positions):
        values = positions(student, teacher)
        assert values.dtype == torch.float32
        assert (values > -1e-6).all()


def test_bug_16_ruled_out_classes_make_nan_gradients():
    student, teacher = pair(3, 4)
    student[:, 1] = teacher[:, 1] = -math.inf

    def buggy(s):
        q, p = s.softmax(1), teacher.softmax(1)
        return torch.where(q > 0, q * (q.log() - p.log()), 0.0).sum(1).mean()  # where mends the value alone

    assert torch.allclose(buggy(student), reverse_kl(student, teacher))
    assert not slope(buggy, student).isfinite().all()
    gradient = slope(lambda s: reverse_kl(s, teacher), student)
    assert gradient.isfinite().all()
    assert (gradient[:, 1] == 0).all()


@each_divergence
def test_bug_18_vocabulary_padded_with_zeros(entry):
    student, teacher = pair(4, 5)

    def padded(value):
        return (torch.cat([logits, torch.full((4, 3), value, dtype=EXACT)], 1) for logits in (student, teacher))

    expected = entry.function(student, teacher)
    torch.testing.assert_close(entry.function(*padded(-math.inf)), expected)
    if entry.settings.get("t") != 0:
        assert not torch.allclose(entry.function(*padded(0.0)), expected, rtol=1e-3)


def test_bug_27_mixture_detached():
    student, teacher = pair(5, 6)
    p = teacher.softmax(1)

    def by_definition(s, detached):
        q = s.softmax(1)
        m = 0.9 * p + 0.1 * (q.detach() if detached else q)
        return (q * (q / m).log()).sum(1).mean()

    expected, buggy = (slope(lambda s, d=d: by_definition(s, d), student) for d in (False, True))
    torch.testing.assert_close(slope(lambda s: skew_reverse_kl(s, teacher), student), expected)
    assert (buggy - expected).abs().max() > 1e-3


def test_bug_28_logarithm_of_a_mixture_that_underflows():
    student = torch.tensor([[100.0, -100.0, -100.0, 0.0]])
    teacher = torch.tensor([[100.0, -100.0, 90.0, -100.0]])

    def buggy(s):
        p, q = teacher.softmax(1), s.softmax(1)
        return (p * (p.log() - (0.1 * p + 0.9 * q).log())).sum(1).mean()

    assert buggy(student).isnan()
    exact = student.double(), teacher.double()
    for function in (skew_forward_kl, skew_reverse_kl, jsd):
        assert function(student, teacher).item() == pytest.approx(function(*exact).item(), abs=1e-6)
        assert slope(lambda s, f=function: f(s, teacher), student).isfinite().all()
