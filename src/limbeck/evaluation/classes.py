"""Answers that name one of several classes: logits, and how right, how calibrated and how close to the teacher they are.

What a kind of answer offers, and what its functions take and give, is said in :mod:`limbeck.evaluation.kinds`. Figures are over
a whole split, in float64. Shapes: N examples, C classes. Logits may hold -inf (a class ruled out); such a class counts as having the
smallest positive normal float64 (2.2e-308) as its probability, so that every figure stays finite. NaN and
+inf are refused.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..interfaces import DenseLogits
from ..objectives.catalogue.entry import ONE_CLASS
from .figure import Figure, share
from .keep import Kept, largest_difference, whole

FIGURES = (
    share("accuracy", "accuracy"),
    Figure("nll", "NLL", "less", unit="nats", digits=4),
    share("ece", "ECE", "less"),
    share("balanced_accuracy", "balanced accuracy"),
    share("top5", "top-5 accuracy"),
    Figure("brier", "Brier score", "less", digits=4),
    Figure("nll_scaled", "NLL at the fitted temperature", "less", unit="nats", digits=4),
    share("ece_scaled", "ECE at the fitted temperature", "less"),
    Figure("temperature", "fitted temperature", "less"),
)
FIDELITY = (
    share("agreement", "agreement with the teacher"),
    Figure("kl", "KL from the teacher", "less", unit="nats", digits=4),
    share("agreement_where_teacher_wrong", "agreement where the teacher is wrong", "less"),
    share("agreement_where_teacher_right", "agreement where the teacher is right"),
)
PLAIN = "cross_entropy"
READS = ONE_CLASS
TARGET = DenseLogits
ROWS = "per_class"
WHOLE = True
SUMS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "ece": lambda sums, count: np.abs(sums).sum(axis=-1) / count
}
ONE_SIDED = 0.5  # the share of one class above which accuracy says little

kept = whole

_RULED_OUT = math.log(torch.finfo(torch.float64).tiny)
# Temperatures: beyond them a fit says only that validation is separable, or noise.
_COLDEST, _HOTTEST = 0.01, 100.0


def classification(logits_NC: Tensor, labels_N: Tensor) -> dict[str, float]:
    """``accuracy``, ``balanced_accuracy``, ``top5`` (only where C > 5), ``nll`` (nats), ``ece`` and ``brier``.

    Accuracies are fractions; the balanced one is the mean over the classes that have examples of each one's recall. ``ece`` is
    the L1 gap over 15 equal bins of the largest probability (Guo et al. 2017); ``brier`` sums the squared error over classes and
    averages over examples (0 to 2). Raises ``BadInput`` for no examples, NaN or +inf logits, or labels out of range.
    """
    log_probs_NC = log_probabilities(logits_NC, labels_N)
    rank_N = _label_rank(logits_NC, labels_N)
    log_prob_N = _of_label(log_probs_NC, labels_N)
    brier_N = log_probs_NC.exp().square().sum(dim=1) - 2 * log_prob_N.exp() + 1
    figures = {
        "accuracy": _share(rank_N == 0),
        "balanced_accuracy": balanced(correct(logits_NC, labels_N), labels_N).mean().item(),
    }
    if logits_NC.shape[1] > 5:
        figures["top5"] = _share(rank_N < 5)
    return figures | {
        "nll": -log_prob_N.mean().item(),
        "ece": _calibration_gap(reliability(logits_NC, labels_N)),
        "brier": brier_N.mean().item(),
    }


def figures(kept: Kept, fitted_on: Kept | None = None) -> dict[str, float]:
    """:func:`classification`; with ``nll_scaled``, ``ece_scaled`` and ``temperature`` where one is fitted on another split."""
    return at_fitted_temperature(classification, fit_temperature, kept, fitted_on)


def at_fitted_temperature(
    classification: Callable[[Tensor, Tensor], dict[str, float]],
    fit: Callable[[Tensor, Tensor], float],
    kept: Kept,
    fitted_on: Kept | None,
) -> dict[str, float]:
    """The figures of logits, and NLL and ECE once more at the temperature that is fitted on another split, where there is one."""
    plain = classification(kept["answer"], kept["labels"])
    if fitted_on is None:
        return plain
    temperature = fit(fitted_on["answer"], fitted_on["labels"])
    scaled = classification(kept["answer"].double() / temperature, kept["labels"])
    return plain | {"nll_scaled": scaled["nll"], "ece_scaled": scaled["ece"], "temperature": temperature}


def fidelity(kept: Kept) -> dict[str, float | None]:
    """How closely a student follows its teacher (Stanton et al. 2021): not the same as being right.

    Top-1 ``agreement`` (fraction), also where the teacher is right and where it is wrong (None where there is no such
    example), and mean ``kl``: KL(teacher || student) at temperature 1 in nats, float64; exactly 0 for equal logits, and finite
    for logits of -inf. Raises ``ValueError`` where the two differ in shape.
    """
    student_logits_NC, teacher_logits_NC, labels_N = kept["answer"], kept["teacher"], kept["labels"]
    if student_logits_NC.shape != teacher_logits_NC.shape:
        shapes = f"{tuple(student_logits_NC.shape)} and {tuple(teacher_logits_NC.shape)}"
        raise ValueError(f"student's and teacher's logits differ in shape: {shapes}")
    student_NC = log_probabilities(student_logits_NC, labels_N)
    teacher_NC = log_probabilities(teacher_logits_NC, labels_N)
    kl_N = (teacher_NC.exp() * (teacher_NC - student_NC)).sum(dim=1)
    agree_N = student_logits_NC.argmax(dim=1).cpu() == teacher_logits_NC.argmax(dim=1).cpu()
    right_N = correct(teacher_logits_NC, labels_N).bool()
    return {
        "agreement": agree_N.double().mean().item(),
        "kl": kl_N.mean().item(),
        "agreement_where_teacher_wrong": _mean_or_none(agree_N[~right_N]),
        "agreement_where_teacher_right": _mean_or_none(agree_N[right_N]),
    }


def compared(kept: Kept) -> tuple[str, ...]:
    """Accuracy, NLL and ECE, and the balanced accuracy where more than half of the examples are of one class."""
    one_sided = (commonest(kept["labels"]) or 0.0) > ONE_SIDED
    return ("accuracy", "nll", *(("balanced_accuracy",) if one_sided else ()), "ece")


def scores(kept: Kept, figure: str) -> Tensor:
    """(N,) of accuracy, balanced accuracy and NLL; (N, bins) of ECE."""
    logits_NC, labels_N = kept["answer"], kept["labels"]
    if figure == "balanced_accuracy":
        return balanced(correct(logits_NC, labels_N), labels_N)
    of = {"accuracy": correct, "nll": negative_log_likelihood, "ece": calibration_gaps}[figure]
    return of(logits_NC, labels_N)


def commonest(labels: Tensor) -> float | None:
    """The share of the commonest class."""
    return int(torch.bincount(labels.cpu()).max()) / len(labels)


def rows(kepts: Sequence[Kept], names: Sequence[str]) -> list[dict[str, Any]]:
    """Of each class its recall, the mean over the seeds, and its number of examples."""
    each = [per_class(kept["answer"], kept["labels"], names) for kept in kepts]
    return [same[0] | {"accuracy": _mean([row["accuracy"] for row in same])} for same in zip(*each, strict=True)]


def right(kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
    """Whether the answer is right (N,), once more for all classes (N, 1), and whose class it tells of (N, C)."""
    right_N = correct(kept["answer"], kept["labels"])
    asked_NC = kept["labels"].cpu()[:, None] == torch.arange(kept["answer"].shape[1])
    return right_N, right_N[:, None], asked_NC


def sureness(kept: Kept) -> Tensor:
    """(N,) float64: the largest probability."""
    return log_probabilities(kept["answer"]).amax(dim=1).exp()


def about_labels(kepts: Mapping[str, Kept], names: Sequence[str]) -> dict[str, Any]:
    """``commonest``: of the test split, the class that most examples have and its share; ``lacking``: classes without any."""
    labels = {split: kept["labels"] for split, kept in kepts.items()}
    classes, counts = labels["test"].cpu().unique(return_counts=True)
    lacking = {
        split: [names[c] for c in (torch.bincount(of.cpu(), minlength=len(names)) == 0).nonzero()[:, 0].tolist()]
        for split, of in labels.items()
    }
    return {
        "commonest": {
            "labels": [names[int(classes[int(counts.argmax())])]],
            "share": int(counts.max()) / len(labels["test"]),
        },
        "lacking": {split: found for split, found in lacking.items() if found},
    }


def alike(a: Tensor, b: Tensor) -> tuple[float, float]:
    """The largest difference of a logit, and the share of examples on which both name the same class."""
    return largest_difference(a, b), _share(a.argmax(dim=-1) == b.argmax(dim=-1))


def correct(logits_NC: Tensor, labels_N: Tensor) -> Tensor:
    """(N,) float64: 1 where the first of the largest logits is the label's, else 0."""
    check(logits_NC, labels_N)
    return (_label_rank(logits_NC, labels_N) == 0).double()


