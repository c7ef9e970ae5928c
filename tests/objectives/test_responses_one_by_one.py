"""What is particular to each of dkd, nkd, standardized_kd, ttm, wttm, mse_logits and dist."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives import functional as f
from tests.objectives.cases import EXACT, cases, normal, softmax
from tests.objectives.response_methods import close, far, others, reference_dkd, value_and_gradient

# ------------------------------------------------------------------------------------------------ dkd and nkd


@settings(max_examples=100, deadline=None)
@given(cases(), st.sampled_from([0.5, 1.0, 4.0]))
def test_kd_is_target_plus_share_of_the_others(case, temperature):
    (student, teacher), _ = case.tensors(EXACT)
    labels = torch.tensor(case.labels).clamp(min=0).remainder(student.shape[1])
    label_share = (teacher / temperature).softmax(1).gather(1, labels[:, None]).squeeze(1)
    whole = f.kd_positions(student, teacher, temperature=temperature)
    target, rest = (
        f.dkd_positions(student, teacher, labels, temperature=temperature, alpha=alpha, beta=beta)
        for alpha, beta in ((1.0, 0.0), (0.0, 1.0))
    )
    tolerance = {"rtol": 1e-9, "atol": 1e-11 * (1 + case.largest) * temperature**2}
    close(target + (1 - label_share) * rest, whole, **tolerance)
    for row in range(len(labels)):
        here = slice(row, row + 1)
        same = f.dkd(
            student[here],
            teacher[here],
            labels=labels[here],
            temperature=temperature,
            alpha=1.0,
            beta=1 - min(1.0, label_share[row].item()),
        )
        close(same, whole[row], **tolerance)


def test_bug_the_label_kept_out_by_a_thousand():
    """A published DKD takes 1000 from the label's logit: not enough where logits are large or T is low."""
    student, teacher = torch.tensor([[0.0, 1.0, 1500.0]], dtype=EXACT), torch.tensor([[2.0, 0.0, 1500.0]], dtype=EXACT)
    labels = torch.tensor([2])

    def buggy(T):
        hidden = 1000.0 * F.one_hot(labels, 3)
        log_p, log_q = ((logits / T - hidden).log_softmax(1) for logits in (teacher, student))
        return T**2 * (log_p.exp() * (log_p - log_q)).sum()

    for temperature in (1.0, 1.4):
        (expected, _) = reference_dkd([0, 1, 1500], [2, 0, 1500], 2, temperature=temperature, alpha=0, beta=1)
        value = f.dkd(student, teacher, labels=labels, temperature=temperature, alpha=0, beta=1)
        assert value.item() == pytest.approx(expected, rel=1e-12)
        assert expected > 0.5
        assert buggy(temperature) < 1e-12
    close(buggy(4.0), f.dkd(student, teacher, labels=labels, temperature=4.0, alpha=0, beta=1))


