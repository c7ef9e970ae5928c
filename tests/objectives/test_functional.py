"""The objectives against a plain float64 reference, their identities, and the bugs that distillation code is known for."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives.functional import IGNORED, cross_entropy, cross_entropy_positions, kd, kd_positions

EXACT = torch.float64


def normal(*shape, seed=0, scale=1.0, dtype=EXACT):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ------------------------------------------------------------------------------------------------ the reference


def log_probabilities(row, temperature):
    scaled = [value / temperature for value in row]
    top = max(scaled)
    total = math.log(math.fsum(math.exp(value - top) for value in scaled))
    return [value - top - total for value in scaled]


def reference_kd(student, teacher, counts, temperature):
    """The value, and the size of what was summed up for it: rounding is to be judged by the latter."""
    values, sizes = [], []
    for student_row, teacher_row, counted in zip(student, teacher, counts):
        if not counted:
            continue
        log_q = log_probabilities(student_row, temperature)
        log_p = log_probabilities(teacher_row, temperature)
        terms = [(math.exp(p), p, q) for p, q in zip(log_p, log_q) if p > -math.inf and math.exp(p) > 0]
        values.append(temperature**2 * math.fsum(weight * (p - q) for weight, p, q in terms))
        sizes.append(temperature**2 * math.fsum(weight * (abs(p) + abs(q)) for weight, p, q in terms))
    return (math.fsum(values) / len(values), math.fsum(sizes) / len(sizes)) if values else (0.0, 0.0)


def reference_cross_entropy(student, labels, counts, smoothing):
    values = []
    for row, label, counted in zip(student, labels, counts):
        if not counted:
            continue
        log_q = log_probabilities(row, 1.0)
        spread = smoothing / len(row)
        target = [spread + (1 - smoothing) * (index == label) for index in range(len(row))]
        values.append(-math.fsum(t * q for t, q in zip(target, log_q) if t > 0))
    return math.fsum(values) / len(values) if values else 0.0


@st.composite
def cases(draw):
    positions = draw(st.integers(1, 6))
    classes = draw(st.integers(1, 7))
    scale = draw(st.sampled_from([0.0, 1e-6, 1e-2, 1.0, 30.0, 1e3]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    student, teacher = scale * rng.standard_normal((2, positions, classes))
    ruled_out = rng.random((positions, classes)) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    ruled_out[np.arange(positions), rng.integers(0, classes, positions)] = False
    teacher[ruled_out] = -np.inf
    if draw(st.booleans()):
        student[ruled_out] = -np.inf
    mask = rng.random(positions) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    allowed = [np.flatnonzero(~row) for row in ruled_out]
    labels = np.array([rng.choice(row) for row in allowed])
    labels[rng.random(positions) < draw(st.sampled_from([0.0, 0.4]))] = IGNORED
    return student.astype(np.float32), teacher.astype(np.float32), mask, labels


@settings(max_examples=150, deadline=None)
@given(cases(), st.sampled_from([0.5, 1.0, 2.0, 4.0, 7.3, 20.0]), st.sampled_from([torch.float32, EXACT]))
def test_kd_is_the_reference(case, temperature, dtype):
    student, teacher, mask, labels = case
    given_ = torch.tensor(student, dtype=dtype), torch.tensor(teacher, dtype=dtype)
    value = kd(*given_, labels=torch.tensor(labels), mask=torch.tensor(mask), temperature=temperature)
    counts = mask & (labels != IGNORED)
    expected, size = reference_kd(student.tolist(), teacher.tolist(), counts, temperature)
    assert value.dtype == dtype
    assert value.shape == ()
    relative = 1e-6 if dtype == torch.float32 else 1e-12
    # a logit divided by T is rounded by its own size, and that error is in the exponent
    largest = max(float(np.abs(array[np.isfinite(array)]).max()) for array in (student, teacher)) / temperature
    assert value.item() == pytest.approx(expected, rel=relative, abs=relative * (1 + largest) * (size + temperature**2))


def test_kd_at_ordinary_sizes_is_good_to_a_millionth():
    for classes, temperature in ((2, 1.0), (10, 4.0), (1000, 2.0)):
        student, teacher = (normal(32, classes, seed=seed, scale=3, dtype=torch.float32) for seed in (1, 2))
        expected, _ = reference_kd(student.tolist(), teacher.tolist(), [True] * 32, temperature)
        assert kd(student, teacher, temperature=temperature).item() == pytest.approx(expected, rel=1e-6)
        exact = kd(student.double(), teacher.double(), temperature=temperature).item()
        assert exact == pytest.approx(expected, rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(cases(), st.sampled_from([0.0, 0.1]), st.sampled_from([torch.float32, EXACT]))
def test_cross_entropy_is_the_reference(case, smoothing, dtype):
    student, _, mask, labels = case
    if smoothing:
        student = np.where(np.isfinite(student), student, -5.0)  # smoothing a class of probability 0 costs infinity
    value = cross_entropy(
        torch.tensor(student, dtype=dtype),
        labels=torch.tensor(labels),
        mask=torch.tensor(mask),
        label_smoothing=smoothing,
    )
    expected = reference_cross_entropy(student.tolist(), labels, mask & (labels != IGNORED), smoothing)
    relative = 1e-6 if dtype == torch.float32 else 1e-12
    assert value.dtype == dtype
    assert value.item() == pytest.approx(expected, rel=relative, abs=relative)


def test_narrow_logits_are_summed_in_float32():
    student, teacher = (normal(64, 100, seed=seed).bfloat16() for seed in (1, 2))
    assert kd(student, teacher).dtype == torch.float32
    assert kd(student, teacher) == kd(student.float(), teacher.float())
    labels = torch.arange(64)
    assert cross_entropy(student, labels=labels) == cross_entropy(student.float(), labels=labels)


# ------------------------------------------------------------------------------------------------ gradients


@pytest.mark.parametrize("temperature", [0.7, 1.0, 4.0])
def test_gradcheck_of_kd(temperature):
    student, teacher = normal(3, 2, 4, seed=1).requires_grad_(), normal(3, 2, 4, seed=2)
    teacher[0, 0, 1] = -math.inf
    mask = torch.tensor([[True, False], [True, True], [False, False]])
    assert torch.autograd.gradcheck(lambda s: kd(s, teacher, mask=mask, temperature=temperature), (student,))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradcheck_of_cross_entropy(smoothing):
    student = normal(4, 3, seed=1).requires_grad_()
    ids, mask = torch.tensor([0, 2, IGNORED, 1]), torch.tensor([True, True, True, False])
    shares = normal(4, 3, seed=3).softmax(1)
    for labels in (ids, shares):
        assert torch.autograd.gradcheck(
            lambda s, y: cross_entropy(s, labels=y, mask=mask, label_smoothing=smoothing), (student, labels)
        )


def test_no_gradient_reaches_the_teacher():
    student, teacher = normal(3, 4, seed=1).requires_grad_(), normal(3, 4, seed=2).requires_grad_()
    kd(student, teacher, temperature=2.0).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0
    # the buggy form does reach it
    p = teacher.softmax(1)
    (p * (p.log() - student.log_softmax(1))).sum(1).mean().backward()
    assert teacher.grad.abs().sum() > 0


@pytest.mark.parametrize("value", [-math.inf, math.nan])
@pytest.mark.parametrize("who", ["student", "teacher"])
def test_whatever_stands_under_the_mask_does_not_reach_the_gradient(who, value):
    logits = {"student": normal(3, 4, seed=1), "teacher": normal(3, 4, seed=2)}
    mask, labels = torch.tensor([True, False, True]), torch.tensor([0, 1, 2])
    clean = logits["student"].clone().requires_grad_()
    loss = kd(clean, logits["teacher"], mask=mask) + cross_entropy(clean, labels=labels, mask=mask)
    loss.backward()
    logits[who][1] = value
    student = logits["student"].requires_grad_()
    again = kd(student, logits["teacher"], mask=mask) + cross_entropy(student, labels=labels, mask=mask)
    again.backward()
    assert again == loss
    assert torch.equal(student.grad, clean.grad)
    assert (clean.grad[1] == 0).all()


def test_nothing_counts():
    student, teacher = normal(3, 4, seed=1).requires_grad_(), normal(3, 4, seed=2)
    nowhere, unlabelled = torch.zeros(3, dtype=torch.bool), torch.full((3,), IGNORED)
    for value in (
        kd(student, teacher, mask=nowhere),
        kd(student, teacher, labels=unlabelled),
        cross_entropy(student, labels=unlabelled),
        cross_entropy(student, labels=torch.zeros(3, 4, dtype=EXACT)),
        cross_entropy(student, labels=torch.zeros(3, dtype=torch.int64), mask=nowhere),
        kd(student[:0], teacher[:0]),
        cross_entropy(student[:0], labels=unlabelled[:0]),
    ):
        assert value.item() == 0
        (gradient,) = torch.autograd.grad(value, student, retain_graph=True)
        assert (gradient == 0).all()


# ------------------------------------------------------------------------------------------------ identities


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 9), st.sampled_from([0.3, 1.0, 4.0, 30.0]), st.floats(1e-3, 50))
def test_kl_is_a_divergence(seed, classes, temperature, scale):
    student, teacher = normal(5, classes, seed=seed, scale=scale), normal(5, classes, seed=seed + 1, scale=scale)
    values = kd_positions(student, teacher, temperature=temperature)
    assert (values >= -1e-12 * temperature**2 * (1 + scale)).all()
    assert (kd_positions(student, student, temperature=temperature) == 0).all()
    assert (kd_positions(student.float(), student.float(), temperature=temperature) == 0).all()
    if classes > 1 and scale > 0.1:
        assert (kd_positions(normal(1, classes, seed=seed), normal(1, classes, seed=seed + 1)) > 0).all()
    order = torch.randperm(classes, generator=torch.Generator().manual_seed(seed))
    permuted = kd_positions(student[:, order], teacher[:, order], temperature=temperature)
    shifted = kd_positions(student + 3.0, teacher - normal(5, 1, seed=seed), temperature=temperature)
    tolerance = {"rtol": 1e-9, "atol": 1e-10 * temperature**2 * (1 + scale)}
    torch.testing.assert_close(permuted, values, **tolerance)
    torch.testing.assert_close(shifted, values, **tolerance)


def test_a_high_temperature_matches_centred_logits():
    student, teacher = normal(6, 10, seed=1, scale=3), normal(6, 10, seed=2, scale=3)

    def centred(logits):
        return logits - logits.mean(1, keepdim=True)

    limit = ((centred(student) - centred(teacher)) ** 2).sum(1).mean() / (2 * 10)
    apart = [abs(kd(student, teacher, temperature=T) - limit).item() for T in (30.0, 300.0, 3000.0)]
    assert apart[0] > 5 * apart[1] > 25 * apart[2]
    assert apart[2] < 5e-3 * limit


def test_label_smoothing_and_one_hot_labels_are_torchs():
    student, labels = normal(8, 5, seed=1), torch.arange(8) % 5
    one_hot = F.one_hot(labels, 5).double()
    for smoothing in (0.0, 0.1, 0.5):
        expected = F.cross_entropy(student, labels, label_smoothing=smoothing)
        assert torch.allclose(cross_entropy(student, labels=labels, label_smoothing=smoothing), expected, rtol=1e-13)
        assert torch.allclose(cross_entropy(student, labels=one_hot, label_smoothing=smoothing), expected, rtol=1e-13)
        shares = normal(8, 5, seed=2).softmax(1)
        expected = F.cross_entropy(student, shares, label_smoothing=smoothing)
        assert torch.allclose(cross_entropy(student, labels=shares, label_smoothing=smoothing), expected, rtol=1e-13)


def test_an_unlabelled_row_of_probabilities_is_left_out():
    student, shares = normal(3, 4, seed=1), normal(3, 4, seed=2).softmax(1)
    shares[1] = 0
    left = torch.tensor([0, 2])
    for smoothing in (0.0, 0.1):
        value = cross_entropy(student, labels=shares, label_smoothing=smoothing)
        expected = cross_entropy(student[left], labels=shares[left], label_smoothing=smoothing)
        assert torch.allclose(value, expected, rtol=1e-13)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        kd(normal(2, 3), normal(2, 4))
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="temperature"):
            kd(normal(2, 3), normal(2, 3), temperature=temperature)
    with pytest.raises(ValueError, match=r"\(3,\)"):
        cross_entropy(normal(2, 3), labels=torch.zeros(3, dtype=torch.int64))


# ----------------------------------------------------------- known bugs: the buggy form is written out and told apart


def test_bug_mean_over_classes():
    student, teacher = normal(4, 10, seed=1), normal(4, 10, seed=2)
    padding = torch.full((4, 6), -math.inf, dtype=EXACT)
    wide_student, wide_teacher = torch.cat([student, padding], 1), torch.cat([teacher, padding], 1)
    assert torch.allclose(kd(wide_student, wide_teacher, temperature=3), kd(student, teacher, temperature=3))

    def buggy(s, t):
        p, log_q = t.softmax(1), s.log_softmax(1).clamp(min=-1e9)
        return F.kl_div(log_q, p, reduction="none").mean()

    assert not torch.allclose(buggy(wide_student, wide_teacher), buggy(student, teacher))
    assert not torch.allclose(buggy(student, teacher), kd(student, teacher))


def test_bug_batchmean_grows_with_length():
    student, teacher = normal(2, 3, 5, seed=1), normal(2, 3, 5, seed=2)
    twice_student, twice_teacher = student.repeat(1, 2, 1), teacher.repeat(1, 2, 1)
    assert torch.allclose(kd(twice_student, twice_teacher), kd(student, teacher))

    def buggy(s, t):
        return F.kl_div(s.log_softmax(-1), t.softmax(-1), reduction="batchmean")

    assert torch.allclose(buggy(twice_student, twice_teacher), 2 * buggy(student, teacher))


def test_bug_dividing_twice():
    student, teacher = normal(8, 5, seed=1), normal(8, 5, seed=2)
    once = F.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="batchmean")
    assert torch.allclose(kd(student, teacher), once)
    assert not torch.allclose(kd(student, teacher), once / len(student))
    assert torch.allclose(kd(student.repeat(3, 1), teacher.repeat(3, 1)), once)


def test_bug_missing_or_doubled_temperature_squared():
    def steepness(loss):
        norms = []
        for temperature in (1.0, 2.0, 4.0, 8.0):
            student = normal(16, 10, seed=1).requires_grad_()
            loss(student, normal(16, 10, seed=2), temperature).backward()
            norms.append(student.grad.norm().item())
        return max(norms) / min(norms)

    assert steepness(lambda s, t, T: kd(s, t, temperature=T)) < 2
    assert steepness(lambda s, t, T: kd(s, t, temperature=T) / T**2) > 10
    assert steepness(lambda s, t, T: kd(s, t, temperature=T) * T**2) > 10


def test_bug_probabilities_for_logarithms_and_swapped_arguments():
    student, teacher = torch.tensor([[2.0, 0.0, 0.0]], dtype=EXACT), torch.tensor([[0.0, 0.0, 5.0]], dtype=EXACT)
    p, q = teacher.softmax(1), student.softmax(1)
    forward = (p * (p / q).log()).sum()
    swapped = F.kl_div(p.log(), q, reduction="batchmean")
    unlogged = F.kl_div(q, p, reduction="batchmean")
    assert torch.allclose(kd(student, teacher), forward)
    for buggy in (swapped, unlogged):
        assert abs(buggy - forward) > 0.1 * forward
    assert F.kl_div(p, p, reduction="batchmean") < -0.1  # the un-logged form is not even a divergence
    assert kd(teacher, teacher) == 0


def test_bug_cross_entropy_for_divergence():
    logits = normal(4, 5, seed=1)
    buggy = -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()
    assert buggy > 0.5
    assert kd(logits, logits) == 0


def test_bug_the_student_for_teacher():
    student = normal(4, 5, seed=1).requires_grad_()
    first, second = (kd(student, normal(4, 5, seed=seed), temperature=4) for seed in (2, 3))
    assert first != second
    for loss, moves in ((first, True), (kd(student, student.detach(), temperature=4), False)):
        (gradient,) = torch.autograd.grad(loss, student)
        assert bool(gradient.norm() > 1e-3) is moves


def test_bug_padding_counts():
    student, teacher = normal(2, 3, 5, seed=1), normal(2, 3, 5, seed=2)
    labels, there = torch.tensor([[0, 1, 2], [3, 4, 0]]), torch.ones(2, 3, dtype=torch.bool)

    def padded(extra):
        def longer(values, fill):
            shape = (2, extra, *values.shape[2:])
            return torch.cat([values, torch.full(shape, fill, dtype=values.dtype)], 1)

        return longer(student, 9.0), longer(teacher, 0.0), longer(labels, IGNORED), longer(there, False)

    for extra in (0, 1, 7):
        s, t, y, mask = padded(extra)
        for value in (kd(s, t, mask=mask), kd(s, t, labels=y), kd(s, t, labels=y, mask=mask)):
            assert torch.allclose(value, kd(student, teacher))
        assert torch.allclose(cross_entropy(s, labels=y), cross_entropy(student, labels=labels))
    s, t, y, mask = padded(7)
    over_all = (kd_positions(s, t) * mask).mean()  # the buggy form divides by the padding too
    assert not torch.allclose(over_all, kd(student, teacher))


def test_bug_each_micro_batch_normalised_by_itself():
    student, teacher = normal(6, 4, seed=1), normal(6, 4, seed=2)
    labels = torch.tensor([0, IGNORED, IGNORED, 1, 2, 3])
    whole = cross_entropy(student, labels=labels)
    parts = [slice(0, 3), slice(3, 6)]
    total = sum(cross_entropy_positions(student[part], labels[part]).sum() for part in parts)
    assert torch.allclose(total / (labels != IGNORED).sum(), whole)
    buggy = sum(cross_entropy(student[part], labels=labels[part]) for part in parts) / 2
    assert not torch.allclose(buggy, whole)
    assert torch.allclose(
        sum(kd_positions(student[part], teacher[part]).sum() for part in parts) / 6, kd(student, teacher)
    )


def test_bug_ruled_out_classes_make_nan_gradients():
    student, teacher = normal(3, 4, seed=1), normal(3, 4, seed=2)
    student[:, 1] = teacher[:, 1] = -math.inf
    mask = torch.tensor([True, False, True])

    def buggy(s):
        p, log_q = teacher.softmax(1), s.softmax(1).log()
        # where() mends the value and not the gradient: 0 from outside meets the infinite slope of log at 0
        return torch.where((p > 0) & mask[:, None], p * (p.log() - log_q), 0.0).sum() / mask.sum()

    ours, theirs = (student.clone().requires_grad_() for _ in range(2))
    values = kd(ours, teacher, mask=mask), buggy(theirs)
    assert torch.allclose(*values)
    for value in values:
        value.backward()
    assert ours.grad.isfinite().all()
    assert (ours.grad[:, 1] == 0).all()
    assert not theirs.grad.isfinite().all()