def balanced(scores_N: Tensor, labels_N: Tensor) -> Tensor:
    """(N,) float64 scores, weighted so that their mean is that over classes of each class's mean (those with examples)."""
    labels_N = labels_N.cpu()
    support_C = torch.bincount(labels_N)
    return scores_N.double() * len(labels_N) / (support_C[labels_N] * (support_C > 0).sum())


def negative_log_likelihood(logits_NC: Tensor, labels_N: Tensor) -> Tensor:
    """(N,) float64, in nats."""
    return -_of_label(log_probabilities(logits_NC, labels_N), labels_N)


def per_class(logits_NC: Tensor, labels_N: Tensor, classes: Sequence[str]) -> list[dict[str, Any]]:
    """``{"class", "accuracy", "support"}`` of each class: recall (None without examples), their number."""
    if len(classes) != logits_NC.shape[1]:
        raise ValueError(f"{len(classes)} class names for logits of {logits_NC.shape[1]} classes")
    correct_N = correct(logits_NC, labels_N)
    labels_N = labels_N.cpu()
    support_C = torch.bincount(labels_N, minlength=len(classes)).tolist()
    right_C = torch.bincount(labels_N, weights=correct_N, minlength=len(classes)).tolist()
    return [
        {"class": name, "accuracy": right / support if support else None, "support": support}
        for name, right, support in zip(classes, right_C, support_C, strict=True)
    ]


