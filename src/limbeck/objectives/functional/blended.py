"""Objectives that blend forward and reverse KL, or teacher and student; see the package for the common form.

``p = softmax(teacher_logits / T)`` and ``q = softmax(student_logits / T)``. None has a factor T², and what
:mod:`.divergences` says of ruled-out classes holds here.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from .closed_form import Found, may_look, seen_finite, through_softmax, with_slope
from .common import at_least_float32, check_same_shape, check_temperature, log_probabilities, mean_of, weighted_gap
from .divergences import both_log_probabilities, closed_forward_kl, forward_kl_positions
from .log_and_prob import both_softened

__all__ = ["adaptive_kl", "adaptive_kl_positions", "taid", "taid_positions"]


def adaptive_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
    mu: float = 0.5,
) -> Tensor:
    """``(g_h KL(p || q) + g_t KL(q || p)) / (g_h + g_t)``, g_h and g_t being ``Σ |p - q|`` over head and tail.

    Wu et al. 2025, "Rethinking Kullback-Leibler Divergence in Knowledge Distillation for Large Language Models" (AKL).
    The head are the teacher's most probable classes, as many as have a mass of at most μ together, and the most
    probable class in any case. No gradient passes through g_h and g_t.

    Classes of equal teacher's logits are in the head together or not at all: a class is in it if all that are at least
    as probable, itself and its equals included, have a mass of at most μ, or if none is more probable. So the order of
    the vocabulary does not matter, not even for half-precision logits, which are full of equals.

    Infinite where one of the two KL is, as :func:`.forward_kl` and :func:`.reverse_kl` say, and its weight is not 0.

    Args and errors as in :func:`alpha_beta`, and:
        mu: μ in [0, 1], the teacher's mass in the head. 1: all classes, so the forward KL.
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(adaptive_kl_positions, mu=mu, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_adaptive_kl(
    student: Tensor, teacher: Tensor, *, wanted: bool, mu: float = 0.5, temperature: float = 1.0
) -> Found | None:
    _check_mu(mu)
    if mu == 1:
        return closed_forward_kl(student, teacher, wanted=wanted, temperature=temperature)
    (log_q, q), (log_p, p) = both_softened(student, teacher, temperature)
    ratio = (log_q - log_p).nan_to_num_(nan=0.0, posinf=math.inf, neginf=-math.inf)
    forward, terms = -(ratio * p).sum(dim=-1), ratio.mul_(q)
    backward = terms.sum(dim=-1)
    if not seen_finite(forward + backward):
        return None
    gap = (p - q).abs_()
    whole = gap.sum(dim=-1).clamp_(min=torch.finfo(gap.dtype).tiny)
    head = log_p.copy_(teacher).ge_(_head_bound(teacher, p, mu))  # 1 or 0: choosing by a mask costs more
    in_head = (gap * head).sum(dim=-1) / whole
    in_tail = gap.mul_(head.neg_().add_(1)).sum(dim=-1) / whole
    values = forward * in_head + backward * in_tail
    if not wanted:
        return Found(values, None)
    slope = through_softmax(terms, q).mul_(in_tail.unsqueeze(-1))
    return Found(values, slope.addcmul_(q.sub_(p), in_head.unsqueeze(-1)), slope_factor=1 / temperature)


@with_slope(_closed_adaptive_kl)
def adaptive_kl_positions(
    student_logits: Tensor, teacher_logits: Tensor, *, mu: float = 0.5, temperature: float = 1.0
) -> Tensor:
    """:func:`adaptive_kl` at every position: (..., C), (..., C) -> (...)."""
    _check_mu(mu)
    if mu == 1:
        return forward_kl_positions(student_logits, teacher_logits, temperature=temperature)
    log_q, log_p = both_log_probabilities(student_logits, teacher_logits, temperature)
    q, p = log_q.exp(), log_p.exp()
    gap = (p - q.detach()).abs_()
    head = at_least_float32(teacher_logits.detach()) >= _head_bound(teacher_logits.detach(), p, mu)
    head_gap, tail_gap = gap.masked_fill(~head, 0.0).sum(dim=-1), gap.masked_fill(head, 0.0).sum(dim=-1)
    whole = (head_gap + tail_gap).clamp(min=torch.finfo(gap.dtype).tiny)
    return _share(head_gap / whole, weighted_gap(p, log_p, log_q)) + _share(
        tail_gap / whole, weighted_gap(q, log_q, log_p)
    )


def _head_bound(teacher_logits: Tensor, p: Tensor, mu: float) -> Tensor:
    """The least logit of the head, or a number that only the head's logits reach: (..., 1), at least float32.

    Found by comparison with the first logit left out and not by position in the sorted order: equals stay together, and
    nothing has to be put back in order. Where values may be looked at, no more is sorted than makes up the mass.
    """
    logits = at_least_float32(teacher_logits)
    classes = logits.shape[-1]
    for part in (64, 8) if classes >= 1024 and may_look(logits) else ():
        ordered, order = logits.topk(classes // part, dim=-1)
        mass = p.gather(-1, order).cumsum_(dim=-1)
        if bool((mass[..., -1] > mu).all()):
            break
    else:
        ordered, order = logits.sort(dim=-1, descending=True)
        mass = p.gather(-1, order).cumsum_(dim=-1)
    inside = (mass <= mu).sum(dim=-1, keepdim=True)
    first_outside = ordered.gather(-1, inside.clamp_(max=ordered.shape[-1] - 1))
    return torch.nextafter(first_outside, first_outside.new_full((), math.inf)).minimum(ordered[..., :1])


def _share(weight: Tensor, value: Tensor) -> Tensor:
    """Their product, and 0 where the weight is 0, an infinite value included."""
    return torch.where(weight == 0, 0.0, weight * value)  # and not weight > 0: NaN must show


def _check_mu(mu: float) -> None:
    if not 0 <= mu <= 1:  # NaN is refused too
        raise ValueError(f"mu, the mass in the head, must lie between 0 and 1, not {mu}")


def taid(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    t: float | Tensor,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """``KL(p_t || q)`` with ``p_t = softmax(((1-t) s + t z) / T)``: s the student's logits, detached, z the teacher's.

    Shing et al. 2025, "TAID: Temporally Adaptive Interpolated Distillation", section 3. The target moves from the
    student's own answer (t = 0: value and gradient 0) to the teacher's (t = 1: :func:`.forward_kl`);
    :class:`limbeck.objectives.taid_schedule.TAIDSchedule` moves it. The authors' code has the cross-entropy ``-Σ p_t log q``,
    which is more by the entropy of p_t, a constant to the student: the gradient is the same, but this form is 0 where
    the student equals its target.

    A class that the student rules out is ruled out by a target of t < 1 too, so the value is finite; at t = 1 it is
    infinite where the teacher allows such a class.

    Args and errors as in :func:`alpha_beta`, and:
        t: the teacher's share in [0, 1]: a number, or a scalar tensor on the same device, whose value is not checked
            (a look at it would halt an accelerator).
    """
    check_same_shape(student_logits, teacher_logits)
    values_of = partial(taid_positions, t=t, temperature=temperature)
    return mean_of(values_of, student_logits, teacher_logits.detach(), labels=labels, mask=mask)


def _closed_taid(
    student: Tensor, teacher: Tensor, *, wanted: bool, t: float | Tensor, temperature: float = 1.0
) -> Found:
    return closed_forward_kl(student, _between(student, teacher, t), wanted=wanted, temperature=temperature)


@with_slope(_closed_taid)
def taid_positions(
    student_logits: Tensor, teacher_logits: Tensor, *, t: float | Tensor, temperature: float = 1.0
) -> Tensor:
    """:func:`taid` at every position: (..., C), (..., C) -> (...)."""
    check_temperature(temperature)
    log_target = log_probabilities(_between(student_logits, teacher_logits, t), temperature)
    return weighted_gap(log_target.exp(), log_target, log_probabilities(student_logits, temperature))


def _between(student_logits: Tensor, teacher_logits: Tensor, t: float | Tensor) -> Tensor:
    """The target's logits, (..., C) without a graph. Raises ``ValueError`` where shapes differ or t is out of range."""
    check_same_shape(student_logits, teacher_logits)
    logits, goal = at_least_float32(student_logits.detach()), at_least_float32(teacher_logits.detach())
    dtype = torch.promote_types(logits.dtype, goal.dtype)
    if isinstance(t, Tensor):
        t = t.detach().to(dtype)
    elif not 0 <= t <= 1:  # NaN is refused too
        raise ValueError(f"t, the teacher's share, must lie between 0 and 1, not {t}")
    # finite, for 0 times -inf is NaN; lerp, for it gives either end and equal logits exactly
    lowest = torch.finfo(dtype).min / 4
    return torch.lerp(logits.to(dtype).clamp(min=lowest), goal.to(dtype).clamp(min=lowest), t)
