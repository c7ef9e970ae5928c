"""Answers that are numbers: how far off they are, and how close to the teacher's.

What a kind of answer offers, and what its functions take and give, is said in :mod:`limbeck.evaluation.kinds`. All of it in
float64, in the units of the labels. Where an example has several numbers, a figure of all of them together is the mean over
the numbers (of RMSE: the root of the mean squared error of all), each as large as it is: numbers of different size are better
told apart, by :func:`rows`. Shapes: N examples, D numbers, V of them that vary in the split, M sums.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import BadInput
from ..interfaces import Values
from ..objectives.catalogue.entry import NUMBERS
from .figure import Figure, share
from .keep import Kept, largest_difference, whole

FIGURES = (
    Figure("rmse", "RMSE", "less", significant=True, least=0.0),
    Figure("mse", "mean squared error", "less", unit="²", significant=True, least=0.0),
    Figure("mae", "mean absolute error", "less", significant=True, least=0.0),
    Figure("r2", "R²", "more", most=1.0),
    Figure("correlation", "correlation", "more", least=-1.0, most=1.0),
)
FIDELITY = (
    Figure("rmse_to_teacher", "RMSE from the teacher's answers", "less", significant=True),
    Figure("correlation_with_teacher", "correlation with the teacher's answers", "more"),
    Figure("error_correlation", "correlation of the errors with the teacher's", "more"),
    share("nearer_than_teacher", "nearer to the label than the teacher"),
)
PLAIN = "mse"
READS = NUMBERS
TARGET = Values
ROWS = "per_number"
WHOLE = True
SAME = 0.01  # of a number's standard deviation: two answers as near as that say the same
_LEAST = 1e-3  # of the largest number: what stands for a deviation that is smaller

kept = whole


def figures(kept: Kept, fitted_on: Kept | None = None) -> dict[str, float]:
    """``rmse``, ``mse`` and ``mae``; where some number varies in the split, ``r2`` and ``correlation``, means over those that do.

    R² is 1 less the squared error over that of always answering the mean; the correlation is Pearson's, 0 for a model that
    always answers the same. ``fitted_on`` is not used: nothing is fitted. Raises ``BadInput`` for no examples, or a number
    that is not finite.
    """
    error_ND = _error(kept)
    found = {
        "rmse": error_ND.square().mean().sqrt().item(),
        "mse": error_ND.square().mean().item(),
        "mae": error_ND.abs().mean().item(),
    }
    if not _vary(kept["labels"]).any():
        return found
    return found | {name: _of_sums(kept, name) for name in ("r2", "correlation")}


def fidelity(kept: Kept) -> dict[str, float | None]:
    """``rmse_to_teacher``, ``correlation_with_teacher``, ``error_correlation`` and ``nearer_than_teacher``.

    ``error_correlation`` is that of the student's errors with the teacher's: 1 where it errs alike. Correlations are means over
    the numbers in which the teacher's answers (or errors) vary, None where none do. ``nearer_than_teacher`` is the share of
    examples of which the squared error over all numbers is smaller than the teacher's.
    """
    answer_ND, teacher_ND, labels_ND = _checked(kept["answer"]), _checked(kept["teacher"]), _checked(kept["labels"])
    if answer_ND.shape != teacher_ND.shape:
        shapes = f"{tuple(answer_ND.shape)} and {tuple(teacher_ND.shape)}"
        raise ValueError(f"student's and teacher's numbers differ in shape: {shapes}")
    error_ND, wrong_ND = answer_ND - labels_ND, teacher_ND - labels_ND
    return {
        "rmse_to_teacher": (answer_ND - teacher_ND).square().mean().sqrt().item(),
        "correlation_with_teacher": _correlation_or_none(answer_ND, teacher_ND),
        "error_correlation": _correlation_or_none(error_ND, wrong_ND),
        "nearer_than_teacher": (error_ND.square().sum(1) < wrong_ND.square().sum(1)).double().mean().item(),
    }


def compared(kept: Kept) -> tuple[str, ...]:
    """RMSE, mean absolute error, and the correlation where some number varies."""
    return ("rmse", "mae", *(("correlation",) if _vary(kept["labels"]).any() else ()))


def scores(kept: Kept, figure: str) -> Tensor:
    """(N,) of ``mse`` and ``mae``, the mean over the numbers; (N, M) of ``rmse``, ``r2`` and ``correlation``."""
    error_ND = _error(kept)
    if figure == "mse":
        return error_ND.square().mean(1)
    if figure == "mae":
        return error_ND.abs().mean(1)
    if figure == "rmse":
        return error_ND.square().mean(1, keepdim=True)
    vary_D = _vary(kept["labels"])
    answer_NV, labels_NV = (_checked(kept[name])[:, vary_D] for name in ("answer", "labels"))
    if figure == "r2":
        middle_V = labels_NV.mean(0)
        return torch.cat([error_ND[:, vary_D].square(), *_moments(labels_NV - middle_V)], dim=1)
    return _products(answer_NV, labels_NV)


def commonest(labels: Tensor) -> float | None:
    """The RMSE of always answering the mean."""
    labels_ND = _checked(labels)
    return (labels_ND - labels_ND.mean(0)).square().mean().sqrt().item()


def rows(kepts: Sequence[Kept], names: Sequence[str]) -> list[dict[str, Any]]:
    """``number`` (its name), ``rmse``, ``mae``, ``r2``, ``correlation`` (None where it does not vary) and ``support``.

    Of each of the D numbers; means over the seeds. ``support`` is the number of examples.
    """
    found = []
    for d, name in enumerate(names):
        each = [figures({part: kept[part][:, d : d + 1] for part in ("answer", "labels")}) for kept in kepts]
        row: dict[str, Any] = {"number": name}
        for figure in ("rmse", "mae", "r2", "correlation"):
            row[figure] = statistics.fmean(one[figure] for one in each) if figure in each[0] else None
        found.append(row | {"support": len(kepts[0]["labels"])})
    return found


def right(kept: Kept) -> None:
    """Nothing: a number is near or far, not right or wrong."""
    return


def sureness(kept: Kept) -> None:
    """Nothing: what is not right or wrong is not held to how sure it was."""
    return


def about_labels(kepts: Mapping[str, Kept], names: Sequence[str]) -> dict[str, Any]:
    """``numbers``: of the test split, each number's name, ``mean``, ``sd``, ``low`` and ``high``."""
    labels_ND = _checked(kepts["test"]["labels"])
    columns = (labels_ND.mean(0), labels_ND.std(0, correction=0), labels_ND.amin(0), labels_ND.amax(0))
    each = zip(names, *(column.tolist() for column in columns), strict=True)
    return {"numbers": [dict(zip(("name", "mean", "sd", "low", "high"), one, strict=True)) for one in each]}