def test_bug_the_complement_of_a_sure_student_rounds_to_zero():
    student, teacher = torch.tensor([[40.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    expected, _ = reference_dkd([40, 0, 0], [1, 0, 0], 0, temperature=1.0, alpha=1, beta=0)
    value, gradient = value_and_gradient(partial(f.dkd, labels=torch.tensor([0]), beta=0), student, teacher)
    p, q = teacher.softmax(1)[0, 0], student.softmax(1)[0, 0]
    buggy = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    assert buggy.isinf()
    assert value.item() == pytest.approx(expected, rel=1e-6)
    assert gradient[0, 0].item() == pytest.approx(1 - p.item(), rel=1e-6)


def test_a_part_of_weight_zero_is_left_out_even_where_it_is_infinite():
    student, teacher = torch.tensor([[1.0, -math.inf, 0.0]], dtype=EXACT), torch.tensor([[1.0, 0.5, 0.0]], dtype=EXACT)
    for loss, weight in ((f.dkd, "beta"), (f.nkd, "gamma")):
        off, on = (partial(loss, labels=torch.tensor([0]), **{weight: value}) for value in (0.0, 1.0))
        assert on(student, teacher) == math.inf
        value, gradient = value_and_gradient(off, student, teacher)
        assert value.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("of", ["dkd", "nkd's others", "standardized_kd"])
def test_bug_missing_or_doubled_temperature_squared(of):
    labels = torch.arange(16) % 10
    loss = {
        "dkd": lambda s, t, T: f.dkd(s, t, labels=labels, temperature=T),
        "nkd's others": lambda s, t, T: (
            f.nkd(s, t, labels=labels, temperature=T, gamma=1) - f.nkd(s, t, labels=labels, gamma=0)
        ),
        "standardized_kd": lambda s, t, T: f.standardized_kd(s, t, temperature=T),
    }[of]

    def steepness(factor):
        norms = [
            value_and_gradient(
                lambda s, t, T=T: factor(T) * loss(s, t, T), normal(16, 10, seed=1), normal(16, 10, seed=2)
            )
            for T in (1.0, 2.0, 4.0, 8.0)
        ]
        sizes = [gradient.norm().item() for _, gradient in norms]
        return max(sizes) / min(sizes)

    assert steepness(lambda T: 1) < 2
    assert steepness(lambda T: T**-2) > 10
    assert steepness(lambda T: T**2) > 10


def test_nkd_is_a_cross_entropy_at_equality():
    logits, labels, temperature = normal(4, 5, seed=1).requires_grad_(), torch.tensor([0, 3, 2, 2]), 2.0
    values = f.nkd_positions(logits, logits, labels, temperature=temperature, gamma=1.5)
    for value, row, label in zip(values.tolist(), logits.tolist(), labels.tolist()):
        p_label, p_others = softmax(row)[label], softmax(others(row, label), temperature)
        entropy = -math.fsum(p * math.log(p) for p in p_others)
        assert value == pytest.approx(-p_label * math.log(p_label) + 1.5 * temperature**2 * entropy, rel=1e-12)
        assert value > 1
    (gradient,) = torch.autograd.grad(values.sum(), logits)
    assert (gradient.gather(1, labels[:, None]) < -0.005).all()  # it still asks for more of the label
    # of the others it asks nothing more than to stay as they are among themselves
    apart = gradient / logits.softmax(1)
    apart.scatter_(1, labels[:, None], math.nan)
    spread = [row[~row.isnan()] for row in apart]
    assert all(row.std() < 1e-12 for row in spread)


# ------------------------------------------------------------------------------------------------ matching


def test_standardized_logits_forget_shift_and_scale():
    student, teacher = normal(6, 8, seed=1), normal(6, 8, seed=2)
    value = f.standardized_kd(student, teacher, temperature=2.0)
    close(f.standardized_kd(50 * student + 7, 0.3 * teacher, temperature=2.0), value, rtol=1e-5)
    assert f.standardized_kd(3 * teacher - 1, teacher, temperature=2.0) < 1e-12
    assert f.kd(3 * teacher - 1, teacher, temperature=2.0) > 0.1

    def with_std(unbiased):
        z = [
            (x - x.mean(1, keepdim=True)) / (1e-7 + x.std(1, keepdim=True, unbiased=unbiased))
            for x in (student, teacher)
        ]
        return f.kd(*z, temperature=2.0)

    close(value, with_std(True))
    assert far(with_std(False), value)  # the buggy std


def test_ttm_is_kd_with_the_temperature_on_the_teacher_alone():
    student, teacher = normal(6, 8, seed=1), normal(6, 8, seed=2, scale=3)
    close(f.ttm(student, teacher, gamma=1.0), f.kd(student, teacher))
    close(f.wttm(student, teacher, gamma=1.0), f.kd(student, teacher))
    assert f.ttm(0.25 * teacher, teacher, gamma=0.25) < 1e-14
    assert f.ttm(teacher, teacher, gamma=0.25) > 0.1
    value = f.ttm(student, teacher, gamma=0.25)
    on_both = f.kd(student, teacher, temperature=4.0) / 16  # the buggy forms: T at the student too, and T²
    assert far(on_both, value)
    assert on_both.item() != pytest.approx(value.item() * 16, rel=0.01)
    # the difference to KD of the same T is a function of the student, and the teacher's mean of it
    p, q, softened = (0.25 * teacher).softmax(1), student.log_softmax(1), (0.25 * student).log_softmax(1)
    close(value - on_both, (p * (softened - q)).sum(1).mean())


def test_wttm_weighs_an_example_by_the_teachers_uncertainty():
    teacher = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, -math.inf, -math.inf, -math.inf], [3.0, 1.0, 0.0, 0.0]])
    student, gamma = normal(3, 4, seed=1), 0.2
    weights = f.wttm_positions(student, teacher.double(), gamma=gamma) / f.ttm_positions(student, teacher, gamma=gamma)
    assert weights[0].item() == pytest.approx(4**0.8)
    assert weights[1].item() == pytest.approx(1.0)
    assert weights[2].item() == pytest.approx(sum(p**gamma for p in softmax([3.0, 1.0, 0.0, 0.0])))


