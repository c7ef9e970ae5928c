"""Objectives for a teacher that answers in other terms: another vocabulary, or values in place of logits."""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor

from .closed_form import Found, may_look, through_softmax, with_slope
from .common import at_least_float32, check_same_shape, check_temperature, log_probabilities, mean_of, weighted_gap
from .divergences import closed_kl, probabilities
from .log_and_prob import softened

__all__ = ["expected_regret", "expected_regret_positions", "policy_kl", "policy_kl_positions", "uld", "uld_positions"]


def uld(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Universal logit distillation: ``Σ_i |p_(i) - q_(i)|``, p and q in falling order, the shorter padded with 0.

    Boizard, El Haddad, Hudelot, Colombo 2024, "Towards Cross-Tokenizer Distillation: the Universal Logit Distillation
    Loss": the Wasserstein distance where all pairs of unlike tokens are equally far apart, in closed form.
    Twice the total variation of the sorted probabilities, so in [0, 2). 0 where one is the other in any order of
    classes: it compares how sure the models are, not of what, and is meant to stand beside a cross-entropy with labels.

    Both models must speak of the same positions: where they cut a text up differently, aligning is up to the caller.
    Classes of -inf are as good as absent. Among equal logits of the student the slope is that of one of the orders.

    Args:
        student_logits: (..., V1).
        teacher_logits: (..., V2), the leading dimensions those of the student; no gradient reaches it.
        labels: (...) class ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.
        temperature: T > 0, for both; no factor T².

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: the leading dimensions differ, or the temperature is not positive.
    """
    _check_same_positions(student_logits, teacher_logits)
    values_of = partial(uld_positions, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_uld(student: Tensor, teacher: Tensor, *, wanted: bool, temperature: float = 1.0) -> Found:
    _check_same_positions(student, teacher)
    ordered, order = at_least_float32(student).sort(dim=-1, descending=True)
    q, p = probabilities(ordered, temperature), probabilities(_falling(at_least_float32(teacher)), temperature)
    both = min(q.shape[-1], p.shape[-1])
    apart = q.clone()
    apart[..., :both] -= p[..., :both]
    values = apart.abs().sum(dim=-1).add_(p[..., both:].sum(dim=-1))
    if not wanted:
        return Found(values, None)
    slope = through_softmax(apart.sign_().mul_(q), q)
    return Found(values, q.scatter_(-1, order, slope), slope_factor=1 / temperature)


def _falling(logits: Tensor) -> Tensor:
    """Rows in falling order, a new tensor. NumPy sorts without an order of the elements, in an eighth of the time."""
    if not may_look(logits):
        return logits.sort(dim=-1, descending=True).values
    rising = logits.clone()
    rising.numpy().sort(axis=-1)
    return rising.flip(-1)


@with_slope(_closed_uld)
def uld_positions(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """:func:`uld` at every position: (..., V1), (..., V2) -> (...)."""
    _check_same_positions(student_logits, teacher_logits)
    q, p = (
        _sorted_probabilities(student_logits, temperature),
        _sorted_probabilities(teacher_logits.detach(), temperature),
    )
    both = min(q.shape[-1], p.shape[-1])
    shared = (q[..., :both] - p[..., :both]).abs().sum(dim=-1)
    # what one has more than the other stands against 0; of the two sums one is over nothing
    return shared + q[..., both:].sum(dim=-1) + p[..., both:].sum(dim=-1)


def policy_kl(
    student_logits: Tensor,
    teacher_values: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    teacher_temperature: float = 0.01,
) -> Tensor:
    """``KL(softmax(Q / τ) || softmax(s / T))``: the student's policy against the teacher's values of the actions.

    Rusu et al. 2016, "Policy Distillation", section 3.2. Values of actions differ little, so a low τ sharpens them;
    where they differ by much more than τ the target is one-hot and only the best action is learned: choose τ of the
    size of the gaps. 0 where s / T equals Q / τ up to a constant; infinite where the student rules out an action that
    the teacher allows. No factor T².

    Args:
        student_logits: (..., A), logits of the actions.
        teacher_values: (..., A), Q-values, -inf for an action that is not allowed; no gradient reaches it. Logits of a
            stochastic policy go with ``teacher_temperature=1``.
        labels: (...) action ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.
        temperature: T > 0, the student's.
        teacher_temperature: τ > 0.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ, or a temperature is not positive.
    """
    check_same_shape(student_logits, teacher_values)
    values_of = partial(policy_kl_positions, temperature=temperature, teacher_temperature=teacher_temperature)
    return mean_of(values_of, student_logits, teacher_values.detach(), labels=labels, mask=mask)


def _closed_policy_kl(
    student: Tensor, values: Tensor, *, wanted: bool, temperature: float = 1.0, teacher_temperature: float = 0.01
) -> Found:
    _check_policy(student, values, temperature, teacher_temperature)
    students, teachers = softened(student, temperature), softened(_advantages(values), teacher_temperature)
    return closed_kl(students, teachers, wanted=wanted, slope_factor=1 / temperature)


@with_slope(_closed_policy_kl)
def policy_kl_positions(
    student_logits: Tensor, teacher_values: Tensor, *, temperature: float = 1.0, teacher_temperature: float = 0.01
) -> Tensor:
    """:func:`policy_kl` at every position: (..., A), (..., A) -> (...)."""
    _check_policy(student_logits, teacher_values, temperature, teacher_temperature)
    log_target = log_probabilities(_advantages(teacher_values), teacher_temperature)
    return weighted_gap(log_target.exp(), log_target, log_probabilities(student_logits, temperature))


def expected_regret(
    student_logits: Tensor,
    teacher_values: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """``Σ_a q_a (max Q - Q_a)``: what the student's policy ``q = softmax(s / T)`` is expected to lose by the teacher's values Q.

    The cost-sensitive loss of Ross and Bagnell 2014, "Reinforcement and Imitation Learning via Interactive No-Regret Learning"
    (AggreVaTe), of a policy that is drawn from. A slip among actions of like value costs next to nothing, one that the teacher
    values far below its best all of the gap; a cross-entropy counts both alike. Linear in the values: twice as large, twice the
    loss. 0 where the student is certain of a best action. Flat where it is certain of another, so keep a cross-entropy or a
    divergence beside it.

    Args:
        student_logits: (..., A), logits of the actions.
        teacher_values: (..., A), values of the actions, or logits that are those over a temperature; -inf for an action that is
            not allowed, which the student's policy is then without; no gradient reaches it.
        labels: (...) action ids; positions of -100 do not count. The labels are not used otherwise.
        mask: (...) bool; true where a position counts.
        temperature: T > 0, the student's.

    Returns:
        Scalar, at least float32.

    Raises:
        ValueError: shapes differ, or the temperature is not positive.
    """
    check_same_shape(student_logits, teacher_values)
    values_of = partial(expected_regret_positions, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_values.detach(), labels=labels, mask=mask)


def expected_regret_positions(student_logits: Tensor, teacher_values: Tensor, *, temperature: float = 1.0) -> Tensor:
    """:func:`expected_regret` at every position: (..., A), (..., A) -> (...)."""
    check_same_shape(student_logits, teacher_values)
    check_temperature(temperature)
    barred = teacher_values.detach() == -math.inf
    regrets = -_advantages(teacher_values).masked_fill(barred, 0)
    return (probabilities(student_logits.masked_fill(barred, -math.inf), temperature) * regrets).sum(dim=-1)


def _advantages(teacher_values: Tensor) -> Tensor:
    values = at_least_float32(teacher_values.detach())
    # before the division: a small τ would blow up the rounding of large values that differ little
    return values - values.amax(dim=-1, keepdim=True)


def _check_policy(student: Tensor, values: Tensor, temperature: float, teacher_temperature: float) -> None:
    check_same_shape(student, values)
    check_temperature(temperature)
    if not teacher_temperature > 0:  # NaN is refused too
        raise ValueError(f"teacher_temperature must be positive, not {teacher_temperature}")


def _sorted_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Probabilities in falling order; softmax keeps the order of the logits, so those are sorted."""
    return probabilities(logits.sort(dim=-1, descending=True).values, temperature)


def _check_same_positions(student_logits: Tensor, teacher_logits: Tensor) -> None:
    student, teacher = tuple(student_logits.shape), tuple(teacher_logits.shape)
    if student[:-1] != teacher[:-1]:
        raise ValueError(
            f"student logits {student} and teacher logits {teacher} must agree in all dimensions but the last, "
            "the vocabulary: align the positions of the two models first"
        )
