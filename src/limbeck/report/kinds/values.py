"""Numbers: how far off they are, and where; the examples on which student and teacher differ most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from ..differences import SHOWN, most_different
from ..evidence import Evidence
from ..formats import dig
from ..shown import Shown
from . import value_charts

NUMBERS = 4  # of an answer that are drawn
_ROOM = 0.25  # of the range of the truth, to either side: how far predictions are followed


@dataclass(frozen=True)
class Number:
    """One of the numbers of an answer: its pictures, and how far off each model is."""

    name: str
    unit: str
    predicted: tuple[tuple[str, int, Markup], ...]  # model, how many answers lie outside the picture, the picture
    over_range: Markup
    distribution: Markup
    errors: tuple[tuple[str, str, tuple[float | None, ...]], ...]  # (what, hint, a number for each model)


@dataclass(frozen=True)
class Spread:
    """What the deviation of an ensemble's members says of its error in one number."""

    name: str
    unit: str
    splits: tuple[tuple[str, Mapping[str, Any]], ...]  # the split, and its row of the results
    picture: Markup  # of the test split


@dataclass(frozen=True)
class Card:
    """One test example: the numbers, a row each: name, true, teacher's, student's and the baseline's."""

    position: int
    example: Shown | None
    numbers: tuple[tuple[str, tuple[str, ...]], ...]
    strip: Markup | None  # a picture of them, of a single number


@dataclass(frozen=True)
class Group:
    """Cards of one kind."""

    title: str
    explanation: str
    cards: tuple[Card, ...]


def about(names: Sequence[str]) -> str:
    """In the page's heading."""
    count = "one number" if len(names) == 1 else f"{len(names)} numbers"
    return f"{count}: {', '.join(names)}" if 0 < len(names) <= NUMBERS else count


def untold(results: dict[str, Any]) -> frozenset[str]:
    """The squared error, of which the root is told."""
    return frozenset({"mse"})


def sections(evidence: Evidence) -> dict[str, Any]:
    """What ``values.html.j2`` shows, of examples whose numbers are all finite; nothing where there are none."""
    answers = {key: answer.astype(np.float64) for key, answer in evidence.answers.items()}
    labels_ND = evidence.labels.astype(np.float64)
    known_N = np.logical_and.reduce([np.isfinite(one).all(axis=1) for one in (labels_ND, *answers.values())])
    if not known_N.any():
        return {}
    width = labels_ND.shape[1]
    names = evidence.names if len(evidence.names) == width else tuple(f"number {d + 1}" for d in range(width))
    units = dig(evidence.results, "data", "unit") or [""]
    return {
        "keys": list(answers),
        "tested": int(known_N.sum()),
        "left_out": int((~known_N).sum()),
        "width": width,
        "numbers": [
            _number(
                evidence,
                names[d],
                str(units[d % len(units)]),
                labels_ND[known_N, d],
                {k: a[known_N, d] for k, a in answers.items()},
                d,
            )
            for d in range(min(width, NUMBERS))
        ],
        "spread": _spread(evidence, names, units),
        "groups": _groups(evidence, names, labels_ND, answers, known_N),
    }


def _number(
    evidence: Evidence, name: str, unit: str, truth_N: np.ndarray, answers: Mapping[str, np.ndarray], d: int
) -> Number:
    what = f"{name}, {unit}" if unit else name
    within = _within(truth_N, *answers.values())
    errors = {key: answer_N - truth_N for key, answer_N in answers.items()}
    return Number(
        name=name,
        unit=unit,
        predicted=tuple(
            (
                key,
                int(((answer_N < within[0]) | (answer_N > within[1])).sum()),
                value_charts.predicted(truth_N, answer_N, key, within, what),
            )
            for key, answer_N in answers.items()
        ),
        over_range=value_charts.over_range(truth_N, errors, what, unit),
        distribution=value_charts.distribution(errors, name, unit),
        errors=(*_over_seeds(evidence, d, tuple(answers)), *_rows(errors)),
    )


def _spread(evidence: Evidence, names: Sequence[str], units: Sequence[Any]) -> list[Spread]:
    """Of the first few numbers; empty where the teacher is no ensemble."""
    found = dig(evidence.results, "teacher", "spread") or {}
    made = []
    for d, rows in enumerate(zip(*found.values(), strict=True)):
        unit = str(units[d % len(units)])
        picture = value_charts.by_deviation(found["test"][d]["parts"], names[d], unit)
        made.append(Spread(names[d], unit, tuple(zip(found, rows, strict=True)), picture))
    return made[:NUMBERS]