def test_mse_of_logits_is_of_centred_ones_and_what_kd_tends_to():
    student, teacher = normal(6, 10, seed=1, scale=3), normal(6, 10, seed=2, scale=3)
    centred = [logits - logits.mean(1, keepdim=True) for logits in (student, teacher)]
    value = f.mse_logits(student, teacher)
    close(value, F.mse_loss(*centred))
    apart = [abs(2 * f.kd(student, teacher, temperature=T) - value).item() for T in (30.0, 300.0, 3000.0)]
    assert apart[0] > 5 * apart[1] > 25 * apart[2]
    assert apart[2] < 5e-3 * value
    # the buggy form takes the constant for knowledge: stored logits, which are centred, give another loss than live ones
    live, stored = F.mse_loss(student, teacher + 5), F.mse_loss(student, centred[1])
    assert far(live, stored)
    close(f.mse_logits(student, teacher + 5), f.mse_logits(student, centred[1]))


# ------------------------------------------------------------------------------------------------ dist


def test_dist_is_between_none_and_two():
    row = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]], dtype=EXACT)
    assert f.dist(row, row).item() == pytest.approx(0, abs=1e-6)
    assert f.dist(row.flip(1), row, temperature=2.0, beta=1.0, gamma=0.5).item() == pytest.approx(2 * 4 * 1.5, rel=1e-6)
    student, teacher = normal(20, 6, seed=1), normal(20, 6, seed=2)
    assert 0 < f.dist(student, teacher) < 4


def test_dist_of_a_constant_adds_one_and_a_bounded_slope():
    teacher = normal(4, 5, seed=2)
    ones = f.dist(torch.zeros(4, 5, dtype=EXACT), teacher, temperature=3.0, beta=2.0, gamma=0.5)
    assert ones.item() == pytest.approx(9 * 2.5)
    one_position = f.dist(normal(1, 5, seed=1), teacher[:1], beta=0, gamma=0.5, temperature=3.0)
    assert one_position.item() == pytest.approx(9 * 0.5)
    one_class = f.dist(normal(4, 1, seed=1), teacher[:, :1], beta=2.0, gamma=0, temperature=3.0)
    assert one_class.item() == pytest.approx(9 * 2.0)
    _, gradient = value_and_gradient(f.dist, torch.zeros(4, 5, dtype=torch.float32), teacher.float())
    assert 0 < gradient.abs().max() < 1e8
    _, gradient = value_and_gradient(f.dist, normal(4, 5, seed=1), torch.zeros(4, 5, dtype=EXACT))
    assert (gradient == 0).all()


def test_the_slope_of_dist_grows_with_temperature_squared():
    norms = [
        value_and_gradient(partial(f.dist, temperature=T), normal(8, 5, seed=1), normal(8, 5, seed=2))[1].norm()
        for T in (32.0, 64.0)
    ]
    assert norms[1] / norms[0] == pytest.approx(4, rel=0.02)


def test_dist_is_declared_to_depend_on_the_batch():
    student, teacher = normal(8, 5, seed=1), normal(8, 5, seed=2)
    halves = (f.dist(student[:4], teacher[:4]) + f.dist(student[4:], teacher[4:])) / 2
    assert far(halves, f.dist(student, teacher))
    halves = (f.dist(student[:4], teacher[:4], gamma=0) + f.dist(student[4:], teacher[4:], gamma=0)) / 2
    close(halves, f.dist(student, teacher, gamma=0))  # of the two it is the columns


def test_bug_rows_that_do_not_count_stay_in_the_columns():
    student, teacher = normal(6, 4, seed=1), normal(6, 4, seed=2)
    mask = torch.tensor([True, True, True, False, True, False])
    q, p = ((logits.softmax(1) * mask[:, None]).T for logits in (student, teacher))  # zeroed, and kept

    def buggy(a, b):
        return 1 - F.cosine_similarity(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)).mean()

    expected = buggy(q[:, mask], p[:, mask])
    close(f.dist(student, teacher, mask=mask, beta=0), expected, rtol=1e-6)
    assert far(buggy(q, p), expected)