def confusion(logits_NC: Tensor, labels_N: Tensor, classes: int) -> Tensor:
    """(classes, classes) int64 counts: rows are the labels, columns what was predicted."""
    check(logits_NC, labels_N)
    if logits_NC.shape[1] != classes:
        raise ValueError(f"logits of {logits_NC.shape[1]} classes where {classes} were expected")
    cell_N = labels_N.cpu() * classes + logits_NC.argmax(dim=1).cpu()
    return torch.bincount(cell_N, minlength=classes * classes).reshape(classes, classes)


def reliability(logits_NC: Tensor, labels_N: Tensor, bins: int = 15) -> list[dict[str, Any]]:
    """``{"low", "high", "confidence", "accuracy", "count"}`` of each equal bin (low, high] of confidence.

    Confidence is the largest probability; ``confidence`` and ``accuracy`` are means over the bin, None where
    empty.
    """
    # torchmetrics puts a confidence of exactly 1, common in float32, into a bin of its own: not the published
    # ECE.
    confidence_N = log_probabilities(logits_NC, labels_N).amax(dim=1).exp()
    edges = torch.arange(bins + 1, dtype=torch.float64) / bins
    bin_N = torch.bucketize(confidence_N, edges[1:-1])
    count = torch.bincount(bin_N, minlength=bins).tolist()
    confidence = torch.bincount(bin_N, weights=confidence_N, minlength=bins).tolist()
    right = torch.bincount(bin_N, weights=correct(logits_NC, labels_N), minlength=bins).tolist()
    return [
        {
            "low": edges[i].item(),
            "high": edges[i + 1].item(),
            "confidence": confidence[i] / count[i] if count[i] else None,
            "accuracy": right[i] / count[i] if count[i] else None,
            "count": count[i],
        }
        for i in range(bins)
    ]


def calibration_gaps(logits_NC: Tensor, labels_N: Tensor, bins: int = 15) -> Tensor:
    """(N, bins) float64: confidence minus right (1 or 0) in an example's bin, 0 elsewhere.

    The sum over bins of the absolute mean over examples is the ECE.
    """
    confidence_N = log_probabilities(logits_NC, labels_N).amax(dim=1).exp()
    edges = torch.arange(bins + 1, dtype=torch.float64) / bins
    bin_N = torch.bucketize(confidence_N, edges[1:-1])
    gap_N = confidence_N - correct(logits_NC, labels_N).cpu()
    return torch.zeros(len(gap_N), bins, dtype=torch.float64).scatter(1, bin_N[:, None], gap_N[:, None])


