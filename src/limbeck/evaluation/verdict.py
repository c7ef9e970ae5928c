"""The results in plain sentences, which claim no more than the figures do; results.json as read goes in.

First what the student is worth beside its teacher; then what got better and worse by more than the noise, in every measure,
who paid for it, and what makes the figures doubtful. Console and report say the same sentences. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from .paid import paid
from .wording import counted, listed, quoted

_WHAT = {"image-classification": "image", "text-classification": "text"}
_POINTS = (100, 2, " points")
_UNKNOWN = 1.5  # of the 2 from -100 to +100 points: an interval as wide tells nothing
_MEASURES = (
    # name in results.json, in words, how its difference is shown (factor, digits, unit), which way is better
    ("accuracy", "accuracy", _POINTS, 1),
    ("balanced_accuracy", "balanced accuracy", _POINTS, 1),
    ("nll", "NLL", (1, 3, ""), -1),
    ("ece", "ECE", _POINTS, -1),
)


class Finding(NamedTuple):
    """A sentence. ``worse`` and ``better``: by more than the noise; ``doubt``: why the figures say less than they seem to."""

    kind: Literal["better", "worse", "level", "doubt"]
    about: str  # a word or two
    text: str


def verdict(results: Mapping[str, Any]) -> str:
    """All of it, the headline first."""
    return " ".join([headline(results), *(finding.text for finding in findings(results))])


def headline(results: Mapping[str, Any]) -> str:
    """What the student costs and keeps, beside its teacher."""
    traits = _traits(results["ratios"])
    if not results.get("learnt_from_teacher", True):
        given = "It learnt from soft targets that were given, which nothing says are the teacher's"
        learnt = given if results.get("targets") else "It learnt nothing from the teacher"
        figures = _percent(results["student"]["metrics"]["accuracy"])
        beside = _beside_commonest(results, "student")
        doubt = ""
        if beside is not None:
            doubt = f" It {_naught(results, beside)}." if not beside.ahead else f" It is {_unshown(results, beside)}."
        return f"The student {listed([*traits, f'has an accuracy of {figures} %'])}.{doubt} {learnt}."
    start = f"The student {listed(traits)}. " if traits else ""
    teacher_beside, student_beside = (_beside_commonest(results, role) for role in ("teacher", "student"))
    if teacher_beside is not None and not teacher_beside.ahead:
        return (
            f"{start}The teacher itself is no better than always naming the commonest class {teacher_beside.figures}, "
            "so what the student keeps of it means nothing; train it longer."
        )
    student, teacher = (_percent(results[role]["metrics"]["accuracy"]) for role in ("student", "teacher"))
    if student_beside is not None and not student_beside.ahead:
        who = "It" if traits else "The student"
        return f"{start}{who} {_naught(results, student_beside)}, so what it keeps of the teacher's {teacher} % means nothing."
    kept = results["ratios"]["accuracy_kept"]
    if kept is None:
        return f"The student {listed([*traits, f'has an accuracy of {student} %'])}; the teacher is never right."
    whose = "its" if traits else "the teacher's"
    beside = ""
    if one_sided(results) and (balanced := _balanced(results)) is not None:
        figures = (_percent(results[role]["metrics"][balanced]) for role in ("student", "teacher"))
        beside = f"; {_BALANCED[balanced]} {' vs '.join(figures)}"
    held = f"keeps {100 * kept:.1f} % of {whose} accuracy ({student} vs {teacher}{beside})"
    unshown = [
        (whom, beside)
        for whom, beside in (("The teacher", teacher_beside), ("The student", student_beside))
        if beside is not None
    ]
    doubts = "".join(f" {whom} is {_unshown(results, beside)}." for whom, beside in unshown)
    return f"The student {listed([*traits, held])}.{doubts}"


def findings(results: Mapping[str, Any]) -> list[Finding]:
    """Everything else that a reader must know before the tables, the most important first."""
    what = _what(results)
    comparison = results["comparison"]
    found = [
        _against(comparison.get("baseline"), "No teacher", "the same student trained without a teacher"),
        _doubt_of_teacher(comparison.get("teacher_minus_baseline"), results),
        _against(comparison.get("smoothed"), "Smoothed", "the same student trained on smoothed labels"),
        _against(comparison.get("teacher"), "Teacher", "the teacher"),
        *(
            Finding("worse" if lost else "level", about, text)
            for lost, about, text in paid(results.get("losses"), what)
        ),
        *_doubts_of_data(results, what),
    ]
    return [one for one in found if one is not None]


def one_sided(results: Mapping[str, Any]) -> bool:
    """Whether more than half of the test split has one answer, so that accuracy says little."""
    return (((results.get("data") or {}).get("commonest") or {}).get("share") or 0.0) > 0.5


_BALANCED = {"balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}


def _balanced(results: Mapping[str, Any]) -> str | None:
    """The figure that counts every class alike."""
    return next((name for name in _BALANCED if name in results["student"]["metrics"]), None)


def _traits(ratios: Mapping[str, Any]) -> list[str]:
    """What the student costs beside the teacher; the first to be said names the teacher."""
    traits = []
    size, of = (ratios["parameters"], "parameters") if ratios["parameters"] is not None else (ratios["bytes"], "bytes")
    if size is not None:
        traits.append(f"has {_part(size, of)}")
    if (speed := ratios["latency"]) is not None:
        factor = max(speed, 1 / speed)
        text = "no faster" if factor < 1.05 else f"{_factor(factor)}x {'faster' if speed > 1 else 'slower'}"
        traits.append(f"answers {text}{'' if traits else ' than the teacher'}")
    return traits


def _part(ratio: float, of: str) -> str:
    """A teacher's size over the student's, as what the student has of it."""
    if max(ratio, 1 / ratio) < 1.05:
        return f"as many {of} as the teacher"
    if ratio < 1:
        return f"{_factor(1 / ratio)}x the teacher's {of}"
    return f"{100 / ratio:.0f} % of the teacher's {of}" if ratio < 2 else f"1/{_factor(ratio)} of the teacher's {of}"


def _factor(factor: float) -> str:
    text = f"{factor:.{0 if factor >= 9.95 else 1}f}"
    return text.removesuffix(".0")


class _Beside(NamedTuple):
    """A model that is not shown to be better than always naming the commonest answer."""

    ahead: bool  # yet by less than the noise of test examples
    figures: str
    examples: int  # of the test split


def _beside_commonest(results: Mapping[str, Any], role: str) -> _Beside | None:
    """How a model stands beside always naming the commonest answer; None where it is above that by two standard errors.

    Or, counting every class alike, above chance: a model that tells the rare class from the common one is of use,
    however little that adds to its accuracy. Of several labels: where its macro F1 is above that of the commonest set.
    """
    data, figures = results.get("data") or {}, results[role]["metrics"]
    rows = results["teacher"].get("per_class") or ()
    supports = [row["support"] for row in rows]
    if "commonest" in data:
        share, count = data["commonest"]["share"], data.get("test") or sum(supports)
    elif supports and not data.get("multi_label"):
        share, count = max(supports) / sum(supports), sum(supports)
    else:
        return None
    accuracy, present = figures["accuracy"]["mean"], [support for support in supports if support]
    above = accuracy > share + 2 * (math.sqrt(share * (1 - share) / count) if count else 0.0)
    if "balanced_accuracy" in figures and present:
        chance = 1 / len(present)
        error = math.sqrt(chance * (1 - chance) * sum(1 / support for support in present)) / len(present)
        above = above or figures["balanced_accuracy"]["mean"] > chance + 2 * error
    elif "macro_f1" in figures and supports and count and "commonest" in data:
        # named always, a class of prevalence p has a precision of p and a recall of 1
        named = [row["support"] / count for row in rows if row["class"] in (data["commonest"]["labels"] or ())]
        above = above or figures["macro_f1"]["mean"] > sum(2 * p / (1 + p) for p in named) / len(rows)
    if above:
        return None
    return _Beside(accuracy > share + 1e-9, f"({_percent(figures['accuracy'])} % vs {100 * share:.1f})", count)


def _naught(results: Mapping[str, Any], beside: _Beside) -> str:
    """What is said of a student that is no better than the commonest answer, and which one it gives where it gives no other."""
    rows = [row for row in results["student"].get("per_class") or () if row["support"] and "accuracy" in row]
    given = [row["class"] for row in rows if row["accuracy"] == 1.0]
    always = ""
    if len(rows) > 1 and len(given) == 1 and not any(row["accuracy"] for row in rows if row["class"] != given[0]):
        always = f"answers {quoted(given[0])} for everything and "
    return f"{always}is no better than always naming the commonest class {beside.figures}"


def _unshown(results: Mapping[str, Any], beside: _Beside) -> str:
    several = "s" if beside.examples != 1 else ""
    return (
        f"not shown to be better than always naming the commonest class {beside.figures} on "
        f"{beside.examples:,} test {_what(results)}{several}"
    )


def _what(results: Mapping[str, Any]) -> str:
    return _WHAT.get(results.get("task", ""), "example")


def _against(section: Mapping[str, Any] | None, about: str, whom: str) -> Finding | None:
    """In which measures the student is better, worse, or neither."""
    if not section:
        return None
    told: dict[str, list[str]] = {"better": [], "worse": [], "level": [], "unknown": []}
    for name, words, show, better in _MEASURES:
        if found := section.get(name):
            way = _way(found, better)
            if way == "level" and show is _POINTS and found["high"] - found["low"] >= _UNKNOWN:
                way = "unknown"
            told[way].append(f"{words} {_shown(found, show)}")
    seeds = section["accuracy"]["seeds"]
    level = f"{100 * section['accuracy']['level']:g} %"
    over = f"{level} intervals over {seeds} seeds{', wide because two say little of others' if seeds == 2 else ''}"
    noise = "the noise"
    if seeds == 1:
        over = f"one seed; {level} intervals over test examples alone, the noise between seeds is unknown"
        noise = "the noise of test examples"
    parts = [f"{way} by more than {noise} in {listed(told[way])}" for way in ("better", "worse") if told[way]]
    if told["level"]:
        parts.append(f"no difference that stands out from {noise} in {listed(told['level'])}")
    if told["unknown"]:
        few = {1: "so few test examples", 2: "two seeds"}.get(seeds, f"{seeds} seeds")
        parts.append(f"{few} cannot tell of {listed(told['unknown'])}, nearly all that is possible")
    kind = "worse" if told["worse"] else "better" if told["better"] else "level"
    return Finding(kind, about, f"Against {whom} ({over}): {'; '.join(parts)}.")


def _doubt_of_teacher(section: Mapping[str, Any] | None, results: Mapping[str, Any]) -> Finding | None:
    """Said where the teacher is no better than the student that nobody taught."""
    if not section:
        return None
    accuracy, nll = section["accuracy"], section["nll"]
    noise = "the noise" if accuracy["seeds"] > 1 else "the noise of test examples"
    if _way(accuracy, 1) == "worse":
        return Finding(
            "doubt",
            "Teacher itself",
            f"The teacher itself is worse than the student that nobody taught, by more than {noise}: accuracy "
            f"{_shown(accuracy, _POINTS)}.",
        )
    if accuracy["difference"] <= 0:
        teacher, baseline = (_percent(results[role]["metrics"]["accuracy"]) for role in ("teacher", "baseline"))
        return Finding(
            "doubt",
            "Teacher itself",
            f"The teacher itself is not ahead of the student that nobody taught ({teacher} % vs {baseline}; "
            f"{_shown(accuracy, _POINTS)}).",
        )
    if _way(nll, -1) == "worse":
        return Finding(
            "doubt",
            "Teacher itself",
            f"The teacher's probabilities, which the student learns from, are worse than those of the student that nobody "
            f"taught, by more than {noise}: NLL {_shown(nll, (1, 3, ''))}.",
        )
    return None


def _doubts_of_data(results: Mapping[str, Any], what: str) -> list[Finding]:
    data, found = results.get("data") or {}, []
    balanced = _balanced(results)
    if one_sided(results) and balanced is not None:
        labels = data["commonest"]["labels"]
        which = listed([quoted(name) for name in labels]) if labels else "without a label"
        sections = (
            ("student", "the student"),
            ("teacher", "the teacher"),
            ("baseline", "the student without a teacher"),
        )
        figures = [
            f"{_percent(results[role]['metrics'][balanced])} of {whose}"
            for role, whose in sections
            if results.get(role)
        ]
        found.append(
            Finding(
                "doubt",
                "Accuracy",
                f"{100 * data['commonest']['share']:.1f} % of the test {what}s are {which}, so accuracy says little; "
                f"{_BALANCED[balanced]} (%): {listed(figures)}.",
            )
        )
    groups = (results.get("losses") or {}).get("groups")
    if groups and groups["count"] < (data.get("test") or 0):
        found.append(
            Finding(
                "doubt",
                "Intervals",
                f"The {data['test']:,} test {what}s are of {counted(groups['count'], 'group')}; what is of one group is alike, but is counted as "
                "independent here: intervals are rather too narrow.",
            )
        )
    for split, names in (data.get("lacking") or {}).items():
        some = [quoted(name) for name in names[:5]] + ([f"{len(names) - 5} more classes"] if len(names) > 5 else [])
        unknown = (
            f"nothing is known of how such {what}s are answered"
            if split == "test"
            else f"such {what}s took no part in any choice"
        )
        found.append(
            Finding("doubt", f"{split.title()} split", f"The {split} split has no {what} of {listed(some)}: {unknown}.")
        )
    return found


def _way(found: Mapping[str, Any], better: int) -> str:
    if found["low"] > 0 or found["high"] < 0:
        return "better" if (found["low"] > 0) == (better > 0) else "worse"
    return "level"


def _shown(found: Mapping[str, Any], show: tuple[float, int, str]) -> str:
    factor, digits, unit = show
    difference, low, high = (_signed(factor * found[end], digits) for end in ("difference", "low", "high"))
    return f"{difference}{unit} ({low} to {high})"


def _signed(value: float, digits: int) -> str:
    """With its sign; what rounds to nothing has none."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def _percent(figure: Mapping[str, Any]) -> str:
    spread = f" ± {100 * figure['sd']:.1f}" if figure["sd"] is not None else ""
    return f"{100 * figure['mean']:.1f}{spread}"
