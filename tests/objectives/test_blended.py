"""What the α-β family, the adaptive KL and TAID have of their own; what they share is in test_divergences.py."""

import math

import pytest
import torch

from limbeck.objectives.functional import (
    adaptive_kl,
    adaptive_kl_positions,
    alpha_beta,
    alpha_beta_positions,
    forward_kl,
    forward_kl_positions,
    reverse_kl,
    reverse_kl_positions,
    taid,
    taid_positions,
)
from limbeck.objectives.taid_schedule import TAIDSchedule
from tests.objectives.cases import EXACT, normal
from tests.objectives.divergence_references import adaptive_kl as reference_adaptive_kl
from tests.objectives.divergence_references import head_of, pair, slope

# ------------------------------------------------------------------------------------------------ alpha_beta


def test_known_members_of_the_family():
    student, teacher = pair(6, 5)
    p, q = teacher.softmax(1), student.softmax(1)
    gap = p.log() - q.log()
    for (alpha, beta), expected in {
        (1, 0): (p * gap).sum(1),  # forward KL
        (0, 1): -(q * gap).sum(1),  # reverse KL
        (0.5, 0.5): 2 * ((p.sqrt() - q.sqrt()) ** 2).sum(1),  # Hellinger
        (1, 1): ((p - q) ** 2).sum(1) / 2,  # Euclid
        (2, -1): ((p - q) ** 2 / q).sum(1) / 2,  # Pearson
        (-1, 2): ((p - q) ** 2 / p).sum(1) / 2,  # Neyman
        (1, -1): (p / q - 1 - gap).sum(1),  # Itakura-Saito
        (0, 0): (gap**2).sum(1) / 2,  # log-Euclid
    }.items():
        torch.testing.assert_close(alpha_beta_positions(student, teacher, alpha=alpha, beta=beta), expected)


@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 0.2), (0.5, 0), (1, -0.4), (-0.3, -0.3), (0.5, -0.5)])
def test_the_exponents_change_places_with_the_models(alpha, beta):
    student, teacher = pair(6, 5)
    there = alpha_beta_positions(student, teacher, alpha=alpha, beta=beta)
    torch.testing.assert_close(there, alpha_beta_positions(teacher, student, alpha=beta, beta=alpha))


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0), (1, 0), (0, 0.5), (-0.5, 0), (0.5, -0.5), (-0.5, 0.5), (0, 0)])
@pytest.mark.parametrize("direction", [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1)])
def test_limits_are_those_of_values_and_gradients_on_the_way(alpha, beta, direction):
    student, teacher = pair(6, 5, scale=1)

    def both(step):
        exponents = {"alpha": alpha + step * direction[0], "beta": beta + step * direction[1]}
        return alpha_beta(student, teacher, **exponents), slope(lambda s: alpha_beta(s, teacher, **exponents), student)

    value, gradient = both(0)
    for step in (1e-2, 1e-4, 1e-6):
        near, near_gradient = both(step)
        assert abs(near - value) < 30 * step * value
        assert (near_gradient - gradient).abs().max() < 30 * step * gradient.abs().max()


def test_nothing_is_lost_close_to_a_limit():
    student, teacher = pair(6, 5, scale=1, dtype=torch.float32)
    expected = forward_kl(student, teacher)
    assert alpha_beta(student, teacher, alpha=1, beta=1e-6).item() == pytest.approx(expected.item(), rel=1e-4)
    p, q, alpha, beta = teacher.softmax(1), student.softmax(1), 1, 1e-6
    total = alpha + beta
    buggy = p**alpha * q**beta - alpha / total * p**total - beta / total * q**total  # the formula as it stands
    assert abs(-buggy.sum(1).mean() / (alpha * beta) - expected) > 1e-3 * expected


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 0.7), (0.8, 0.3), (0.5, 0), (0, 0.5), (0, 0), (1, -1), (-0.3, -0.2)])
def test_small_probabilities_are_powers_of_logarithms(alpha, beta):
    student = torch.tensor([[100.0, -100.0, -100.0, 0.0]]) * (1 if min(alpha, beta) >= 0 else 0.3)
    teacher = torch.tensor([[100.0, -100.0, 90.0, -90.0]]) * (1 if min(alpha, beta) >= 0 else 0.3)
    value = alpha_beta(student, teacher, alpha=alpha, beta=beta)
    exact = alpha_beta(student.double(), teacher.double(), alpha=alpha, beta=beta)
    assert value.item() == pytest.approx(exact.item(), rel=1e-4)
    assert slope(lambda s: alpha_beta(s, teacher, alpha=alpha, beta=beta), student).isfinite().all()


def test_exponents_that_are_no_numbers_are_refused():
    for exponents in ({"alpha": math.nan}, {"beta": math.inf}):
        with pytest.raises(ValueError, match="finite"):
            alpha_beta(*pair(2, 3), **exponents)