def alike(a: Tensor, b: Tensor) -> tuple[float, float]:
    """The largest difference of a number as a share of its standard deviation in ``a``, and the share of examples alike.

    Examples are alike of which no number differs by more than a hundredth of that deviation (or, where that is smaller, of a
    thousandth of the largest number).
    """
    a_ND, b_ND = a.double(), b.double()
    size_D = torch.maximum(a_ND.std(0, correction=0), _LEAST * a_ND.abs().amax(0))
    size_D = size_D.where(size_D > 0, torch.finfo(torch.float64).tiny)
    a_ND, b_ND = a_ND / size_D, b_ND / size_D
    return largest_difference(a_ND, b_ND), ((a_ND - b_ND).abs() <= SAME).all(1).double().mean().item()


def _rmse(sums: np.ndarray, count: int) -> np.ndarray:
    return np.sqrt(sums[..., 0] / count)


def _r2(sums: np.ndarray, count: int) -> np.ndarray:
    error, total, squared = np.split(sums, 3, axis=-1)
    return (1 - _over(error, squared - total**2 / count)).mean(axis=-1)


def _correlation(sums: np.ndarray, count: int) -> np.ndarray:
    a, aa, b, bb, ab = np.split(sums, 5, axis=-1)
    spread = np.maximum(aa - a**2 / count, 0) * np.maximum(bb - b**2 / count, 0)
    return _over(ab - a * b / count, np.sqrt(spread)).mean(axis=-1)


SUMS: Mapping[str, Callable[[np.ndarray, int], np.ndarray]] = {"rmse": _rmse, "r2": _r2, "correlation": _correlation}


def _over(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """The quotient; 0 where a draw of examples holds none that differ."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _of_sums(kept: Kept, figure: str) -> float:
    scores_NM = scores(kept, figure).numpy()
    return float(SUMS[figure](scores_NM.sum(axis=0), len(scores_NM)))


def _products(a_NV: Tensor, b_NV: Tensor) -> Tensor:
    """(N, 5 V): what a correlation is made of, about the means, so that no digits are lost."""
    a_NV, b_NV = (torch.where(_vary(one_NV), one_NV - one_NV.mean(0), 0.0) for one_NV in (a_NV, b_NV))
    return torch.cat([*_moments(a_NV), *_moments(b_NV), a_NV * b_NV], dim=1)


def _moments(values_NV: Tensor) -> tuple[Tensor, Tensor]:
    return values_NV, values_NV.square()


def _correlation_or_none(a_ND: Tensor, b_ND: Tensor) -> float | None:
    vary_D = _vary(b_ND)
    if not vary_D.any():
        return None
    sums = _products(a_ND[:, vary_D], b_ND[:, vary_D]).sum(0).numpy()
    return float(_correlation(sums, len(a_ND)))


def _vary(values_ND: Tensor) -> Tensor:
    """(D,) bool: which numbers are not the same everywhere."""
    values_ND = _checked(values_ND)
    return values_ND.amax(0) > values_ND.amin(0)


def _error(kept: Kept) -> Tensor:
    answer_ND, labels_ND = _checked(kept["answer"]), _checked(kept["labels"])
    if answer_ND.shape != labels_ND.shape:
        raise ValueError(f"numbers {tuple(answer_ND.shape)} do not fit labels {tuple(labels_ND.shape)}")
    return answer_ND - labels_ND


def _checked(values_ND: Tensor) -> Tensor:
    """(N, D) float64 on the CPU."""
    if values_ND.ndim != 2:
        raise ValueError(f"numbers must be (N, D), not {tuple(values_ND.shape)}")
    if 0 in values_ND.shape:
        raise BadInput("There is nothing to evaluate: the split holds no examples, or the model has no outputs.")
    values_ND = values_ND.detach().to("cpu", torch.float64)
    if not values_ND.isfinite().all():
        row = int((~values_ND.isfinite()).any(dim=1).nonzero()[0])
        raise BadInput(
            f"The model's outputs or the labels cannot be evaluated: row {row} has a number that is not finite."
        )
    return values_ND
