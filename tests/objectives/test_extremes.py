"""Every objective on logits far from the ordinary: constant rows, gaps of 1e4, ruled-out classes, knobs at their ends, 16 bits.

What is worked out in 32 bits from logits in 32 or 16 is held against autograd of the formula in 64 bits, and the α-β family,
whose formula as it stands loses digits, against the formula in 250 digits.
"""

import math
from functools import partial

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.objectives import functional
from tests.objectives.cases import EXACT, normal

# relative errors of gradients: those of the formats that the gradient is given in
FORMATS = {torch.float32: 1e-3, torch.bfloat16: 2e-2, torch.float16: 5e-3}
LABELS = torch.tensor([0, 1, 3, 1, 5])
FORMAT_HOLDS = torch.finfo(torch.float16).max / 16


def both_of_logits():
    """Name -> student's and teacher's logits (5, C)."""
    a, b = normal(5, 6, seed=1), normal(5, 6, seed=2)
    out = torch.zeros(6, dtype=torch.bool).index_fill(0, torch.tensor([2]), True)
    flat = torch.zeros(5, 6, dtype=EXACT)
    one_left = torch.full((5, 6), -math.inf, dtype=EXACT).index_fill(1, torch.tensor([1]), 2.0)
    return {
        "ordinary": (a, b),
        "nearly equal": (a, a + 1e-3 * b),
        "student constant": (flat + 3, b),
        "student zero": (flat, b),
        "student almost constant": (3 + 1e-3 * a, b),
        "teacher constant": (a, flat - 7),
        "both constant": (flat + 3, flat - 7),
        "gaps of 100": (100 * a, 100 * b),
        "gaps of 1e4": (1e4 * a, 1e4 * b),
        "equal, gaps of 1e4": (1e4 * a, 1e4 * a),
        "sure student": (1e4 * a, b),
        "sure teacher": (a, 1e4 * b),
        "ruled out by both": (a.masked_fill(out, -math.inf), b.masked_fill(out, -math.inf)),
        "ruled out by the teacher": (a, b.masked_fill(out, -math.inf)),
        "ruled out by the student": (a.masked_fill(out, -math.inf), b),
        "one class": (a[:, :1], b[:, :1]),
        "one class left": (one_left, one_left),
    }


def with_labels(function, **settings):
    def call(student, teacher):
        return function(student, teacher, labels=LABELS.clamp(max=student.shape[-1] - 1), **settings)

    return call


def catalogue():
    softened = "kd forward_kl reverse_kl total_variation standardized_kd binary_kd uld adaptive_kl jsd skew_forward_kl"
    for temperature in (0.01, 1.0, 20.0, 1000.0):
        for name in (*softened.split(), "skew_reverse_kl", "dist"):
            yield f"{name}, T {temperature:g}", partial(getattr(functional, name), temperature=temperature)
        for name in ("dkd", "nkd"):
            yield f"{name}, T {temperature:g}", with_labels(getattr(functional, name), temperature=temperature)
        yield f"taid, T {temperature:g}", partial(functional.taid, t=0.4, temperature=temperature)
        yield f"policy_kl, T {temperature:g}", partial(functional.policy_kl, teacher_temperature=temperature)
    for end in (1e-6, 1 - 1e-6):
        yield f"jsd, beta {end:g}", partial(functional.jsd, beta=end)
        yield f"skew_forward_kl, skew {end:g}", partial(functional.skew_forward_kl, skew=end)
        yield f"skew_reverse_kl, skew {end:g}", partial(functional.skew_reverse_kl, skew=end)
    for mu in (0.0, 1.0):
        yield f"adaptive_kl, mu {mu:g}", partial(functional.adaptive_kl, mu=mu)
    for gamma in (1e-3, 0.1, 10.0):
        yield f"ttm, gamma {gamma:g}", partial(functional.ttm, gamma=gamma)
        yield f"wttm, gamma {gamma:g}", partial(functional.wttm, gamma=gamma)
    yield "mse_logits", functional.mse_logits
    for smoothing in (0.0, 0.99):
        yield f"cross_entropy, {smoothing:g}", with_labels(functional.cross_entropy, label_smoothing=smoothing)
    for alpha, beta in (
        (0, 0),
        (1, 0),
        (0, 1),
        (1e-5, 0),
        (0.3, 0.3),
        (5, 5),
        (50, 0.1),
        (1, -1),
        (2, -1),
        (-0.5, -0.5),
    ):
        yield f"alpha_beta, {alpha:g} {beta:g}", partial(functional.alpha_beta, alpha=alpha, beta=beta)


CATALOGUE = dict(catalogue())
# its slope where the teacher rules out what the student allows is none, as its documentation says
NO_SLOPE = ("reverse_kl", "adaptive_kl")


