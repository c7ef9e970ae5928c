"""The figures of a comparison: many rows, each a student with what it learnt from, on one test split.

Built from stored logits alone. Shapes: R rows, S seeds, N test examples, K comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evaluation.compare import mean_sd, paired_bootstraps
from ..evaluation.fidelity import fidelity
from ..evaluation.metrics import classification, correct, negative_log_likelihood
from ..evaluation.results import Predictions, RunEvidence, run_metrics

# Measures that have a value for each test example, so that rows can be paired: the function, and which way is better.
PAIRED = {"accuracy": (correct, 1), "nll": (negative_log_likelihood, -1)}


@dataclass(frozen=True)
class RowEvidence:
    """One row over its seeds. ``facts`` are fields for a person (``title``, ``settings``, ...), kept as they are."""

    student: str
    name: str
    runs: Sequence[RunEvidence]
    facts: Mapping[str, Any]


def rows_section(rows: Sequence[RowEvidence], teacher: Predictions, against: str | None) -> list[dict[str, Any]]:
    """The rows of ``compare.json``: figures over seeds, runs, and differences from other rows of the same student.

    Differences are from the row ``baseline``, from the row ``against`` and from the best: that with the best mean of
    the measure. Each is paired by seed and test example and has a 95 % bootstrap interval; none is corrected for
    there being many. ``level_with_best`` says whether the interval from the best holds 0.

    Raises ``ValueError`` where rows of a student differ in their seeds.
    """
    sections = [_section(row, teacher) for row in rows]
    for student in dict.fromkeys(row.student for row in rows):
        here = [i for i, row in enumerate(rows) if row.student == student]
        if len({tuple(run.seed for run in rows[i].runs) for i in here}) > 1:
            raise ValueError(f"the rows of {student} need the same seeds in the same order")
        for measure in PAIRED:
            _compare([rows[i] for i in here], [sections[i] for i in here], measure, against)
    return sections


def _section(row: RowEvidence, teacher: Predictions) -> dict[str, Any]:
    runs = []
    for run in row.runs:
        close = fidelity(run.test.logits_NC, teacher.logits_NC, run.test.labels_N)
        runs.append(
            {
                "seed": run.seed,
                "metrics": run_metrics(run) | close,
                "validation": classification(run.validation.logits_NC, run.validation.labels_N),
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
    rows: Sequence[RowEvidence], sections: Sequence[dict[str, Any]], measure: str, against: str | None
) -> None:
    """Adds the differences in one measure to the rows' sections."""
    score, better = PAIRED[measure]
    scores_RSN = np.stack(
        [np.stack([score(run.test.logits_NC, run.test.labels_N).numpy() for run in row.runs]) for row in rows]
    )
    names = [row.name for row in rows]
    others = {"best": int(np.argmax(better * scores_RSN.mean(axis=(1, 2))))}
    others |= {role: names.index(name) for role, name in _named(against).items() if name in names}
    pairs = [(index, role) for index in range(len(rows)) for role in others]
    difference_KSN = np.stack([scores_RSN[index] - scores_RSN[others[role]] for index, role in pairs])
    for (index, role), found in zip(pairs, paired_bootstraps(difference_KSN), strict=True):
        sections[index]["comparison"][role][measure] = found | {"other": names[others[role]]}
        if role == "best":
            sections[index]["level_with_best"][measure] = found["low"] <= 0 <= found["high"]


def _named(against: str | None) -> dict[str, str]:
    return {"baseline": "baseline"} | ({} if against is None else {"against": against})
