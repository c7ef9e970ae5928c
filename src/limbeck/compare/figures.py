"""The figures of a comparison: many rows, each a student with what it learnt from, on one test split.

Built from stored answers alone. Shapes: R rows, S seeds, N test examples, K comparisons, M sums of an example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from ..evaluation.figure import Figure
from ..evaluation.intervals import mean_sd, paired_bootstraps, sums_bootstrap, within_possible
from ..evaluation.keep import Kept
from ..evaluation.results import RunEvidence, beside, run_metrics


@dataclass(frozen=True)
class RowEvidence:
    """One row over its seeds. ``facts`` are fields for a person (``title``, ``settings``, ...), kept as they are."""

    student: str
    name: str
    runs: Sequence[RunEvidence]
    facts: Mapping[str, Any]


def compared(by: ModuleType) -> tuple[Figure, ...]:
    """The figures that rows are compared in: what models are chosen by, and their loss."""
    return by.FIGURES[:2]


def rows_section(
    by: ModuleType, rows: Sequence[RowEvidence], teacher: Kept, against: str | None
) -> list[dict[str, Any]]:
    """The rows of ``compare.json``, of answers of the kind ``by``: figures over seeds, runs, and differences from other rows of the same student.

    Differences are from the row ``baseline``, from the row ``against`` and from the best: that with the best mean of
    the measure. Each is paired by seed and test example and has a 95 % bootstrap interval; none is corrected for
    there being many. ``level_with_best`` says whether the interval from the best holds 0.

    Raises ``ValueError`` where rows of a student differ in their seeds.
    """
    sections = [_section(by, row, teacher) for row in rows]
    for student in dict.fromkeys(row.student for row in rows):
        here = [i for i, row in enumerate(rows) if row.student == student]
        if len({tuple(run.seed for run in rows[i].runs) for i in here}) > 1:
            raise ValueError(f"the rows of {student} need the same seeds in the same order")
        for figure in compared(by):
            _compare(by, [rows[i] for i in here], [sections[i] for i in here], figure, against)
    return sections


def _section(by: ModuleType, row: RowEvidence, teacher: Kept) -> dict[str, Any]:
    runs = []
    for run in row.runs:
        runs.append(
            {
                "seed": run.seed,
                "metrics": run_metrics(by, run) | by.fidelity(beside(by, run.test, teacher)),
                "validation": by.figures(run.validation),
                "seconds": run.seconds,
            }
        )
    figures: dict[str, Any] = {}
    for figure in runs[0]["metrics"]:
        values = [value for run in runs if (value := run["metrics"][figure]) is not None]
        figures[figure] = mean_sd(values) if values else None
    return {
        "student": row.student,
        "name": row.name,
        **row.facts,
        "metrics": figures,
        "seconds": mean_sd([run["seconds"] for run in runs]),
        "comparison": {"baseline": {}, "against": {}, "best": {}},
        "level_with_best": {},
        "runs": runs,
    }


def _compare(
    by: ModuleType,
    rows: Sequence[RowEvidence],
    sections: Sequence[dict[str, Any]],
    figure: Figure,
    against: str | None,
) -> None:
    """Adds the differences in one figure to the rows' sections."""
    measure, of = figure.name, by.SUMS.get(figure.name)
    # (R, S, N), or (R, S, N, M) of a figure that is made of sums
    scores_R = np.stack([np.stack([by.scores(run.test, measure).numpy() for run in row.runs]) for row in rows])
    examples = scores_R.shape[2]
    reached_RS = scores_R.mean(axis=2) if of is None else of(scores_R.sum(axis=2), examples)
    names = [row.name for row in rows]
    others = {"best": int(np.argmax(figure.sign * reached_RS.mean(axis=1)))}
    others |= {role: names.index(name) for role, name in _named(against).items() if name in names}
    pairs = [(index, role) for index in range(len(rows)) for role in others]
    if of is None:
        intervals = paired_bootstraps(np.stack([scores_R[index] - scores_R[others[role]] for index, role in pairs]))
    else:
        intervals = [sums_bootstrap(scores_R[index], scores_R[others[role]], of) for index, role in pairs]
    for (index, role), drawn in zip(pairs, intervals, strict=True):
        found = within_possible(drawn, *figure.possible(float(reached_RS[others[role]].mean())))
        sections[index]["comparison"][role][measure] = found | {"other": names[others[role]]}
        if role == "best":
            sections[index]["level_with_best"][measure] = found["low"] <= 0 <= found["high"]


def _named(against: str | None) -> dict[str, str]:
    return {"baseline": "baseline"} | ({} if against is None else {"against": against})
