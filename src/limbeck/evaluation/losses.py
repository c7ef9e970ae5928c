"""Who paid: the classes and groups that a student answers worse than another model, and the examples that it lost.

Every class (or group) is tested by itself, paired by test example and seed, two-sided, with :func:`limbeck.evaluation.intervals.difference_p`;
the p-values are then corrected for their number by Holm's method, so that at most 5 of 100 such tables name a class that
neither lost nor gained. A class of few examples is never named: chance alone could have done as much. Shapes: S seeds,
N test examples, C classes, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.groups import Groups as DataGroups
from .intervals import LEVEL, difference_p, holm, mean_sd, paired_bootstraps

MOST_GROUPS = 50  # beyond that many, a group has few examples and the correction leaves nothing to be found
_DRAWS = 1_000  # of an interval, of which there is one a row


@dataclass(frozen=True)
class Groups:
    """The group of each test example: a patient, a speaker, a hospital. ``of_N`` are their names."""

    column: str
    of_N: Sequence[str]

    @staticmethod
    def of(column: str, groups: DataGroups | None) -> Groups | None:
        """Those of examples that have some."""
        return None if groups is None else Groups(column, [groups.names[code] for code in groups.codes.tolist()])


def by_class(right_SNC: np.ndarray, other_SNC: np.ndarray, asked_NC: np.ndarray, classes: Sequence[str]) -> list[dict]:
    """One row a class: ``class`` and the fields of a row (see docs/results-schema.md).

    ``right_SNC`` and ``other_SNC`` say which answers are right (S, N, C), or (S, N, 1) where an example has one answer
    for all classes; ``asked_NC`` of which examples a class's figure is made.
    """
    wide = right_SNC.shape[2] > 1
    rows = [
        {"class": name}
        | _row((right_SNC[:, :, c if wide else 0] - other_SNC[:, :, c if wide else 0])[:, asked_NC[:, c]])
        for c, name in enumerate(classes)
    ]
    return _found(rows)


def by_group(right_SN: np.ndarray, other_SN: np.ndarray, groups: Groups) -> list[dict] | None:
    """One row a group: ``group`` and the fields of a row; None where there are more than 50 groups, or one."""
    names = sorted(set(groups.of_N))
    if not 1 < len(names) <= MOST_GROUPS:
        return None
    of_N = np.asarray(groups.of_N, dtype=object)
    return _found([{"group": name} | _row((right_SN - other_SN)[:, of_N == name]) for name in names])


def lost_examples(student_SN: np.ndarray, teacher_N: np.ndarray) -> dict[str, Any]:
    """What became of the teacher's right answers, and of its wrong ones: counts of test examples, over seeds.

    ``teacher_right`` and ``teacher_wrong`` are counts; ``lost`` (the teacher right, the student wrong), ``lost_share`` of
    the teacher's right ones (None where there are none) and ``gained`` (the other way round) are figures over seeds;
    ``lost_by_all`` counts those that the student of every seed lost.
    """
    had_N = teacher_N.astype(bool)
    lost_SN = had_N & ~student_SN.astype(bool)
    lost = [int(count) for count in lost_SN.sum(axis=1)]
    had = int(had_N.sum())
    return {
        "teacher_right": had,
        "teacher_wrong": len(had_N) - had,
        "lost": mean_sd(lost),
        "lost_share": mean_sd([count / had for count in lost]) if had else None,
        "lost_by_all": int(lost_SN.all(axis=0).sum()),
        "gained": mean_sd([int(count) for count in (~had_N & student_SN.astype(bool)).sum(axis=1)]),
    }


def _row(difference_SN: np.ndarray) -> dict[str, Any]:
    examples = difference_SN.shape[1]
    found = paired_bootstraps(difference_SN[None], draws=_DRAWS)[0] if examples else dict.fromkeys(("low", "high"))
    return {
        "examples": examples,
        "difference": float(difference_SN.mean()) if examples else None,
        "low": found["low"],
        "high": found["high"],
        "p": difference_p(difference_SN) if examples else None,
    }


def _found(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with ``p_holm`` and ``finding``: ``lost`` or ``gained`` where it is below 0.05, else None."""
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        found = p < 1 - LEVEL
        row |= {"p_holm": p, "finding": ("lost" if row["difference"] < 0 else "gained") if found else None}
    return [row if row["examples"] else row | {"p_holm": None, "finding": None} for row in rows]
