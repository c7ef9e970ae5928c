"""Soft targets to look at: test examples with what the teacher and the student say of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..differences import SHOWN
from ..evidence import Evidence
from ..shown import Shown
from .class_figures import divergence, entropy, log_softmax


@dataclass(frozen=True)
class Answer:
    """One class on a card, with a probability for every temperature shown."""

    name: str
    true: bool
    teacher: tuple[float, ...]
    student: tuple[float, ...]


@dataclass(frozen=True)
class Card:
    """One test example."""

    example: Shown | None
    position: int
    truth: str
    teacher_says: str
    student_says: str
    divergence: float
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Group:
    title: str
    explanation: str
    cards: tuple[Card, ...]


def temperatures(evidence: Evidence) -> tuple[float, ...]:
    """1, and the temperature of training where there is another."""
    training = evidence.temperature
    return (1.0,) if training is None or training == 1 else (1.0, float(training))


def groups(evidence: Evidence) -> list[Group]:
    """Four groups of cards; an example stands in one at most, and a class twice in a group unless there are few."""
    outline, labels_N = evidence.outline, evidence.labels
    each = max(2, -(-SHOWN // len(evidence.names)))
    teacher_NC, student_NC = (log_softmax(evidence.answers[role]) for role in ("teacher", "student"))
    divergence_N = divergence(teacher_NC, student_NC)
    right_N = teacher_NC.argmax(axis=1) == labels_N
    lost_N = right_N & (student_NC.argmax(axis=1) != labels_N)
    lost = np.where(lost_N, divergence_N, -np.inf)
    wanted = (
        (
            "Where the teacher is in two minds",
            f"Right, yet least certain: the soft target says what else the {outline.example} is like; a label cannot.",
            np.where(right_N, entropy(teacher_NC), -np.inf),
        ),
        (
            "What the student lost",
            f"The teacher has them right, the student does not ({int(lost_N.sum()):,} of {int(right_N.sum()):,}): where they lie "
            "furthest apart.",
            lost,
        ),
        (
            "Where student and teacher differ most in their probabilities",
            f"The largest divergence KL(teacher‖student) among the {outline.examples} that both have right.",
            np.where(right_N & ~lost_N, divergence_N, -np.inf),
        ),
        (
            "Where the teacher is wrong",
            "Its most certain mistakes first: does the student inherit them?",
            np.where(right_N, -np.inf, teacher_NC.max(axis=1)),
        ),
    )
    made, used = [], set[int]()
    for title, explanation, score_N in wanted:
        chosen = _highest(score_N, labels_N, used, each)
        if score_N is lost:
            explanation += _left_out(lost_N, labels_N, used, chosen, each)
        cards = tuple(_card(evidence, position, float(divergence_N[position])) for position in chosen)
        used.update(chosen)
        made.append(Group(title, explanation, cards))
    return made


def _highest(score_N: np.ndarray, labels_N: np.ndarray, used: Iterable[int], each: int) -> list[int]:
    chosen: list[int] = []
    per_class: dict[int, int] = {}
    taken = set(used)
    for position in np.argsort(-score_N, kind="stable").tolist():
        # NaN, from logits that are no numbers, compares false and is left out as well.
        if len(chosen) == SHOWN or not score_N[position] > -np.inf:
            break
        label = int(labels_N[position])
        if position in taken or per_class.get(label, 0) == each:
            continue
        chosen.append(position)
        per_class[label] = per_class.get(label, 0) + 1
    return chosen


def _left_out(lost_N: np.ndarray, labels_N: np.ndarray, used: set[int], chosen: list[int], each: int) -> str:
    """Where those are that have no card here."""
    above = sum(bool(lost_N[position]) for position in used)
    rest = int(lost_N.sum()) - above - len(chosen)
    parts = [f"{above} above"] if above else []
    if rest:
        full = {int(labels_N[position]) for position in chosen}
        most = f"at most {each} of a class" if len(chosen) < SHOWN and full else f"at most {SHOWN} are shown"
        parts.append(f"{rest} not shown ({most})")
    return f" {len(chosen)} here, {', '.join(parts)}." if parts else ""


def _card(evidence: Evidence, position: int, divergence: float) -> Card:
    here = slice(position, position + 1)
    teacher = [np.exp(log_softmax(evidence.answers["teacher"][here], t)[0]) for t in temperatures(evidence)]
    student = [np.exp(log_softmax(evidence.answers["student"][here], t)[0]) for t in temperatures(evidence)]
    label = int(evidence.labels[position])
    best = np.argsort(-teacher[0], kind="stable")[:3].tolist()
    also = [int(student[0].argmax()), label]
    shown = list(dict.fromkeys(best + also))
    shown.sort(key=lambda index: -teacher[0][index])
    return Card(
        example=evidence.show(position) if evidence.show is not None else None,
        position=position,
        truth=evidence.names[label],
        teacher_says=evidence.names[best[0]],
        student_says=evidence.names[also[0]],
        divergence=divergence,
        answers=tuple(
            Answer(
                name=evidence.names[index],
                true=index == label,
                teacher=tuple(float(probs[index]) for probs in teacher),
                student=tuple(float(probs[index]) for probs in student),
            )
            for index in shown
        ),
    )
