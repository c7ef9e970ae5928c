"""The divergences, row by row in plain float64 from the papers' formulas, and a table of all that is proved of each.

A reference takes lists of logits and gives the value and the size of what was summed up: rounding goes by the latter.
"""

import math
from dataclasses import dataclass, field
from functools import partial

import torch
from hypothesis import strategies as st

from limbeck.objectives import functional
from tests.objectives.cases import EXACT, cases, log_softmax, normal, softmax

EVERYBODY = ("nobody", "student", "teacher", "both")


def pair(*shape, scale=2.0, dtype=EXACT):
    """Student's and teacher's logits."""
    return normal(*shape, seed=1, scale=scale, dtype=dtype), normal(*shape, seed=2, scale=scale, dtype=dtype)


def slope(loss, student):
    """The gradient of a loss of the student."""
    student = student.clone().requires_grad_()
    return torch.autograd.grad(loss(student), student)[0]


def summed(terms):
    terms = list(terms)
    return math.fsum(terms), math.fsum(abs(term) for term in terms)


def kl(log_first, log_second):
    """KL(first || second) from log-probabilities. What a double cannot tell from 0 is not there."""
    value, size = 0.0, 0.0
    for a, b in zip(log_first, log_second):
        if math.exp(a) > 0:
            value += math.exp(a) * (a - b)
            size += math.exp(a) * (abs(a) + abs(b))
    return value, size


def log_mixture(log_first, log_second, share):
    """log(share first + (1-share) second), by the larger of the two terms."""
    mixed = []
    for a, b in zip(log_first, log_second):
        a, b = a + math.log(share), b + math.log(1 - share)
        top = max(a, b)
        mixed.append(top if top == -math.inf else top + math.log(math.exp(a - top) + math.exp(b - top)))
    return mixed


def forward_kl(student, teacher, temperature):
    return kl(log_softmax(teacher, temperature), log_softmax(student, temperature))


def reverse_kl(student, teacher, temperature):
    return forward_kl(teacher, student, temperature)


def jsd(student, teacher, temperature, beta):
    if beta in (0, 1):
        return (reverse_kl if beta else forward_kl)(student, teacher, temperature)
    log_p, log_q = log_softmax(teacher, temperature), log_softmax(student, temperature)
    log_m = log_mixture(log_p, log_q, beta)
    (first, first_size), (second, second_size) = kl(log_p, log_m), kl(log_q, log_m)
    return beta * first + (1 - beta) * second, beta * first_size + (1 - beta) * second_size


def skew_forward_kl(student, teacher, temperature, skew):
    log_p, log_q = log_softmax(teacher, temperature), log_softmax(student, temperature)
    return kl(log_p, log_mixture(log_p, log_q, skew))


def skew_reverse_kl(student, teacher, temperature, skew):
    return skew_forward_kl(teacher, student, temperature, skew)


def total_variation(student, teacher, temperature):
    pairs = zip(softmax(teacher, temperature), softmax(student, temperature))
    return summed(abs(p - q) / 2 for p, q in pairs)


def alpha_beta(student, teacher, temperature, alpha, beta):
    pairs = zip(log_softmax(teacher, temperature), log_softmax(student, temperature))
    return summed(term for log_p, log_q in pairs for term in alpha_beta_terms(log_p, log_q, alpha, beta))


def alpha_beta_terms(log_p, log_q, alpha, beta):
    """What a class adds, term by term, after Cichocki et al. 2011, equations 19 and 20."""
    total = alpha + beta

    def power(logarithm, exponent):
        return math.exp(exponent * logarithm)

    if log_p == log_q == -math.inf:
        return [0.0]
    if log_p == -math.inf:  # the limit p -> 0
        return [power(log_q, total) / (alpha * total) if alpha > 0 and total > 0 else math.inf]
    if log_q == -math.inf:
        return [power(log_p, total) / (beta * total) if beta > 0 and total > 0 else math.inf]
    ratio = log_p - log_q
    if alpha == beta == 0:
        return [ratio**2 / 2]
    if beta == 0:
        return [power(log_p, alpha) * ratio / alpha, -power(log_p, alpha) / alpha**2, power(log_q, alpha) / alpha**2]
    if alpha == 0:
        return [-power(log_q, beta) * ratio / beta, -power(log_q, beta) / beta**2, power(log_p, beta) / beta**2]
    if total == 0:
        return [-ratio / alpha, math.exp(alpha * ratio) / alpha**2, -1 / alpha**2]
    return [
        -math.exp(alpha * log_p + beta * log_q) / (alpha * beta),
        power(log_p, total) / (beta * total),
        power(log_q, total) / (alpha * total),
    ]


def head_of(teacher, temperature, mu):
    """Which classes are in the head, and how close the choice was: the least distance of a mass from μ."""
    probabilities = softmax(teacher, temperature)
    head, mass, margin = set(), 0.0, math.inf
    for logit in sorted(set(teacher), reverse=True):
        equals = [index for index, value in enumerate(teacher) if value == logit]
        mass += math.fsum(probabilities[index] for index in equals)
        margin = min(margin, abs(mass - mu))
        if mass <= mu or not head:
            head.update(equals)
        if mass > mu:
            break
    return head, margin