def _over_seeds(evidence: Evidence, d: int, keys: Sequence[str]) -> list[tuple[str, str, tuple[float | None, ...]]]:
    """What the results say of this number alone, where there are several."""
    rows = {key: dig(evidence.results, key, "per_number") or [] for key in keys}
    if any(len(of) <= max(d, 1) for of in rows.values()):
        return []
    named = (("RMSE", "rmse"), ("R²", "r2"), ("Correlation", "correlation"))
    return [(title, "mean over seeds", tuple(dig(rows[key][d], name) for key in keys)) for title, name in named]


def _rows(errors: Mapping[str, np.ndarray]) -> list[tuple[str, str, tuple[float | None, ...]]]:
    def row(title: str, hint: str, of: Any) -> tuple[str, str, tuple[float | None, ...]]:
        return title, hint, tuple(float(of(error_N)) for error_N in errors.values())

    return [
        row("Mean error", "0 where it is off to either side alike", np.mean),
        row("Half are off by less than", "", lambda error_N: np.median(np.abs(error_N))),
        row("Nine in ten are off by less than", "", lambda error_N: np.quantile(np.abs(error_N), 0.9)),
        row("The furthest off", "", lambda error_N: np.abs(error_N).max()),
    ]


def _within(truth_N: np.ndarray, *answers: np.ndarray) -> tuple[float, float]:
    """The range of a picture of true and predicted: no further beyond the truth than there is need, or room."""
    low, high = value_charts.span(truth_N)
    room = _ROOM * (high - low)
    least = min(float(answer_N.min()) for answer_N in answers)
    most = max(float(answer_N.max()) for answer_N in answers)
    return min(low, max(least, low - room)), max(high, min(most, high + room))


def _groups(
    evidence: Evidence,
    names: Sequence[str],
    labels_ND: np.ndarray,
    answers: Mapping[str, np.ndarray],
    known_N: np.ndarray,
) -> list[Group]:
    """Groups of cards; an example stands in one at most. Distances are in standard deviations of each number's labels."""
    sd_D = labels_ND[known_N].std(axis=0)
    scale_D = np.where(sd_D > 0, sd_D, 1.0)
    ranges = [_within(labels_ND[known_N, d], *(a[known_N, d] for a in answers.values())) for d in range(len(names))]

    def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt((((a - b) / scale_D) ** 2).mean(axis=1))

    examples = evidence.outline.examples
    wanted = (
        (
            "Where student and teacher differ most",
            "The student was asked to say what the teacher says; here it is furthest from it.",
            apart(answers["student"], answers["teacher"]),
        ),
        ("Where the student is furthest off", f"Of the other {examples}.", apart(answers["student"], labels_ND)),
        (
            "Where the teacher is furthest off",
            "Does the student follow it there?",
            apart(answers["teacher"], labels_ND),
        ),
    )
    made, free_N = [], known_N.copy()
    for title, explanation, score_N in wanted:
        found = most_different(np.where(free_N, score_N, -np.inf), evidence.show, shown=SHOWN)
        cards = tuple(_card(names, labels_ND, answers, ranges, *one) for one in found)
        free_N[[position for position, _ in found]] = False
        if cards:
            made.append(Group(title, explanation, cards))
    return made


def _card(
    names: Sequence[str],
    labels_ND: np.ndarray,
    answers: Mapping[str, np.ndarray],
    ranges: Sequence[tuple[float, float]],
    position: int,
    example: Shown | None,
) -> Card:
    told = [labels_ND[position], *(answer_ND[position] for answer_ND in answers.values())]
    said = {key: float(answer_ND[position, 0]) for key, answer_ND in answers.items()}
    return Card(
        position=position,
        example=example,
        numbers=tuple(
            (name, tuple(_said(float(one_D[d]), *ranges[d]) for one_D in told))
            for d, name in enumerate(names[:NUMBERS])
        ),
        strip=value_charts.strip(float(labels_ND[position, 0]), said, ranges[0], names[0]) if len(names) == 1 else None,
    )


def _said(value: float, low: float, high: float) -> str:
    """With as many decimals as the range has three digits for, so that numbers beside one another can be compared."""
    text = f"{value:.{max(0, 2 - math.floor(math.log10(high - low)))}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")