def value_and_slope(function, student, teacher):
    student = student.clone().requires_grad_()
    value = function(student, teacher)
    return value.detach(), torch.autograd.grad(value, student)[0]


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_objective_far_from_the_ordinary(name):
    function, checked = CATALOGUE[name], 0
    for what, (student, teacher) in both_of_logits().items():
        for dtype, relative in FORMATS.items():
            narrow = student.to(dtype), teacher.to(dtype)
            exact, exact_slope = value_and_slope(function, *(logits.double() for logits in narrow))
            value, slope = value_and_slope(function, *narrow)
            where = f"{what}, {dtype}: {value.item():g} for {exact.item():g}"
            assert not value.isnan(), where
            rounding = (
                0.03 if name == "dist, T 1000" and dtype == torch.float16 else 1e-3
            )  # T² times that of a correlation
            if exact.abs() < 1e30:
                assert value.item() == pytest.approx(exact.item(), rel=2e-3, abs=rounding), where
            if value.isinf() and name.startswith(NO_SLOPE):
                continue
            assert slope.isfinite().all(), where
            largest = exact_slope.abs().max().item()
            if largest > 1e30:
                continue
            if dtype == torch.float16 and largest > FORMAT_HOLDS:  # shortened, and not infinite
                steep = exact_slope.abs().amax(dim=-1) > 2 * FORMAT_HOLDS
                alike = torch.nn.functional.cosine_similarity(slope[steep].double(), exact_slope[steep], dim=-1)
                assert (alike > 0.99).all(), where
            else:
                assert (slope.double() - exact_slope).abs().max().item() <= 2 * relative * largest + 1e-4, where
            checked += 1
    assert checked > 15


# ---------------------------------------------------------------------------------------------- the α-β family


def in_digits(student, teacher, alpha, beta):
    """Value, slope, the largest slope with respect to a log-probability, and the largest weight that log(p / q) has there.

    Of one row, from the formula in 250 digits."""
    with mpmath.workdps(250):
        alpha, beta = mpmath.mpf(alpha), mpmath.mpf(beta)
        total = alpha + beta

        def probabilities(row):
            powers = [mpmath.exp(mpmath.mpf(value) - max(row)) for value in row]
            return [power / mpmath.fsum(powers) for power in powers]

        value, slopes, weights, q_all = mpmath.mpf(0), [], [], probabilities(student)
        for p, q in zip(probabilities(teacher), q_all, strict=True):
            ratio = mpmath.log(p / q)
            if alpha == beta == 0:
                value += ratio**2 / 2
            elif beta == 0:
                value += (alpha * p**alpha * ratio - p**alpha + q**alpha) / alpha**2
            elif alpha == 0:
                value += (-beta * q**beta * ratio - q**beta + p**beta) / beta**2
            elif total == 0:
                value += ((p / q) ** alpha - 1 - alpha * ratio) / alpha**2
            else:
                value -= (p**alpha * q**beta - alpha / total * p**total - beta / total * q**total) / (alpha * beta)
            slopes.append(-(q**beta) * ratio if alpha == 0 else q**beta * (q**alpha - p**alpha) / alpha)
            weights.append(q**beta * max(p**alpha, q**alpha))
        whole = mpmath.fsum(slopes)
        slope = [pulled - q * whole for pulled, q in zip(slopes, q_all, strict=True)]
        return value, slope, max(map(abs, slopes)), max(weights)


EXPONENTS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0, 1e-7, -1e-7, 3e-4, 1e-3, 0.049, 0.05]),
    st.floats(-3, 3).map(lambda x: round(x, 3)),
)


@settings(max_examples=200, deadline=None)
@given(
    EXPONENTS,
    st.one_of(EXPONENTS, st.just(None)),
    st.sampled_from([1e-3, 0.1, 1.0, 10.0, 100.0, 1000.0]),
    st.integers(0, 1000),
    st.sampled_from([torch.float32, EXACT]),
)
def test_alpha_beta_is_its_formula_in_250_digits(alpha, beta, scale, seed, dtype):
    beta = -alpha if beta is None else beta
    student, teacher = (normal(1, 5, seed=2 * seed + which, scale=scale).float().to(dtype) for which in (0, 1))
    if seed % 3 == 0:
        student[0, 2:] = teacher[0, 2:]
    value, slope = value_and_slope(partial(functional.alpha_beta, alpha=alpha, beta=beta), student, teacher)
    exact, exact_slope, pull, weight = in_digits(student[0].tolist(), teacher[0].tolist(), alpha, beta)
    assert slope.isfinite().all()
    assert not value.isnan()
    # log-probabilities have the format's rounding, and stand in exponents
    size = 1 + max(1.0, abs(alpha) + abs(beta)) * max(student.abs().max().item(), teacher.abs().max().item())
    relative = 20 * torch.finfo(dtype).eps * size
    if exact < torch.finfo(dtype).max / 10:
        least = max(1e-50, torch.finfo(dtype).tiny)
        assert float(abs(value.item() - exact)) <= relative * (float(exact) + float(pull)) + least
    if weight < torch.finfo(dtype).max / 1e6:
        for ours, theirs in zip(slope[0].tolist(), exact_slope, strict=True):
            assert float(abs(ours - theirs)) <= relative * float(pull + weight)
    elif (steepest := max(map(abs, exact_slope))) > torch.finfo(dtype).tiny and steepest > relative * float(pull):
        assert slope.abs().max() > 0


def test_alpha_beta_beyond_the_format_is_infinite_and_pulls_the_right_way():
    student, teacher = torch.tensor([[0.0, -200.0, 0.0]]), torch.tensor([[0.0, 0.0, -1.0]])
    for alpha, beta in ((2, -1), (-0.5, -0.5), (1, -1)):
        value, slope = value_and_slope(partial(functional.alpha_beta, alpha=alpha, beta=beta), student, teacher)
        exact = in_digits(student[0].tolist(), teacher[0].tolist(), alpha, beta)[1]
        if value.isinf():
            assert slope.isfinite().all()
        assert slope[0, 1] < 0
        assert exact[1] < 0
    # probabilities too small for their inverse, and equal: they add nothing
    row = torch.tensor([[0.0, -400.0, 1.0]])
    value, slope = value_and_slope(partial(functional.alpha_beta, alpha=-1, beta=-1), row, row.clone())
    assert value == 0
    assert (slope == 0).all()