# ------------------------------------------------------------------------------------------------ adaptive_kl


def weighted(student, teacher, head):
    """The value with a given head (N, C), its weights held still."""
    p, q = teacher.softmax(1), student.detach().softmax(1)
    gap = (p - q).abs()
    share = (gap * head).sum(1) / gap.sum(1)
    return share * forward_kl_positions(student, teacher) + (1 - share) * reverse_kl_positions(student, teacher)


def test_the_head_are_the_classes_within_the_mass():
    teacher = torch.tensor([[0.2, 0.5, 0.25, 0.05]], dtype=EXACT).log()
    student = normal(1, 4, seed=1)
    for mu, classes in ((0.0, [1]), (0.4, [1]), (0.6, [1]), (0.76, [1, 2]), (0.94, [1, 2]), (0.96, [0, 1, 2])):
        head = torch.zeros(1, 4, dtype=torch.bool)
        head[0, classes] = True
        value = adaptive_kl_positions(student, teacher, mu=mu)
        torch.testing.assert_close(value, weighted(student, teacher, head))
    assert adaptive_kl(student, teacher, mu=1) == forward_kl(student, teacher)
    for mu in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"mu.*{mu}"):
            adaptive_kl(student, teacher, mu=mu)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_gaps_are_held_still(temperature):
    student, teacher = pair(6, 5)
    heads = [head_of(row, temperature, 0.5)[0] for row in teacher.tolist()]
    head = torch.tensor([[index in row for index in range(5)] for row in heads])
    expected = slope(lambda s: weighted(s / temperature, teacher / temperature, head).mean(), student)
    gradient = slope(lambda s: adaptive_kl(s, teacher, temperature=temperature), student)
    torch.testing.assert_close(gradient, expected)


def test_bug_25_a_head_in_sorted_order_laid_over_the_vocabulary():
    student, teacher = pair(8, 12)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))

    def buggy(s, t):
        return weighted(s, t, t.softmax(1).sort(descending=True).values.cumsum(1) <= 0.5)

    def ours(s, t):
        return adaptive_kl_positions(s, t)

    torch.testing.assert_close(ours(student[:, order], teacher[:, order]), ours(student, teacher))
    assert not torch.allclose(buggy(student[:, order], teacher[:, order]), buggy(student, teacher), rtol=0.01)


def test_equal_logits_do_not_hang_on_the_order_of_the_vocabulary():
    student, teacher = pair(8, 40, scale=1)
    teacher = teacher.round()  # as half-precision logits are: many are equal
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))

    def first_come(s, t):  # of equals, those that the sort happens to put first
        p, places = t.softmax(1).sort(descending=True, stable=True)
        inside = p.cumsum(1) <= 0.5
        inside[:, 0] = True
        return weighted(s, t, torch.zeros_like(inside).scatter(1, places, inside))

    torch.testing.assert_close(
        adaptive_kl_positions(student[:, order], teacher[:, order]), adaptive_kl_positions(student, teacher)
    )
    assert not torch.allclose(first_come(student[:, order], teacher[:, order]), first_come(student, teacher), rtol=1e-3)
    rows = zip(student.tolist(), teacher.tolist())
    expected = math.fsum(reference_adaptive_kl(s, t, 1.0, 0.5)[0] for s, t in rows) / 8
    assert adaptive_kl(student, teacher).item() == pytest.approx(expected, rel=1e-12)
    alike = torch.zeros(1, 40, dtype=EXACT)  # all equals of the most probable: all are head
    torch.testing.assert_close(adaptive_kl(student[:1], alike), forward_kl(student[:1], alike))


# ------------------------------------------------------------------------------------------------ taid


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_taid_has_the_gradient_of_the_cross_entropy_with_a_target_held_still(temperature):
    student, teacher = pair(6, 5)
    target = ((0.6 * student + 0.4 * teacher) / temperature).softmax(1)

    def cross_entropy(s):
        return -(target * (s / temperature).log_softmax(1)).sum(1).mean()

    def buggy(s):  # a target that moves along
        p = ((0.6 * s + 0.4 * teacher) / temperature).softmax(1)
        return (p * (p.log() - (s / temperature).log_softmax(1))).sum(1).mean()

    gradient = slope(lambda s: taid(s, teacher, t=0.4, temperature=temperature), student)
    torch.testing.assert_close(gradient, slope(cross_entropy, student))
    assert not torch.allclose(gradient, slope(buggy, student), rtol=0.1)
    entropy = -(target * target.log()).sum(1).mean()
    value = taid(student, teacher, t=0.4, temperature=temperature)
    torch.testing.assert_close(value + entropy, cross_entropy(student))