def adaptive_kl(student, teacher, temperature, mu):
    head, _ = head_of(teacher, temperature, mu)
    p, q = softmax(teacher, temperature), softmax(student, temperature)
    gaps = [abs(a - b) for a, b in zip(p, q)]
    whole = math.fsum(gaps)
    if whole == 0:
        return 0.0, 0.0
    in_head = math.fsum(gap for index, gap in enumerate(gaps) if index in head) / whole
    in_tail = math.fsum(gap for index, gap in enumerate(gaps) if index not in head) / whole
    parts = (in_head, forward_kl(student, teacher, temperature)), (in_tail, reverse_kl(student, teacher, temperature))
    return tuple(math.fsum(weight * part[i] for weight, part in parts if weight > 0) for i in (0, 1))


def taid(student, teacher, temperature, t):
    def scaled(weight, logit):
        return weight * logit if weight else 0.0  # 0 times -inf is meant to be 0

    between = [scaled(1 - t, s) + scaled(t, z) for s, z in zip(student, teacher)]
    return forward_kl(student, between, temperature)


def policy_kl(student, values, temperature, teacher_temperature):
    best = max(values)
    advantages = [value - best for value in values]
    return kl(log_softmax(advantages, teacher_temperature), log_softmax(student, temperature))


@dataclass(frozen=True)
class Entry:
    """A function, its settings, and for whom -inf leaves it finite, so that it is tried at every size of logits.

    Where -inf makes it infinite only sizes up to 1 are tried: there no probability underflows, which counts as -inf.
    """

    name: str
    reference: object
    settings: dict = field(default_factory=dict)
    finite_for: tuple = EVERYBODY
    largest: float = 1e3
    sharpness: float = 1.0

    @property
    def smooth(self):
        """Whether the gradient is that of the value: two functions hold a part of theirs still."""
        return self.name not in ("adaptive_kl", "taid")

    @property
    def id(self):
        return "-".join([self.name, *(f"{value:g}" for value in self.settings.values())])

    @property
    def function(self):
        return partial(getattr(functional, self.name), **self.settings)

    @property
    def positions(self):
        return partial(getattr(functional, f"{self.name}_positions"), **self.settings)

    def value(self, student, teacher, temperature=1.0):
        return self.reference(student, teacher, temperature, **self.settings)

    def cases(self, **how):
        far = cases(ruled_out=self.finite_for, largest=self.largest, **how)
        return st.one_of(far, cases(ruled_out=EVERYBODY, largest=1.0 / self.sharpness, **how))


DIVERGENCES = [
    Entry("forward_kl", forward_kl, finite_for=("nobody", "teacher", "both")),
    Entry("reverse_kl", reverse_kl, finite_for=("nobody", "student", "both")),
    Entry("jsd", jsd, {"beta": 0.0}, finite_for=("nobody", "teacher", "both")),
    Entry("jsd", jsd, {"beta": 0.1}),
    Entry("jsd", jsd, {"beta": 0.5}),
    Entry("jsd", jsd, {"beta": 0.9}),
    Entry("jsd", jsd, {"beta": 1.0}, finite_for=("nobody", "student", "both")),
    Entry("skew_forward_kl", skew_forward_kl, {"skew": 0.1}),
    Entry("skew_forward_kl", skew_forward_kl, {"skew": 0.001}),
    Entry("skew_reverse_kl", skew_reverse_kl, {"skew": 0.1}),
    Entry("skew_reverse_kl", skew_reverse_kl, {"skew": 0.8}),
    Entry("total_variation", total_variation),
    Entry("alpha_beta", alpha_beta, {"alpha": 0.2, "beta": 0.7}),
    Entry("alpha_beta", alpha_beta, {"alpha": 0.8, "beta": 0.3}),
    Entry("alpha_beta", alpha_beta, {"alpha": 2.0, "beta": 1.0}),
    Entry("alpha_beta", alpha_beta, {"alpha": 0.5, "beta": 0.0}, finite_for=("nobody", "teacher", "both")),
    Entry("alpha_beta", alpha_beta, {"alpha": 0.0, "beta": 1.0}, finite_for=("nobody", "student", "both")),
    Entry("alpha_beta", alpha_beta, {"alpha": 0.0, "beta": 0.0}, finite_for=("nobody", "both")),
    # powers that are negative grow with e to the logits: small ones only
    Entry("alpha_beta", alpha_beta, {"alpha": 1.0, "beta": -0.5}, largest=1.0),
    Entry("alpha_beta", alpha_beta, {"alpha": -0.4, "beta": 1.0}, largest=1.0),
    Entry("alpha_beta", alpha_beta, {"alpha": 0.5, "beta": -0.5}, largest=1.0),
    Entry("alpha_beta", alpha_beta, {"alpha": -0.3, "beta": -0.6}, largest=1.0),
    Entry("alpha_beta", alpha_beta, {"alpha": 0.5, "beta": -1.2}, largest=1.0),
    Entry("alpha_beta", alpha_beta, {"alpha": -1.0, "beta": 0.0}, largest=1.0),
    Entry("adaptive_kl", adaptive_kl, {"mu": 0.5}, finite_for=("nobody", "both")),
    Entry("adaptive_kl", adaptive_kl, {"mu": 0.9}, finite_for=("nobody", "both")),
    Entry("taid", taid, {"t": 0.0}),
    Entry("taid", taid, {"t": 0.4}),
    Entry("taid", taid, {"t": 1.0}, finite_for=("nobody", "teacher", "both")),
]
POLICIES = [
    Entry(
        "policy_kl",
        policy_kl,
        {"teacher_temperature": temperature},
        finite_for=("nobody", "teacher", "both"),
        sharpness=1 / temperature,
    )
    for temperature in (0.01, 1.0)
]
EVERYTHING = [*DIVERGENCES, *POLICIES]
