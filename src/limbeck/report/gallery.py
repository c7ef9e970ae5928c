"""Soft targets to look at: test examples with what the teacher and the student say of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .differences import excerpts
from .evidence import Evidence, divergence, entropy, log_softmax

SHOWN = 6  # examples in a group
SIDE = 96  # pixels: the largest picture that is put into the page
HEAVY = 6_000  # bytes of PNG above which a picture is reduced to a palette


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

    picture: str | None  # data URI of a PNG
    coarse: bool  # so few pixels that they are shown as squares
    sides: tuple[str, ...]  # a text, or both sides of a pair; none of an image
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
    what, each = evidence.what, max(2, -(-SHOWN // len(evidence.classes)))
    teacher_NC = log_softmax(evidence.teacher_logits_NC)
    student_NC = log_softmax(evidence.student_logits_NC)
    divergence_N = divergence(teacher_NC, student_NC)
    right_N = teacher_NC.argmax(axis=1) == evidence.labels_N
    lost_N = right_N & (student_NC.argmax(axis=1) != evidence.labels_N)
    lost = np.where(lost_N, divergence_N, -np.inf)
    wanted = (
        (
            "Where the teacher is in two minds",
            f"Right, yet least certain: the soft target says what else the {what} is like; a label cannot.",
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
            f"The largest divergence KL(teacher‖student) among the {what}s that both have right.",
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
        chosen = _highest(score_N, evidence.labels_N, used, each)
        if score_N is lost:
            explanation += _left_out(lost_N, evidence.labels_N, used, chosen, each)
        cards = tuple(_card(evidence, position, float(divergence_N[position])) for position in chosen)
        used.update(chosen)
        made.append(Group(title, explanation, cards))
    return made


def data_uri(pixels_HWC: np.ndarray) -> tuple[str, bool]:
    """A PNG as a data URI, and whether it is coarse enough to show its pixels as squares."""
    pixels_HWC = np.asarray(pixels_HWC, dtype=np.uint8)
    if pixels_HWC.ndim == 3 and pixels_HWC.shape[2] not in (3, 4):
        pixels_HWC = pixels_HWC[:, :, 0]
    picture = Image.fromarray(pixels_HWC)
    coarse = max(picture.size) <= SIDE
    if not coarse:
        picture.thumbnail((SIDE, SIDE))
    content = _png(picture)
    if len(content) > HEAVY and picture.mode == "RGB":
        content = _png(picture.quantize(64))
    return "data:image/png;base64," + base64.b64encode(content).decode(), coarse


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
    teacher = [np.exp(log_softmax(evidence.teacher_logits_NC[here], t)[0]) for t in temperatures(evidence)]
    student = [np.exp(log_softmax(evidence.student_logits_NC[here], t)[0]) for t in temperatures(evidence)]
    label = int(evidence.labels_N[position])
    best = np.argsort(-teacher[0], kind="stable")[:3].tolist()
    also = [int(student[0].argmax()), label]
    shown = list(dict.fromkeys(best + also))
    shown.sort(key=lambda index: -teacher[0][index])
    picture, coarse = data_uri(evidence.image(position)) if evidence.image is not None else (None, False)
    return Card(
        picture=picture,
        coarse=coarse,
        sides=() if evidence.texts is None else excerpts(evidence.texts[position]),
        position=position,
        truth=evidence.classes[label],
        teacher_says=evidence.classes[best[0]],
        student_says=evidence.classes[also[0]],
        divergence=divergence,
        answers=tuple(
            Answer(
                name=evidence.classes[index],
                true=index == label,
                teacher=tuple(float(probs[index]) for probs in teacher),
                student=tuple(float(probs[index]) for probs in student),
            )
            for index in shown
        ),
    )


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()
