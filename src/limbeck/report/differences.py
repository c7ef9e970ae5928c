"""Texts to look at: test texts with what the teacher and the student say of them.

The counterpart of :mod:`limbeck.report.gallery`. Everything here is what the data says, untrusted: it is escaped where a
page is written from it, as :mod:`limbeck.report.html` does by itself. Shapes: N test texts, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..data.ids import Text

SHOWN = 6  # texts in a group
EXCERPT = 400  # characters of a text, or of both sides of a pair, that are shown


@dataclass(frozen=True)
class TextCard:
    """One test text or pair: its answers as probabilities, class by class, those that matter first."""

    sides: tuple[str, ...]  # the text, or both sides of the pair
    position: int
    truth: tuple[str, ...]  # one class; none or several where a text may have several
    teacher_says: tuple[str, ...]
    student_says: tuple[str, ...]
    difference: float
    answers: tuple[tuple[str, float, float], ...]  # class, teacher's probability, student's


def most_different(
    texts: Sequence[Text],
    classes: tuple[str, ...],
    labels: np.ndarray,
    teacher_logits_NC: np.ndarray,
    student_logits_NC: np.ndarray,
    *,
    by: Literal["kl", "tv"] = "kl",
    shown: int = SHOWN,
) -> tuple[TextCard, ...]:
    """Cards of the texts where teacher and student differ most, the largest difference first.

    ``labels`` are (N,) class numbers, or (N, C) of 0 and 1 where a text may have several: then every class is a yes or
    no of its own. ``by`` is KL(teacher || student) in nats, or the total variation distance in [0, 1] (of several
    yes-or-no answers: the mean over classes), which is less taken with sure answers. Of texts that say the same only the
    first is shown, of ties the first in storage order, and none where the two say just the same.
    """
    several = labels.ndim == 2
    teacher_NC, student_NC = (_probabilities(logits, several) for logits in (teacher_logits_NC, student_logits_NC))
    difference_N = _difference(teacher_NC, student_NC, several, by)
    cards: list[TextCard] = []
    seen: set[Text] = set()
    ranked: list[int] = np.argsort(-difference_N, kind="stable").tolist()
    for position in ranked:
        # NaN, from logits that are no numbers, compares false and is left out as well.
        if len(cards) == shown or not difference_N[position] > 0:
            break
        text = texts[position]
        if text in seen:
            continue
        seen.add(text)
        teacher_C, student_C = teacher_NC[position], student_NC[position]
        truth = np.flatnonzero(labels[position] > 0.5).tolist() if several else [int(labels[position])]
        told = [_told(probs_C, several) for probs_C in (teacher_C, student_C)]
        best = np.argsort(-teacher_C, kind="stable")[:3].tolist()
        named = sorted({*best, *truth, *told[0], *told[1]}, key=lambda index: -teacher_C[index])
        cards.append(
            TextCard(
                sides=excerpts(text),
                position=position,
                truth=tuple(classes[index] for index in truth),
                teacher_says=tuple(classes[index] for index in told[0]),
                student_says=tuple(classes[index] for index in told[1]),
                difference=float(difference_N[position]),
                answers=tuple((classes[i], float(teacher_C[i]), float(student_C[i])) for i in named),
            )
        )
    return tuple(cards)


def excerpts(text: Text) -> tuple[str, ...]:
    """The text, or both sides of a pair, each with half of the room: see :func:`excerpt`."""
    return (excerpt(text),) if isinstance(text, str) else tuple(excerpt(side, EXCERPT // 2) for side in text)


def excerpt(text: str, most: int = EXCERPT) -> str:
    """The text with its white space made single, cut off after a whole word with an ellipsis where it is longer."""
    text = " ".join(text[: 8 * most].split())
    if len(text) <= most:
        return text
    return (text[:most].rsplit(" ", 1)[0] if " " in text[:most] else text[:most]) + " …"


def _probabilities(logits_NC: np.ndarray, several: bool) -> np.ndarray:
    logits_NC = np.clip(logits_NC.astype(np.float64), -700, 700)
    if several:
        return 1 / (1 + np.exp(-logits_NC))
    powers_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    return powers_NC / powers_NC.sum(axis=1, keepdims=True)


def _difference(teacher_NC: np.ndarray, student_NC: np.ndarray, several: bool, by: str) -> np.ndarray:
    gap_NC = np.abs(teacher_NC - student_NC)
    if by == "tv":
        return gap_NC.mean(axis=1) if several else gap_NC.sum(axis=1) / 2
    kl_N = _kl(teacher_NC, student_NC)
    if several:
        kl_N = kl_N + _kl(1 - teacher_NC, 1 - student_NC)
    return np.maximum(kl_N, 0)


def _kl(teacher_NC: np.ndarray, student_NC: np.ndarray) -> np.ndarray:
    tiny = np.finfo(np.float64).tiny
    logs_NC = np.log(np.maximum(teacher_NC, tiny)) - np.log(np.maximum(student_NC, tiny))
    return (teacher_NC * logs_NC).sum(axis=1)


def _told(probs_C: np.ndarray, several: bool) -> list[int]:
    return np.flatnonzero(probs_C > 0.5).tolist() if several else [int(probs_C.argmax())]
