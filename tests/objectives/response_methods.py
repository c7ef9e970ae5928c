"""The objectives of decoupled.py, logit_matching.py and correlation.py as a table: function, formula in float64, settings."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from limbeck.objectives import functional as f
from tests.objectives.cases import log_softmax, softmax

# ------------------------------------------------------------------------------------------------ the references
# Each gives the value and the size of what was summed up for it: rounding is to be judged by the latter.


def gap(log_p, log_q):
    terms = [(math.exp(p), p, q) for p, q in zip(log_p, log_q) if math.exp(p) > 0]
    return math.fsum(w * (p - q) for w, p, q in terms), math.fsum(w * (abs(p) + abs(q)) for w, p, q in terms)


def log_sum(logs):
    top = max(logs, default=-math.inf)
    return top if top == -math.inf else top + math.log(math.fsum(math.exp(value - top) for value in logs))


def others(row, label):
    return [value for index, value in enumerate(row) if index != label]


def reference_dkd(student, teacher, label, *, temperature, alpha, beta):
    log_p, log_q = log_softmax(teacher, temperature), log_softmax(student, temperature)
    binary = ([log[label], log_sum(others(log, label))] for log in (log_p, log_q))
    target, target_size = gap(*binary)
    rest, rest_size = 0.0, 0.0
    if any(value > -math.inf for value in others(teacher, label)):
        rest, rest_size = gap(*(log_softmax(others(row, label), temperature) for row in (teacher, student)))
    scale = temperature**2
    return scale * (alpha * target + beta * rest), scale * (1 + alpha * target_size + beta * rest_size)


def reference_nkd(student, teacher, label, *, temperature, gamma):
    p_label = softmax(teacher)[label]
    value = -p_label * log_softmax(student)[label] if p_label > 0 else 0.0
    if any(value > -math.inf for value in others(teacher, label)):
        p, log_q = softmax(others(teacher, label), temperature), log_softmax(others(student, label), temperature)
        value -= gamma * temperature**2 * math.fsum(p * q for p, q in zip(p, log_q) if p > 0)
    return value, value * max(1, temperature)


def standardized(row):
    finite = [value for value in row if value > -math.inf]
    mean = math.fsum(finite) / len(finite)
    squares = math.fsum((value - mean) ** 2 for value in finite)
    std = math.sqrt(squares / (len(finite) - 1)) if len(finite) > 1 else 0.0
    lost = 1 + max(map(abs, finite)) / (1e-7 + std)  # digits that the subtraction of the mean costs
    return [(value - mean) / (1e-7 + std) for value in row], lost


def reference_standardized_kd(student, teacher, label, *, temperature):
    (student, student_lost), (teacher, teacher_lost) = standardized(student), standardized(teacher)
    value, size = gap(log_softmax(teacher, temperature), log_softmax(student, temperature))
    return temperature**2 * value, temperature**2 * (size + 1) * max(student_lost, teacher_lost)


def reference_ttm(student, teacher, label, *, gamma):
    powers = [math.exp(gamma * log) for log in log_softmax(teacher)]
    transformed = [math.log(power / math.fsum(powers)) if power > 0 else -math.inf for power in powers]
    return gap(transformed, log_softmax(student))


def reference_wttm(student, teacher, label, *, gamma):
    weight = math.fsum(math.exp(gamma * log) for log in log_softmax(teacher))
    value, size = reference_ttm(student, teacher, label, gamma=gamma)
    return weight * value, weight * size


def reference_mse_logits(student, teacher, label):
    pairs = [(s, t) for s, t in zip(student, teacher) if t > -math.inf]
    means = [math.fsum(side) / len(pairs) for side in zip(*pairs)]
    squares = [((s - means[0]) - (t - means[1])) ** 2 for s, t in pairs]
    return math.fsum(squares) / len(pairs), max(abs(s) + abs(t) for s, t in pairs) ** 2


def distance(first, second):
    """1 - Pearson's correlation, and how much of a relative rounding of the two gets into it."""
    norms, centred = [], []
    for values in (first, second):
        mean = math.fsum(values) / len(values)
        centred.append([value - mean for value in values])
        norms.append(math.sqrt(math.fsum(value**2 for value in centred[-1])))
    below = norms[0] * norms[1] + 1e-8
    loud = [math.sqrt(math.fsum(value**2 for value in values)) for values in (first, second)]
    value = 1 - math.fsum(a * b for a, b in zip(*centred)) / below
    return value, 1 + (loud[0] * norms[1] + loud[1] * norms[0]) / below


