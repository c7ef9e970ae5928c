"""Figures where an example may have several labels: each class is a yes or no of its own, with a sigmoid.

The counterparts of :mod:`limbeck.evaluation.metrics` and :mod:`limbeck.evaluation.fidelity`, in float64. A class is told
where its probability is above 1/2. Logits of -inf and +inf count as the probabilities 2.2e-308 and 1 - 2.2e-308, so that
every figure stays finite; NaN is refused. Shapes: N examples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import BadInput
from .label_sets import f1_by_class, scores

_LARGEST = -math.log(torch.finfo(torch.float64).tiny)
_COLDEST, _HOTTEST = 0.01, 100.0


def classification(logits_NC: Tensor, labels_NC: Tensor) -> dict[str, float]:
    """``accuracy`` (exactly the right labels), ``micro_f1``, ``macro_f1``, ``nll`` (nats), ``ece`` and ``brier``.

    ``nll`` and ``brier`` are means over examples and classes; ``ece`` is that of :func:`reliability`.
    """
    logits_NC, true_NC = _checked(logits_NC, labels_NC)
    bins = [row for row in reliability(logits_NC, labels_NC) if row["count"]]
    gap = math.fsum(row["count"] * abs(row["accuracy"] - row["confidence"]) for row in bins)
    return {
        **scores(logits_NC > 0, true_NC),
        "nll": F.binary_cross_entropy_with_logits(logits_NC, true_NC.double()).item(),
        "ece": gap / logits_NC.numel(),
        "brier": (logits_NC.sigmoid() - true_NC.double()).square().mean().item(),
    }


def correct(logits_NC: Tensor, labels_NC: Tensor) -> Tensor:
    """(N,) float64: 1 where exactly the right labels are told, else 0."""
    return right(logits_NC, labels_NC).all(dim=1).double()


def right(logits_NC: Tensor, labels_NC: Tensor) -> Tensor:
    """(N, C) bool: whether the yes or no of each class is right."""
    logits_NC, true_NC = _checked(logits_NC, labels_NC)
    return (logits_NC > 0) == true_NC


def negative_log_likelihood(logits_NC: Tensor, labels_NC: Tensor) -> Tensor:
    """(N,) float64: binary cross-entropy, the mean over classes, in nats."""
    logits_NC, true_NC = _checked(logits_NC, labels_NC)
    return F.binary_cross_entropy_with_logits(logits_NC, true_NC.double(), reduction="none").mean(dim=1)


def per_class(logits_NC: Tensor, labels_NC: Tensor, classes: Sequence[str]) -> list[dict[str, Any]]:
    """``{"class", "accuracy", "f1", "support"}`` of each class: recall (None without examples), F1, their number."""
    logits_NC, true_NC = _checked(logits_NC, labels_NC)
    if len(classes) != logits_NC.shape[1]:
        raise ValueError(f"{len(classes)} class names for logits of {logits_NC.shape[1]} classes")
    told_NC = logits_NC > 0
    support_C, hits_C = true_NC.sum(0).tolist(), (told_NC & true_NC).sum(0).tolist()
    return [
        {"class": name, "accuracy": hits / support if support else None, "f1": f1, "support": support}
        for name, support, hits, f1 in zip(
            classes, support_C, hits_C, f1_by_class(told_NC, true_NC).tolist(), strict=True
        )
    ]


def reliability(logits_NC: Tensor, labels_NC: Tensor, bins: int = 15) -> list[dict[str, Any]]:
    """``{"low", "high", "confidence", "accuracy", "count"}`` of each equal bin (low, high] of the probability of yes.

    One entry for every example and class: ``confidence`` is the mean probability, ``accuracy`` the share of yes; None
    where empty.
    """
    logits_NC, true_NC = _checked(logits_NC, labels_NC)
    probs, yes = logits_NC.sigmoid().flatten(), true_NC.flatten().double()
    edge = torch.arange(bins + 1, dtype=torch.float64) / bins
    bin_of = torch.bucketize(probs, edge[1:-1])
    count = torch.bincount(bin_of, minlength=bins).tolist()
    confidence = torch.bincount(bin_of, weights=probs, minlength=bins).tolist()
    right = torch.bincount(bin_of, weights=yes, minlength=bins).tolist()
    return [
        {
            "low": edge[i].item(),
            "high": edge[i + 1].item(),
            "confidence": confidence[i] / count[i] if count[i] else None,
            "accuracy": right[i] / count[i] if count[i] else None,
            "count": count[i],
        }
        for i in range(bins)
    ]


def calibration_gaps(logits_NC: Tensor, labels_NC: Tensor, bins: int = 15) -> Tensor:
    """(N, bins) float64: what each example adds to the gap of every bin, the mean over its C classes.

    The sum over bins of the absolute mean over examples is the ECE.
    """
    logits_NC, true_NC = _checked(logits_NC, labels_NC)
    probs_NC = logits_NC.sigmoid()
    bin_NC = torch.bucketize(probs_NC, (torch.arange(bins + 1, dtype=torch.float64) / bins)[1:-1])
    gaps_NB = torch.zeros(len(probs_NC), bins, dtype=torch.float64)
    return gaps_NB.scatter_add(1, bin_NC, probs_NC - true_NC.double()) / probs_NC.shape[1]


def fit_temperature(logits_NC: Tensor, labels_NC: Tensor) -> float:
    """The T in [0.01, 100] that minimises the NLL of ``logits / T``, by bisection; fit it on validation, never on test.

    The NLL is convex in 1/T. 1.0 where it does not depend on T.
    """
    logits_NC, true_NC = _checked(logits_NC, labels_NC)
    if not logits_NC.any():
        return 1.0

    def slope(inverse: float) -> float:
        return (((inverse * logits_NC).sigmoid() - true_NC.double()) * logits_NC).mean().item()

    low, high = 1 / _HOTTEST, 1 / _COLDEST
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / math.sqrt(low * high)


def fidelity(student_logits_NC: Tensor, teacher_logits_NC: Tensor, labels_NC: Tensor) -> dict[str, float | None]:
    """``agreement`` (the same labels told), also where the teacher is right and where it is wrong, and mean ``kl``.

    ``kl`` is KL(teacher || student) of the C yes-or-no answers, summed over classes, at temperature 1 in nats.
    """
    if student_logits_NC.shape != teacher_logits_NC.shape:
        shapes = f"{tuple(student_logits_NC.shape)} and {tuple(teacher_logits_NC.shape)}"
        raise ValueError(f"student's and teacher's logits differ in shape: {shapes}")
    student_NC, _ = _checked(student_logits_NC, labels_NC)
    teacher_NC, _ = _checked(teacher_logits_NC, labels_NC)
    agree_N = ((student_NC > 0) == (teacher_NC > 0)).all(dim=1).double()
    right_N = correct(teacher_NC, labels_NC).bool()
    return {
        "agreement": agree_N.mean().item(),
        "kl": divergence(student_NC, teacher_NC).mean().item(),
        "agreement_where_teacher_wrong": agree_N[~right_N].mean().item() if (~right_N).any() else None,
        "agreement_where_teacher_right": agree_N[right_N].mean().item() if right_N.any() else None,
    }


def divergence(student_logits_NC: Tensor, teacher_logits_NC: Tensor) -> Tensor:
    """(N,) float64: KL(teacher || student) of the yes-or-no answers, summed over classes; 0 where they are equal."""
    student_NC, teacher_NC = (
        logits.double().clamp(-_LARGEST, _LARGEST) for logits in (student_logits_NC, teacher_logits_NC)
    )
    yes_NC = teacher_NC.sigmoid() * (F.logsigmoid(teacher_NC) - F.logsigmoid(student_NC))
    no_NC = (-teacher_NC).sigmoid() * (F.logsigmoid(-teacher_NC) - F.logsigmoid(-student_NC))
    return (yes_NC + no_NC).sum(dim=1)


def _checked(logits_NC: Tensor, labels_NC: Tensor) -> tuple[Tensor, Tensor]:
    """Finite float64 logits and bool labels, on the CPU."""
    if logits_NC.ndim != 2 or labels_NC.shape != logits_NC.shape:
        raise ValueError(f"labels {tuple(labels_NC.shape)} do not fit logits {tuple(logits_NC.shape)}")
    if 0 in logits_NC.shape:
        raise BadInput("There is nothing to evaluate: the split holds no examples, or the model has no outputs.")
    if logits_NC.isnan().any():
        row = int(logits_NC.isnan().any(dim=1).nonzero()[0])
        raise BadInput(f"The model's outputs cannot be evaluated: row {row} has NaN among its logits.")
    return logits_NC.detach().to("cpu", torch.float64).clamp(-_LARGEST, _LARGEST), labels_NC.cpu() > 0.5
