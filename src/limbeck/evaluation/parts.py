"""Figures of parts of the test split: of each group, such as a speaker, and of each word that is said; and intervals over whole groups.

Every part has the figure of teacher, student and baseline, and the student's differences with intervals, paired by seed and example
as in :mod:`.intervals`. Clips of one speaker are alike, so that where there are several groups the difference over all of them has
a second interval, for which whole groups are drawn in place of examples. Shapes: S seeds, N test examples, G groups, W words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from .intervals import sums_bootstrap, within_possible
from .keep import Kept
from .losses import MOST_GROUPS, Groups
from .positions import per_position

MOST_WORDS = 50  # the commonest; of rarer ones nothing can be told
LEAST_SAID = 3  # times in the test split
DRAWS = 2_000

Sides = Mapping[str, Sequence[Kept]]  # of teacher, student and baseline what is kept of each seed; the teacher's one


def section(by: ModuleType, sides: Sides, groups: Groups | None, names: Sequence[str]) -> dict[str, Any]:
    """``groups`` and ``words``; None where the data names no groups, and of answers in which no words are told.

    ``names`` are those of the answers (:class:`limbeck.interfaces.Answers`).
    """
    return {"groups": None if groups is None else _by_group(by, sides, groups), "words": _by_word(by, sides, names)}


def _by_group(by: ModuleType, sides: Sides, groups: Groups) -> dict[str, Any]:
    """A row a group (none beyond :data:`MOST_GROUPS`), and ``over``: the differences with intervals over whole groups."""
    figure = by.FIGURES[0]
    of, scores = _measure(by, sides, figure.name)
    of_N, names = np.asarray(groups.of_N, dtype=object), sorted(set(groups.of_N))
    inside = {name: of_N == name for name in names}
    rows = [] if len(names) > MOST_GROUPS else [_row("group", name, scores, inside[name], of, figure) for name in names]
    summed = {
        role: np.stack([one_SNM[:, here_N].sum(axis=1) for here_N in inside.values()], axis=1)
        for role, one_SNM in scores.items()
    }
    over = {
        other: {"groups": len(names), **_difference(summed, other, of, figure), "examples": len(of_N)}
        for other in ("baseline", "teacher")
        if len(names) > 1
    }
    for found in over.values():
        found["method"] = found["method"].replace("test examples", "groups of test examples")
    return {"column": groups.column, "figure": figure.name, "count": len(names), "rows": rows, "over": over or None}


def _by_word(by: ModuleType, sides: Sides, names: Sequence[str]) -> dict[str, Any] | None:
    """A row a word, the commonest first: how often it was not heard where it was said."""
    if not hasattr(by, "said"):
        return None
    heard = {role: [by.said(kept, names) for kept in kepts] for role, kepts in sides.items()}
    if any(one is None for ones in heard.values() for one in ones):  # kept by an earlier version
        return None
    counts = Counter(word for of in heard["teacher"][0] for word, _ in of)
    chosen = [word for word, count in counts.most_common(MOST_WORDS) if count >= LEAST_SAID]
    rows = []
    for word in chosen:
        scores = {role: np.stack([_missed(one, word) for one in ones]) for role, ones in heard.items()}
        here_N = scores["teacher"][0, :, 1] > 0
        row = _row("word", word, _as_many(scores), here_N, per_position, by.FIGURES[0])
        rows.append({"word": word, "said": counts[word], **row})
    return {"figure": "missed", "count": len(counts), "rows": rows}


def _missed(heard: Sequence[Sequence[tuple[str, bool]]], word: str) -> np.ndarray:
    """(N, 2): how often each example has the word and it was not heard, and how often it has it."""
    rows = [[right for said, right in of if said == word] for of in heard]
    return np.array([[len(row) - sum(row), len(row)] for row in rows], dtype=np.float64)


def _measure(by: ModuleType, sides: Sides, figure: str) -> tuple[Any, dict[str, np.ndarray]]:
    """How the figure is made of sums, and of each side what is summed, (S, N, M); as many seeds of all."""
    of = by.SUMS.get(figure)
    found = {
        role: np.stack([by.scores(kept, figure).double().numpy() for kept in kepts]) for role, kepts in sides.items()
    }
    if of is None:
        return per_position, _as_many(
            {role: np.stack([one, np.ones_like(one)], axis=-1) for role, one in found.items()}
        )
    # how many examples there are is one sum more: groups have as many as they have
    counted = {role: np.concatenate([one, np.ones_like(one[..., :1])], axis=-1) for role, one in found.items()}
    return lambda sums, _: of(sums[..., :-1], sums[..., -1]), _as_many(counted)


def _as_many(scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The teacher is one model, the same for all seeds."""
    seeds = len(scores["student"])
    return {role: np.repeat(one, seeds, axis=0) if len(one) < seeds else one for role, one in scores.items()}


def _row(
    key: str, name: str, scores: Mapping[str, np.ndarray], here_N: np.ndarray, of: Any, figure: Any
) -> dict[str, Any]:
    inside = {role: one_SNM[:, here_N] for role, one_SNM in scores.items()}
    count = int(here_N.sum())
    reached = {role: float(of(one.sum(axis=1), count).mean()) for role, one in inside.items()}
    apart = {f"minus_{other}": _difference(inside, other, of, figure) for other in ("baseline", "teacher")}
    short = {name: {end: found[end] for end in ("difference", "low", "high")} for name, found in apart.items()}
    return {key: name, "examples": count, **reached, **short}


def _difference(scores: Mapping[str, np.ndarray], other: str, of: Any, figure: Any) -> dict[str, Any]:
    found = sums_bootstrap(scores["student"], scores[other], of, draws=DRAWS)
    reached = float(of(scores[other].sum(axis=1), scores[other].shape[1]).mean())
    return within_possible(found, *figure.possible(reached))
