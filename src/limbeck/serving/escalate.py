"""Who answers what the student is unsure of, and below which threshold: a finished run knows both. No torch"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from ..deploy.metadata import task_of
from ..errors import BadInput, shown
from ..modalities import DEFAULT_TASK, TASKS, outline_of

PLACES = 101
"""Shares that may go up, of which a run knows what comes of it: none, each whole percent, all."""


class Escalation(NamedTuple):
    """A teacher, and what it is asked about."""

    teacher: Path
    threshold: float
    share: float  # of validation examples that are below it
    accuracy: float  # on validation then


def escalation_of(run: Path, student: Path, asked: str) -> Escalation:
    """The teacher of a run and a threshold on how sure its exported ``student`` is, chosen on validation.

    ``asked`` is ``share=S``, the largest threshold below which at most S of the examples are, to whole percents; or
    ``accuracy=A``, the smallest share with which student and teacher together reach A. Raises :class:`BadInput`.
    """
    what, wanted = _read(asked)
    task = task_of(student)
    teacher = run / outline_of(task if task in TASKS else DEFAULT_TASK).teacher_file
    section = _section(run)
    if not teacher.is_file():
        raise BadInput(
            f"--escalate: {teacher} is not there: the teacher of this run was not exported, so it cannot be asked."
        )
    of = _curve(section, run)
    if what == "share":
        place = math.floor(100 * wanted + 1e-9)
    else:
        place = next((n for n, reached in enumerate(of["accuracy"]) if reached >= wanted), -1)
        if place < 0:
            best = max(of["accuracy"])
            raise BadInput(f"--escalate {asked}: student and teacher reach {best:.4f} on validation at most.")
    return Escalation(teacher, of["threshold"][place], of["share"][place], of["accuracy"][place])


def _read(asked: str) -> tuple[str, float]:
    what, _, number = asked.partition("=")
    try:
        wanted = float(number)
    except ValueError:
        wanted = math.nan
    if what not in ("share", "accuracy") or not 0 <= wanted <= 1:
        raise BadInput(f"--escalate {shown(asked)}: give share=0.1 or accuracy=0.95, from 0 to 1.")
    return what, wanted


def _curve(section: Any, run: Path) -> dict[str, list[float]]:
    """Of validation the threshold, the share below it and the accuracy then, of every whole percent that may go up."""
    try:
        found = {
            name: [float(one) for one in section["validation"][name]] for name in ("threshold", "share", "accuracy")
        }
    except (TypeError, ValueError, LookupError):
        found = {}
    if {len(one) for one in found.values()} != {PLACES}:
        raise BadInput(f"--escalate: {run / 'results.json'} is damaged: run the same recipe again.")
    return found


def _section(run: Path) -> Any:
    try:
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        section = results["escalation"]
    except OSError:
        raise BadInput(
            f"--escalate: {run / 'results.json'} cannot be read: give the folder of a finished run."
        ) from None
    except (ValueError, TypeError, RecursionError):
        raise BadInput(f"--escalate: {run / 'results.json'} is damaged: run the same recipe again.") from None
    except KeyError:
        raise BadInput(
            "--escalate: the run was made by an older version: repeat its limbeck run; nothing is trained for it."
        ) from None
    if section is None:
        raise BadInput("--escalate: answers of this kind do not tell how sure the student is, so none can be sent on.")
    return section
