"""Answers of which an example may have several labels, or none: each class is a yes or no of its own, with a sigmoid.

What a kind of answer offers, and what its functions take and give, is said in :mod:`limbeck.evaluation.kinds`. A class is told
where its probability is above 1/2. Logits of -inf and +inf count as the probabilities 2.2e-308 and 1 - 2.2e-308, so that
every figure stays finite; NaN is refused. Shapes: N examples, C classes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import BadInput
from ..interfaces import DenseLogits
from ..objectives.catalogue.entry import YES_OR_NO
from . import classes as one_class
from .figure import Figure, share
from .keep import Kept, largest_difference, whole

FIGURES = (
    share("accuracy", "accuracy"),
    Figure("nll", "NLL", "less", unit="nats", digits=4),
    share("ece", "ECE", "less"),
    share("macro_f1", "macro F1"),
    share("micro_f1", "micro F1"),
    Figure("brier", "Brier score", "less", digits=4),
    Figure("nll_scaled", "NLL at the fitted temperature", "less", unit="nats", digits=4),
    share("ece_scaled", "ECE at the fitted temperature", "less"),
    Figure("temperature", "fitted temperature", "less"),
)
FIDELITY = one_class.FIDELITY
PLAIN = "binary_cross_entropy"
READS = YES_OR_NO
TARGET = DenseLogits
ROWS = "per_class"
WHOLE = True
SUMS = one_class.SUMS

kept = whole

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
        **told_figures(logits_NC > 0, true_NC),
        "nll": F.binary_cross_entropy_with_logits(logits_NC, true_NC.double()).item(),
        "ece": gap / logits_NC.numel(),
        "brier": (logits_NC.sigmoid() - true_NC.double()).square().mean().item(),
    }


def figures(kept: Kept, fitted_on: Kept | None = None) -> dict[str, float]:
    """:func:`classification`; with ``nll_scaled``, ``ece_scaled`` and ``temperature`` where one is fitted on another split."""
    return one_class.at_fitted_temperature(classification, fit_temperature, kept, fitted_on)


def compared(kept: Kept) -> tuple[str, ...]:
    """Accuracy, NLL and ECE."""
    return "accuracy", "nll", "ece"


def scores(kept: Kept, figure: str) -> Tensor:
    """(N,) of accuracy and NLL; (N, bins) of ECE."""
    of = {"accuracy": correct, "nll": negative_log_likelihood, "ece": calibration_gaps}[figure]
    return of(kept["answer"], kept["labels"])


def commonest(labels: Tensor) -> float | None:
    """The share of the commonest set of labels."""
    return int(labels.cpu().unique(dim=0, return_counts=True)[1].max()) / len(labels)


def rows(kepts: Sequence[Kept], names: Sequence[str]) -> list[dict[str, Any]]:
    """Of each class its recall, the mean over the seeds, its F1 and its number of examples."""
    each = [per_class(kept["answer"], kept["labels"], names) for kept in kepts]
    found = []
    for same in zip(*each, strict=True):
        known = [row["accuracy"] for row in same if row["accuracy"] is not None]
        found.append(same[0] | {"accuracy": statistics.fmean(known) if known else None})
    return found


def right(kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
    """Whether the set is right (N,), each yes or no of it (N, C), and whose class it tells of (N, C): all of them."""
    right_NC = answers_right(kept["answer"], kept["labels"])
    return right_NC.all(dim=1).double(), right_NC, torch.ones_like(right_NC)


def sureness(kept: Kept) -> Tensor:
    """(N,) float64: how likely the yes or no of the class is that the model is least sure of."""
    yes_NC = kept["answer"].detach().to("cpu", torch.float64).sigmoid()
    return torch.maximum(yes_NC, 1 - yes_NC).amin(dim=1)


def about_labels(kepts: Mapping[str, Kept], names: Sequence[str]) -> dict[str, Any]:
    """``commonest``: of the test split, the set that most examples have and its share; ``lacking``: classes without any."""
    labels = {split: kept["labels"] for split, kept in kepts.items()}
    sets, counts = labels["test"].cpu().unique(dim=0, return_counts=True)
    most = sets[int(counts.argmax())].nonzero()[:, 0].tolist()
    lacking = {
        split: [names[c] for c in (of.cpu().sum(0) == 0).nonzero()[:, 0].tolist()] for split, of in labels.items()
    }
    return {
        "commonest": {"labels": [names[c] for c in most], "share": int(counts.max()) / len(labels["test"])},
        "lacking": {split: found for split, found in lacking.items() if found},
    }


def alike(a: Tensor, b: Tensor) -> tuple[float, float]:
    """The largest difference of a logit, and the share of examples of which both tell the same set."""
    return largest_difference(a, b), ((a > 0) == (b > 0)).all(dim=-1).double().mean().item()


def correct(logits_NC: Tensor, labels_NC: Tensor) -> Tensor:
    """(N,) float64: 1 where exactly the right labels are told, else 0."""
    return answers_right(logits_NC, labels_NC).all(dim=1).double()


def answers_right(logits_NC: Tensor, labels_NC: Tensor) -> Tensor:
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


def fidelity(kept: Kept) -> dict[str, float | None]:
    """``agreement`` (the same labels told), also where the teacher is right and where it is wrong, and mean ``kl``.

    ``kl`` is KL(teacher || student) of the C yes-or-no answers, summed over classes, at temperature 1 in nats.
    """
    student_logits_NC, teacher_logits_NC, labels_NC = kept["answer"], kept["teacher"], kept["labels"]
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


def f1_by_class(told_NC: Tensor, true_NC: Tensor) -> Tensor:
    """2 TP / (2 TP + FP + FN) of each class, (C,) float64; 0 for a class that is neither told nor true anywhere."""
    hits_C, misses_C = (told_NC & true_NC).sum(0), (told_NC ^ true_NC).sum(0)
    return 2 * hits_C.double() / (2 * hits_C + misses_C).clamp(min=1)


def told_figures(told_NC: Tensor, true_NC: Tensor) -> dict[str, float]:
    """``accuracy`` (the share of examples with exactly the right labels), ``micro_f1`` and ``macro_f1``.

    ``told_NC`` and ``true_NC`` are bool. Micro counts every example and class alike; macro is the mean over classes.
    """
    hits, misses = int((told_NC & true_NC).sum()), int((told_NC ^ true_NC).sum())
    return {
        "accuracy": (told_NC == true_NC).all(dim=1).double().mean().item(),
        "micro_f1": 2 * hits / max(2 * hits + misses, 1),
        "macro_f1": torch.mean(f1_by_class(told_NC, true_NC)).item(),
    }


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
