"""Teachers of which some classes are kept."""

import math

from tests.objectives.cases import log_softmax

TEMPERATURES = [0.5, 1.0, 2.0, 7.3]


# ------------------------------------------------------------------------------------------------ the references


def log_sum_exp(values):
    top = max(values, default=-math.inf)
    return top if top == -math.inf else top + math.log(math.fsum(math.exp(value - top) for value in values))


def coarsened(row, ids, temperature):
    """Log-probabilities of the classes in ids, and of the others together."""
    logs = log_softmax(row, temperature)
    return [logs[i] for i in ids] + [log_sum_exp([value for i, value in enumerate(logs) if i not in ids])]


def reference_sparse_kl(student, teacher, ids, temperature):
    """The value, and the size of what was summed up."""
    log_p, log_q = coarsened(teacher, ids, temperature), coarsened(student, ids, temperature)
    terms = [(math.exp(p), p, q) for p, q in zip(log_p, log_q) if p > -math.inf and math.exp(p) > 0]
    value = temperature**2 * math.fsum(weight * (p - q) for weight, p, q in terms)
    return value, temperature**2 * math.fsum(weight * (abs(p) + abs(q)) for weight, p, q in terms)
