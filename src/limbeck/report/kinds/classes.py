"""One class of several: can its confidence be believed, where does it go wrong, what did the teacher say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...evaluation.verdict import one_sided
from ..evidence import Evidence
from . import class_charts, gallery
from .class_figures import Accord, accord, confusion, log_softmax, reliability

FITTED = frozenset({"nll_scaled", "ece_scaled", "temperature"})
MATRIX_CLASSES = 20  # beyond that many, the most confused pairs are listed instead of the matrix
_ACCORD = (
    ("Both right", "both_right"),
    ("Only the teacher right", "only_teacher_right"),
    ("Only this network right", "only_model_right"),
    ("Both wrong, same answer", "same_mistake"),
    ("Both wrong, different answers", "different_mistakes"),
)


def about(names: Sequence[str]) -> str:
    """In the page's heading."""
    return f"{len(names)} classes"


def untold(results: dict[str, Any]) -> frozenset[str]:
    """What is fitted on validation, and the balanced accuracy where accuracy says as much."""
    return FITTED if one_sided(results) else FITTED | {"balanced_accuracy"}


def sections(evidence: Evidence) -> dict[str, Any]:
    """What ``classes.html.j2`` shows, worked out of the logits on the test split; nothing where the split is empty."""
    labels_N, classes = evidence.labels.astype(np.int64), evidence.names
    if not len(labels_N):
        return {}
    bins = {key: reliability(log_softmax(logits_NC), labels_N) for key, logits_NC in evidence.answers.items()}
    answers = {key: logits_NC.argmax(axis=1) for key, logits_NC in evidence.answers.items()}
    counts_CC = confusion(answers["student"], labels_N, len(classes))
    by_class = _by_class(classes, labels_N, answers["teacher"], answers["student"])
    few = len(classes) <= MATRIX_CLASSES
    return {
        "reliability": [
            (key, found.calibration_error(), class_charts.reliability(found, key)) for key, found in bins.items()
        ],
        "class_count": len(classes),
        "matrix": class_charts.confusion(counts_CC, classes) if few else None,
        "pairs": [] if few else _pairs(counts_CC, classes),
        "accord": _accord(*(accord(answers["teacher"], answers[model], labels_N) for model in ("student", "baseline"))),
        "per_class": class_charts.per_class(by_class[:MATRIX_CLASSES]) if by_class else None,
        "per_class_shown": len(by_class[:MATRIX_CLASSES]),
        "temperatures": gallery.temperatures(evidence),
        "gallery": gallery.groups(evidence),
    }


def _accord(*of: Accord) -> list[tuple[str, list[tuple[int, float]]]]:
    """Rows of a table: a count of test examples and their share, for the student and the baseline."""
    return [(label, [(getattr(one, field), getattr(one, field) / sum(one)) for one in of]) for label, field in _ACCORD]


def _by_class(
    classes: tuple[str, ...], labels_N: np.ndarray, teacher_N: np.ndarray, student_N: np.ndarray
) -> list[tuple[str, float, float]]:
    """(name, teacher's accuracy, student's) of classes that have examples, the greatest loss first."""
    support = np.bincount(labels_N, minlength=len(classes))
    right = [np.bincount(labels_N[a == labels_N], minlength=len(classes)) for a in (teacher_N, student_N)]
    rows = [
        (name, float(right[0][index] / support[index]), float(right[1][index] / support[index]))
        for index, name in enumerate(classes)
        if support[index]
    ]
    return sorted(rows, key=lambda row: row[2] - row[1])


def _pairs(counts_CC: np.ndarray, classes: tuple[str, ...]) -> list[tuple[str, str, int, float]]:
    """The most frequent mistakes: true class, answer, how many, and what share of the true class."""
    mistakes = counts_CC - np.diag(np.diag(counts_CC))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:MATRIX_CLASSES]
    rows, columns = np.unravel_index(order, mistakes.shape)
    return [
        (
            classes[row],
            classes[column],
            int(mistakes[row, column]),
            float(mistakes[row, column] / counts_CC[row].sum()),
        )
        for row, column in zip(rows.tolist(), columns.tolist())
        if mistakes[row, column]
    ]
