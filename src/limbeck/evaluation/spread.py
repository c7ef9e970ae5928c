"""Whether the members of an ensemble that differ on an example are off there: their deviation as its uncertainty.

All in float64, in the units of the labels. Shapes: K members, N examples, D numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from .keep import Kept

PARTS = 5  # of the examples, by their deviation


def deviation(answers: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """The deviation of K answers (N, D) about their mean: float64 (N, D); of weighted ones, about their weighted mean.

    ``sqrt(Σ_k w_k (t_k - t)²)``, the weights divided by their sum: the variance of a mixture of members that are each certain
    (Lakshminarayanan, Pritzel, Blundell 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
    section 2.4).
    """
    answers_KND = torch.stack([one.detach().to("cpu", torch.float64) for one in answers])
    weights_K = torch.ones(len(answers), dtype=torch.float64)
    if weights is not None:
        weights_K = torch.tensor(list(weights), dtype=torch.float64)
    weights_K11 = (weights_K / weights_K.sum())[:, None, None]
    mean_ND = (weights_K11 * answers_KND).sum(0)
    return (weights_K11 * (answers_KND - mean_ND).square()).sum(0).sqrt()


def rows(teacher: Kept, deviation_ND: Tensor, names: Sequence[str]) -> list[dict[str, Any]]:
    """What the deviation says of the teacher's error, of each of the D numbers: plain values.

    ``number`` (its name); ``rmse``; ``deviation`` (root of the mean square), as large as the RMSE where it is calibrated;
    ``correlation`` of deviation and absolute error (None where one does not vary); ``within_1`` and ``within_2``, the shares
    of examples whose error is at most one and two deviations (of normal errors that are as large as the deviation says 0.683
    and 0.954); ``parts``, the examples by their deviation in up to five parts of like size, the surest first: ``deviation``
    and ``rmse`` as above, ``count``.
    """
    error_ND = (teacher["answer"].double() - teacher["labels"].double()).cpu().abs()
    return [
        {"number": name, **_of_one(error_N, deviation_N)}
        for name, error_N, deviation_N in zip(names, error_ND.unbind(1), deviation_ND.unbind(1), strict=True)
    ]


def _of_one(error_N: Tensor, deviation_N: Tensor) -> dict[str, Any]:
    ordered_N = deviation_N.argsort(stable=True)
    ends = [round(k * len(ordered_N) / PARTS) for k in range(PARTS + 1)]
    parts = [ordered_N[low:high] for low, high in pairwise(ends) if high > low]
    vary = all(bool(one_N.max() > one_N.min()) for one_N in (error_N, deviation_N))
    return {
        "rmse": _size(error_N),
        "deviation": _size(deviation_N),
        "correlation": torch.corrcoef(torch.stack([error_N, deviation_N]))[0, 1].item() if vary else None,
        **{f"within_{k}": (error_N <= k * deviation_N).double().mean().item() for k in (1, 2)},
        "parts": [
            {"deviation": _size(deviation_N[part]), "rmse": _size(error_N[part]), "count": len(part)} for part in parts
        ],
    }


def _size(values_N: Tensor) -> float:
    return values_N.square().mean().sqrt().item()


def section(
    teacher: dict[str, Kept], members: Sequence[dict[str, Kept]], weights: Sequence[float] | None, names: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """:func:`rows` of each split; ``teacher`` and ``members`` hold by split what is kept of their answers."""
    return {
        split: rows(kept, deviation([member[split]["answer"] for member in members], weights), names)
        for split, kept in teacher.items()
    }
