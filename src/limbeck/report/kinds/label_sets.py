"""Where an example may have several labels: each class is a yes or no of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..differences import most_different
from ..evidence import Evidence
from ..shown import Shown
from .classes import FITTED


@dataclass(frozen=True)
class Card:
    """One test example: its answers as probabilities of yes, class by class, those that matter first."""

    position: int
    example: Shown | None
    truth: tuple[str, ...]
    teacher_says: tuple[str, ...]
    student_says: tuple[str, ...]
    difference: float
    answers: tuple[tuple[str, float, float], ...]  # class, teacher's probability, student's


def about(names: Sequence[str]) -> str:
    """In the page's heading."""
    return f"{len(names)} classes"


def untold(results: dict[str, Any]) -> frozenset[str]:
    """What is fitted on validation."""
    return FITTED


def sections(evidence: Evidence) -> dict[str, Any]:
    """What ``label_sets.html.j2`` shows."""
    return {"differing": cards(evidence) if len(evidence.labels) else ()}


def cards(evidence: Evidence) -> tuple[Card, ...]:
    """Of the examples where teacher and student differ most, by KL(teacher || student) in nats, added up over classes."""
    teacher_NC, student_NC = (_probabilities(evidence.answers[role]) for role in ("teacher", "student"))
    kl_N = np.maximum(_kl(teacher_NC, student_NC) + _kl(1 - teacher_NC, 1 - student_NC), 0)
    found = most_different(kl_N, evidence.show)
    return tuple(
        _card(evidence, position, example, teacher_NC[position], student_NC[position], float(kl_N[position]))
        for position, example in found
    )


def _card(
    evidence: Evidence,
    position: int,
    example: Shown | None,
    teacher_C: np.ndarray,
    student_C: np.ndarray,
    difference: float,
) -> Card:
    names = evidence.names
    truth, told, also = (
        np.flatnonzero(yes_C > 0.5).tolist() for yes_C in (evidence.labels[position], teacher_C, student_C)
    )
    best = np.argsort(-teacher_C, kind="stable")[:3].tolist()
    named = sorted({*best, *truth, *told, *also}, key=lambda index: -teacher_C[index])
    return Card(
        position=position,
        example=example,
        truth=tuple(names[index] for index in truth),
        teacher_says=tuple(names[index] for index in told),
        student_says=tuple(names[index] for index in also),
        difference=difference,
        answers=tuple((names[i], float(teacher_C[i]), float(student_C[i])) for i in named),
    )


def _probabilities(logits_NC: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits_NC.astype(np.float64), -700, 700)))


def _kl(teacher_NC: np.ndarray, student_NC: np.ndarray) -> np.ndarray:
    tiny = np.finfo(np.float64).tiny
    logs_NC = np.log(np.maximum(teacher_NC, tiny)) - np.log(np.maximum(student_NC, tiny))
    return (teacher_NC * logs_NC).sum(axis=1)