def fit_temperature(logits_NC: Tensor, labels_N: Tensor) -> float:
    """The T in [0.01, 100] that minimises the NLL of ``logits / T``; fit it on validation, never on test.

    The NLL is convex in 1/T: safeguarded Newton on its slope. Examples whose label is ruled out (-inf) are
    left out, since no temperature changes what they cost; 1.0 where the NLL does not depend on T.
    """
    check(logits_NC, labels_N)
    z_NC = logits_NC.detach().to("cpu", torch.float64)
    z_NC = z_NC - z_NC.amax(dim=1, keepdim=True)
    label_z_N = _of_label(z_NC, labels_N)
    possible_N = label_z_N.isfinite()
    if not possible_N.any():
        return 1.0
    z_NC, label_z_N = z_NC[possible_N], label_z_N[possible_N]
    finite_z_NC = z_NC.masked_fill(z_NC.isinf(), 0.0)  # their probability is 0: keeps 0 * inf out of the moments

    low, high, inverse = 1 / _HOTTEST, 1 / _COLDEST, 1.0
    for _ in range(100):
        probs_NC = torch.softmax(inverse * z_NC, dim=1)
        mean_N = (probs_NC * finite_z_NC).sum(dim=1)
        slope = (mean_N - label_z_N).mean().item()
        curvature = ((probs_NC * finite_z_NC.square()).sum(dim=1) - mean_N.square()).mean().item()
        if slope == 0:
            break
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        newton = inverse - slope / curvature if curvature > 0 else math.inf
        following = newton if low < newton < high else math.sqrt(low * high)
        done = abs(following - inverse) <= 1e-10 * inverse
        inverse = following
        if done:
            break
    return 1 / inverse


def log_probabilities(logits_NC: Tensor, labels_N: Tensor | None = None) -> Tensor:
    """(N, C) float64 log-softmax on the CPU, finite everywhere (see the module's note on -inf)."""
    check(logits_NC, labels_N)
    logits_NC = logits_NC.detach().to("cpu", torch.float64)
    return torch.log_softmax(logits_NC, dim=1).masked_fill(logits_NC.isneginf(), _RULED_OUT)


def check(logits_NC: Tensor, labels_N: Tensor | None = None) -> None:
    """Raises ``ValueError`` for shapes that do not fit, ``BadInput`` for values that cannot be evaluated."""
    if logits_NC.ndim != 2:
        raise ValueError(f"logits must be (N, C), not {tuple(logits_NC.shape)}")
    if 0 in logits_NC.shape:
        raise BadInput("There is nothing to evaluate: the split holds no examples, or the model has no outputs.")
    refused_N = (logits_NC.isnan() | logits_NC.isposinf()).any(dim=1) | logits_NC.isneginf().all(dim=1)
    if refused_N.any():
        row = int(refused_N.nonzero()[0])
        raise BadInput(
            f"The model's outputs cannot be evaluated: {int(refused_N.sum())} of {len(refused_N)} examples "
            f"(the first at row {row}) have NaN, +inf or nothing but -inf among their logits."
        )
    if labels_N is None:
        return
    if labels_N.shape != logits_NC.shape[:1]:
        raise ValueError(f"labels {tuple(labels_N.shape)} do not fit logits {tuple(logits_NC.shape)}")
    low, high, classes = int(labels_N.min()), int(labels_N.max()), logits_NC.shape[1]
    if low < 0 or high >= classes:
        raise BadInput(
            f"The labels run from {low} to {high}, but the model tells {classes} classes apart: "
            f"labels must be 0 to {classes - 1}."
        )


def _label_rank(logits_NC: Tensor, labels_N: Tensor) -> Tensor:
    """(N,) int64: how many classes stand before the label; ties go to the lower class, as in argmax."""
    logits_NC, labels_N = logits_NC.detach().cpu(), labels_N.cpu()
    label_N1 = logits_NC.gather(1, labels_N[:, None])
    earlier_NC = torch.arange(logits_NC.shape[1]) < labels_N[:, None]
    return ((logits_NC > label_N1) | ((logits_NC == label_N1) & earlier_NC)).sum(dim=1)


def _of_label(values_NC: Tensor, labels_N: Tensor) -> Tensor:
    return values_NC.gather(1, labels_N.to(values_NC.device)[:, None])[:, 0]


def _mean_or_none(flags_N: Tensor) -> float | None:
    return flags_N.double().mean().item() if len(flags_N) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _share(flags_N: Tensor) -> float:
    return int(flags_N.sum()) / len(flags_N)


def _calibration_gap(bins: list[dict[str, Any]]) -> float:
    filled = [row for row in bins if row["count"]]
    gap = math.fsum(row["count"] * abs(row["accuracy"] - row["confidence"]) for row in filled)
    return gap / sum(row["count"] for row in filled)