def reference_dist(student, teacher, *, temperature, beta, gamma):
    if not student:
        return 0.0, 0.0
    known = [c for c in range(len(student[0])) if any(row[c] > -math.inf for row in student + teacher)]
    q, p = ([softmax(row, temperature) for row in rows] for rows in (student, teacher))
    q, p = ([[row[c] for c in known] for row in rows] for rows in (q, p))
    rows = [distance(*pair) for pair in zip(q, p)]
    columns = [distance(*pair) for pair in zip(zip(*q), zip(*p))]
    value, size = (
        sum(
            weight * temperature**2 * math.fsum(part[which] for part in parts) / len(parts)
            for weight, parts in ((beta, rows), (gamma, columns))
        )
        for which in (0, 1)
    )
    return value, size


# ------------------------------------------------------------------------------------------------ what is tested


@dataclass(frozen=True)
class Method:
    function: Callable
    positions: Callable | None  # None: it compares the examples of a batch with one another
    reference: Callable
    settings: tuple[dict, ...]  # the first is the one for single tests
    labels: bool = False

    def __call__(self, student, teacher, labels=None, mask=None, **others):
        """The function with the first settings; labels, where it does not need them, only say what counts."""
        return self.function(student, teacher, labels=labels, mask=mask, **{**self.settings[0], **others})

    def at(self, student, teacher, labels):
        return self.positions(student, teacher, *([labels] if self.labels else []), **self.settings[0])

    def expected(self, case, chosen):
        """Value and size of a case."""
        if self.positions is None:
            return self.reference(case.student[case.counts].tolist(), case.teacher[case.counts].tolist(), **chosen)
        value_of = partial(self.reference, **chosen)
        return tuple(case.mean(lambda *row, which=which: value_of(*row)[which]) for which in (0, 1))


TEMPERATURES = (3.0, 1.0, 0.5, 20.0)
METHODS = {
    "dkd": Method(
        f.dkd,
        f.dkd_positions,
        reference_dkd,
        tuple({"temperature": T, "alpha": a, "beta": b} for T in TEMPERATURES for a, b in ((0.7, 3.0), (1, 0), (0, 8))),
        labels=True,
    ),
    "nkd": Method(
        f.nkd,
        f.nkd_positions,
        reference_nkd,
        tuple({"temperature": T, "gamma": gamma} for T in TEMPERATURES for gamma in (1.5, 0.0)),
        labels=True,
    ),
    "dist": Method(
        f.dist,
        None,
        reference_dist,
        tuple({"temperature": T, "beta": b, "gamma": g} for T in TEMPERATURES for b, g in ((2.0, 0.5), (0, 1), (1, 0))),
    ),
    "standardized_kd": Method(
        f.standardized_kd,
        f.standardized_kd_positions,
        reference_standardized_kd,
        tuple({"temperature": T} for T in TEMPERATURES),
    ),
    "ttm": Method(f.ttm, f.ttm_positions, reference_ttm, tuple({"gamma": gamma} for gamma in (0.1, 0.6, 1.0, 1.7))),
    "wttm": Method(f.wttm, f.wttm_positions, reference_wttm, tuple({"gamma": gamma} for gamma in (0.1, 0.6, 1.0, 1.7))),
    "mse_logits": Method(f.mse_logits, f.mse_logits_positions, reference_mse_logits, ({},)),
}
BY_POSITION = {name: method for name, method in METHODS.items() if method.positions is not None}
DIVERGENCES = ("dkd", "standardized_kd", "mse_logits", "ttm", "wttm")


def value_and_gradient(method, student, teacher, *rest, **others):
    student = student.detach().clone().requires_grad_()
    value = method(student, teacher, *rest, **others)
    (gradient,) = torch.autograd.grad(value, student)
    return value.detach(), gradient


def close(first, second, **tolerance):
    torch.testing.assert_close(first, second, **({"rtol": 1e-10, "atol": 1e-11} | tolerance))


def far(first, second, by=0.01):
    return abs(first - second) > by * abs(second)