def test_taid_goes_from_the_student_to_the_teacher():
    student, teacher = pair(6, 5)
    assert (taid_positions(student, teacher, t=0) == 0).all()
    assert taid(student, teacher, t=1) == forward_kl(student, teacher)
    values = torch.stack([taid(student, teacher, t=t / 10) for t in range(11)])
    assert (values.diff() > 0).all()
    for t in (0.0, 0.4, 1.0):
        assert taid(student, teacher, t=torch.tensor(t, dtype=EXACT)) == taid(student, teacher, t=t)
    for t in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"share.*{t}"):
            taid(student, teacher, t=t)


@pytest.mark.parametrize("t", [0.0, 0.4, 1.0])
def test_ruled_out_classes_stay_out_of_taids_target(t):
    student, teacher = pair(3, 5)
    student[:, 1], student[0, 2], teacher[:, 1], teacher[1, 3] = (-math.inf,) * 4
    assert ((1 - t) * student + t * teacher).isnan().any() == (t in (0, 1))  # what 0 times -inf would bring in
    for share in (t, torch.tensor(t, dtype=EXACT)):
        values = taid_positions(student, teacher, t=share)
        assert values.isfinite().tolist() == [t < 1, True, True]
        gradient = slope(lambda s, share=share: taid(s[1:], teacher[1:], t=share), student)
        assert gradient.isfinite().all()


def reference_schedule(losses, t0, t1, alpha, momentum):
    """t after each update, in plain Python."""
    t, trend, before, all_t = t0, 0.0, None, []
    for step, loss in enumerate(losses):
        linear = t0 + (t1 - t0) * step / len(losses)
        if before is not None:
            trend = momentum * trend + (1 - momentum) * (before - loss) / before
            t += alpha / (1 + math.exp(-trend)) * (1 - t)
        t, before = min(t1, max(linear, t)), loss
        all_t.append(t)
    return all_t


@pytest.mark.parametrize("settings", [{}, {"t0": 0.2, "t1": 0.9, "alpha": 0.1, "momentum": 0.5}])
def test_the_schedule_is_the_papers(settings):
    losses = [math.exp(-step / 20) * (1.5 + math.sin(step)) for step in range(60)]
    defaults = {"t0": 0.4, "t1": 1.0, "alpha": 5e-4, "momentum": 0.99}
    expected = reference_schedule(losses, **(defaults | settings))
    schedule, seen = TAIDSchedule(**settings), []
    for step, loss in enumerate(losses):
        if step == 30:  # another process goes on from a checkpoint
            state = schedule.state_dict()
            schedule = TAIDSchedule(**settings)
            schedule.load_state_dict(state)
        schedule.update(torch.tensor(loss, requires_grad=True) if step % 2 else loss, step / len(losses))
        seen.append(schedule.t.item())
    assert seen == pytest.approx(expected, rel=1e-5)
    assert seen == sorted(seen)
    if settings:
        assert seen[30] > 1.2 * (0.2 + 0.7 * 30 / 60)  # ahead of the line
        assert seen[-1] == pytest.approx(0.9)
    assert list(schedule.state_dict()) == ["t", "trend", "previous"]
    assert not schedule.t.requires_grad
    assert not list(schedule.parameters())


@pytest.mark.parametrize("odd", [math.nan, math.inf, 0.0])
def test_a_loss_that_tells_nothing_leaves_the_schedule_whole(odd):
    schedule, steady = TAIDSchedule(alpha=0.1), TAIDSchedule(alpha=0.1)
    for loss in (1.0, odd, 1.0, 1.0):
        schedule.update(loss, 0.0)
    for loss in (1.0, 1.0, 1.0):
        steady.update(loss, 0.0)
    assert all(value.isfinite() for value in schedule.state_dict().values())
    assert 0.4 < schedule.t < 0.6
    if odd != 0:  # as if that loss had not been
        assert schedule.t == steady.t
    schedule.update(1.0, 0.9)
    assert schedule.t == pytest.approx(0.4 + 0.6 * 0.9)


def test_nothing_waits_for_the_device():
    # a meta tensor has no values: whatever asks for one raises
    schedule = TAIDSchedule().to("meta")
    schedule.update(torch.zeros((), device="meta"), 0.5)
    logits = torch.zeros(4, 6, device="meta", requires_grad=True)
    taid(logits, logits.detach(), t=schedule.t).backward()
    for function in (adaptive_kl, alpha_beta, reverse_kl):
        function(logits, logits.detach(), mask=torch.ones(4, dtype=torch.bool, device="meta")).backward()


@pytest.mark.parametrize(
    "settings",
    [{"t0": -0.1}, {"t0": 0.9, "t1": 0.5}, {"t1": 1.1}, {"alpha": -1}, {"momentum": 1.0}, {"alpha": math.nan}],
    ids=str,
)
def test_a_schedule_out_of_range_is_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        TAIDSchedule(**settings)
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="progress_share"):
            TAIDSchedule().update(1.0, share)
