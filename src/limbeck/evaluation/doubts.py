"""Whether a teacher's answers to labelled examples can be those of a teacher of such data.

Shapes: N examples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .figure import Figure

SURE = 2.576  # standard errors of a two-sided 99 % interval
NAMED = 5  # pairs of classes that a sentence names


def no_better(figure: Figure, reached: float, commonest: float | None, asked: str, count: int) -> list[str]:
    """A sentence, without its full stop, on a teacher that is not shown to be better than always giving the same answer.

    ``figure`` is what models are chosen by, ``commonest`` what always giving the same answer would reach of it, and ``asked``
    of which ``count`` examples it is. Empty where the teacher is better, or nothing is known.
    """
    if commonest is None:
        return []
    if figure.share:
        right, share = (reached, commonest) if figure.sign > 0 else (1 - reached, 1 - commonest)
        right = max(right, 0.0)  # whoever hears what nobody said errs more often than there are symbols
        better, doubtful = right > share, at_chance(right, share, count)
        figures, always = f"({100 * reached:.1f} % vs {100 * commonest:.1f})", "naming the commonest answer"
    else:
        better, doubtful = reached < commonest, far_off(reached, commonest, count)
        figures = f"({figure.title} {figure.number(reached)} vs {figure.number(commonest)})"
        always = "answering the mean"
    if not doubtful:
        return []
    if better:
        return [
            f"the teacher is not shown to be better than always {always} {figures} on {count} "
            f"{asked.removesuffix(' examples')} examples, so what students learn from it may mean little"
        ]
    return [
        f"the teacher is no better on {asked} than always {always} {figures}, so what students learn "
        "from it means little"
    ]


def far_off(error: float, spread: float, count: int) -> bool:
    """Whether a teacher with such a root of the mean squared error is not shown to be nearer to the labels than their mean.

    As :func:`at_chance`, by the standard error of a root of a mean square, 1 / sqrt(2 N) of it where errors are normal.
    """
    part = 1 / math.sqrt(2 * count)
    return error >= spread * (1 - 2 * part) and error * (1 - SURE * part) > spread / 2


def at_chance(right: float, share: float, count: int) -> bool:
    """Whether a teacher that is right on the share ``right`` of ``count`` examples is not shown to be better than the commonest answer.

    Nothing is claimed that so few examples do not show: the accuracy must lie within two standard errors of ``share``, or
    below it, and one halfway from there to 1 must be beyond its 99 % interval.
    """
    error = math.sqrt(share * (1 - share) / count)
    return right <= share + 2 * error and wilson(right, count)[1] < (1 + share) / 2


def taken_for(logits_NC: Tensor, labels_N: Tensor) -> dict[int, tuple[int, int, int]]:
    """Classes that are nearly always answered as one other: class -> (answered as, how often, of how many).

    Of a class, more than half of the answers must be that other one, by the lower end of a 99 % interval, so that no class
    of fewer than seven examples is named.
    """
    answers_N, found = logits_NC.argmax(1), {}
    for label in labels_N.unique().tolist():
        counts_C = torch.bincount(answers_N[labels_N == label], minlength=logits_NC.shape[1])
        other, often, count = int(counts_C.argmax()), int(counts_C.max()), int(counts_C.sum())
        if other != label and wilson(often / count, count)[0] > 0.5:
            found[label] = (other, often, count)
    return found


def confused(found: dict[int, tuple[int, int, int]], classes: Sequence[str]) -> str | None:
    """:func:`taken_for` in a sentence; None where no class is, or all of them are taken for the same one."""
    others = [other for other, _, _ in found.values()]
    if not found or (len(found) > 1 and len(set(others)) == 1):
        return None
    shown = list(found.items())[:NAMED]
    pairs = ", ".join(f"'{classes[a]}' as '{classes[b]}' ({often} of {count})" for a, (b, often, count) in shown)
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    moved = len(found) > 1 and len(set(others)) == len(others)
    return f"the teacher answers {pairs}{more}" + (
        ": its classes seem to stand in another order than the data's, so bring one of the two into the other's order."
        if moved
        else ": look whether it knows that class, and whether its classes stand in the order of the data's."
    )


def wilson(share: float, count: int, errors: float = SURE) -> tuple[float, float]:
    """Wilson's interval for a share of ``count`` (E. B. Wilson, 1927)."""
    spread = errors**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = errors * math.sqrt((share * (1 - share) + spread / 4) / count) / (1 + spread)
    return middle - half, middle + half
