"""The results in plain sentences, which claim no more than the figures do; results.json as read goes in.

First what the student is worth beside its teacher; then what got better and worse by more than the noise, in every measure,
who paid for it, and what makes the figures doubtful. Console and report say the same sentences. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from ..errors import printable
from .beside_commonest import beside_commonest, naught, same_answer, unshown
from .figure import Figure, read
from .paid import paid
from .wording import articled, counted, listed, over_seeds, quoted, what_of

_DIGITS = 3  # decimals of a difference, at most
_UNKNOWN = 1.5  # of the 2 from -100 to +100 points: an interval as wide tells nothing


class Finding(NamedTuple):
    """A sentence. ``worse`` and ``better``: by more than the noise; ``doubt``: why the figures say less than they seem to."""

    kind: Literal["better", "worse", "level", "doubt"]
    about: str  # a word or two
    text: str


def verdict(results: Mapping[str, Any]) -> str:
    """All of it, the headline first."""
    return " ".join([headline(results), *(finding.text for finding in findings(results))])


def headline(results: Mapping[str, Any]) -> str:
    """What the student costs and keeps, beside its teacher; where models are judged in use, what it is worth there."""
    if (judged := results.get("in_use")) is not None:
        return judged["headline"]
    return _on_examples(results)


def _on_examples(results: Mapping[str, Any]) -> str:
    traits, first = _traits(results["ratios"]), read(results)[0]
    student, teacher = (over_seeds(first, results[role]["metrics"][first.name]) for role in ("student", "teacher"))
    unit = f" {first.unit}" if first.unit else ""
    has = f"has {articled(first.title)} of {student}{unit}"
    if not results.get("learnt_from_teacher", True):
        given = "It learnt from soft targets that were given, which nothing says are the teacher's"
        learnt = given if results.get("targets") else "It learnt nothing from the teacher"
        beside = beside_commonest(results, "student")
        doubt = ""
        if beside is not None:
            doubt = f" It {naught(results, beside)}." if not beside.ahead else f" It is {unshown(results, beside)}."
        return f"The student {listed([*traits, has])}.{doubt} {learnt}."
    start = f"The student {listed(traits)}. " if traits else ""
    teacher_beside, student_beside = (beside_commonest(results, role) for role in ("teacher", "student"))
    if teacher_beside is not None and not teacher_beside.ahead:
        return (
            f"{start}The teacher itself is no better than always {same_answer(results)} {teacher_beside.figures}, "
            "so what the student keeps of it means nothing; train it longer."
        )
    if student_beside is not None and not student_beside.ahead:
        who = "It" if traits else "The student"
        of = f"{teacher}{unit}" if first.share else f"{first.title} of {teacher}{unit}"
        return f"{start}{who} {naught(results, student_beside)}, so what it keeps of the teacher's {of} means nothing."
    kept = results["ratios"]["student_over_teacher"]["ratio"]
    if kept is None:
        never = "is never right" if first.better == "more" else "never errs"
        return f"The student {listed([*traits, has])}; the teacher {never}."
    whose = "its" if traits else "the teacher's"
    held = (
        f"{_held(first, kept, whose)} ({student} vs {teacher}{'' if first.share else unit}{_beside_balanced(results)})"
    )
    not_shown = [
        (whom, beside)
        for whom, beside in (("The teacher", teacher_beside), ("The student", student_beside))
        if beside is not None
    ]
    doubts = "".join(f" {whom} is {unshown(results, beside)}." for whom, beside in not_shown)
    if teacher_beside is not None and student_beside is not None:  # the same is said of both
        both = student_beside._replace(figures=student_beside.figures.replace(student, f"{student} and {teacher}", 1))
        doubts = f" Neither is {unshown(results, both).removeprefix('not ')}."
    return f"The student {listed([*traits, held])}.{doubts}"


def _held(figure: Figure, ratio: float, whose: str) -> str:
    """What the student has of the teacher's first figure."""
    if figure.better == "more":
        return f"keeps {100 * ratio:.1f} % of {whose} {figure.title}"
    return f"has {ratio:.2f}x {whose} {figure.title}"


def _beside_balanced(results: Mapping[str, Any]) -> str:
    """The figure that counts every class alike, where accuracy says little."""
    balanced = _balanced(results)
    if not one_sided(results) or balanced is None:
        return ""
    return f"; {balanced.title} {' vs '.join(over_seeds(balanced, results[role]['metrics'][balanced.name]) for role in ('student', 'teacher'))}"


def findings(results: Mapping[str, Any]) -> list[Finding]:
    """Everything else that a reader must know before the tables, the most important first."""
    if (judged := results.get("in_use")) is not None:
        return [Finding(*one) for one in judged["findings"]]
    return _findings(results)


def on_examples(results: Mapping[str, Any]) -> list[Finding]:
    """What is to be said of answers to examples, its headline first, where models are judged in use; nothing where they are not."""
    if results.get("in_use") is None:
        return []
    return [Finding("level", "In short", _on_examples(results)), *_findings(results)]


def _findings(results: Mapping[str, Any]) -> list[Finding]:
    what = what_of(results)
    comparison, figures = results["comparison"], _by_name(results)
    found = [
        _against(figures, comparison.get("baseline"), "No teacher", "the same student trained without a teacher"),
        _doubt_of_teacher(comparison.get("teacher_minus_baseline"), results),
        _against(figures, comparison.get("smoothed"), "Smoothed", "the same student trained on smoothed labels"),
        _against(figures, comparison.get("teacher"), "Teacher", "the teacher"),
        _assistant(results),
        *(
            Finding("worse" if lost else "level", about, text)
            for lost, about, text in paid(results.get("losses"), what)
        ),
        *_doubts_of_data(results, what),
    ]
    return [one for one in found if one is not None]


def _assistant(results: Mapping[str, Any]) -> Finding | None:
    """Who stood between, where somebody did."""
    if (one := results.get("assistant")) is None:
        return None
    first = read(results)[0]
    reached = f"{articled(first.title)} of {over_seeds(first, one['metrics'][first.name])}{f' {first.unit}' if first.unit else ''}"
    text = (
        f"The student learnt from an assistant, which learnt from the teacher: {printable(str(one['model']))}, "
        f"{counted(one['parameters'], 'parameter')}, with {reached}."
    )
    return Finding("level", "Assistant", text)


def one_sided(results: Mapping[str, Any]) -> bool:
    """Whether more than half of the test split has one answer, so that accuracy says little."""
    return (((results.get("data") or {}).get("commonest") or {}).get("share") or 0.0) > 0.5


def _by_name(results: Mapping[str, Any]) -> dict[str, Figure]:
    return {figure.name: figure for figure in read(results)}


def _balanced(results: Mapping[str, Any]) -> Figure | None:
    """The figure that counts every class alike."""
    found, there = _by_name(results), results["student"]["metrics"]
    return next((found[name] for name in ("balanced_accuracy", "macro_f1") if name in found and name in there), None)


def _traits(ratios: Mapping[str, Any]) -> list[str]:
    """What the student costs beside the teacher; the first to be said names the teacher."""
    traits = []
    # a teacher without parameters, such as a rule that was written down, has a file all the same
    size, of = (ratios["parameters"], "parameters") if ratios["parameters"] else (ratios["bytes"], "bytes")
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


def _against(figures: Mapping[str, Figure], section: Mapping[str, Any] | None, about: str, whom: str) -> Finding | None:
    """In which measures the student is better, worse, or neither."""
    if not section:
        return None
    told: dict[str, list[str]] = {"better": [], "worse": [], "level": [], "unknown": []}
    # shares of right answers first
    compared = sorted((figures[name] for name in section), key=lambda one: not (one.share and one.better == "more"))
    for figure in compared:
        found = section[figure.name]
        way = _way(found, figure.sign)
        if way == "level" and figure.share and found["high"] - found["low"] >= _UNKNOWN:
            way = "unknown"
        told[way].append(f"{figure.title} {_shown(found, figure)}")
    one = next(iter(section.values()))
    seeds, level = one["seeds"], f"{100 * one['level']:g} %"
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
    figures, first = _by_name(results), read(results)[0]
    found, nll = section[first.name], section.get("nll")
    noise = "the noise" if found["seeds"] > 1 else "the noise of test examples"
    said = None
    if _way(found, first.sign) == "worse":
        said = (
            f"The teacher itself is worse than the student that nobody taught, by more than {noise}: {first.title} "
            f"{_shown(found, first)}."
        )
    elif first.sign * found["difference"] <= 0:
        teacher, baseline = (
            over_seeds(first, results[role]["metrics"][first.name]) for role in ("teacher", "baseline")
        )
        unit = f" {first.unit}" if first.unit else ""
        said = (
            f"The teacher itself is not ahead of the student that nobody taught ({teacher}{unit} vs {baseline}; "
            f"{_shown(found, first)})."
        )
    elif nll and _way(nll, -1) == "worse":
        said = (
            "The teacher's probabilities, which the student learns from, are worse than those of the student that nobody "
            f"taught, by more than {noise}: NLL {_shown(nll, figures['nll'])}."
        )
    return None if said is None else Finding("doubt", "Teacher itself", said)


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
            f"{over_seeds(balanced, results[role]['metrics'][balanced.name])} of {whose}"
            for role, whose in sections
            if results.get(role)
        ]
        found.append(
            Finding(
                "doubt",
                "Accuracy",
                f"{100 * data['commonest']['share']:.1f} % of the test {what}s are {which}, so accuracy says little; "
                f"{balanced.title} (%): {listed(figures)}.",
            )
        )
    # results of earlier versions have them among the losses alone
    groups = (results.get("parts") or results.get("losses") or {}).get("groups")
    if groups and groups["count"] < (data.get("test") or 0):
        found.append(
            Finding(
                "doubt",
                "Intervals",
                f"The {data['test']:,} test {what}s are of {counted(groups['count'], 'group')}; what is of one group is alike, but is counted as "
                "independent here: intervals are rather too narrow.",
            )
        )
    for role, whose in (("teacher", "the teacher"), ("student", "the student")):
        if crowded := (results.get(role) or {}).get("crowded"):
            first = listed([quoted(one["said"]) for one in crowded[:3]])
            found.append(
                Finding(
                    "doubt",
                    "Transcripts",
                    f"{counted(len(crowded), f'test {what}')} of {data['test']:,} have more symbols than {whose} has frames for, such as {first}: "
                    "it cannot be right there, and its NLL takes them for all but impossible.",
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


def _shown(found: Mapping[str, Any], figure: Figure) -> str:
    """A difference and its interval, all three with the decimals of the widest end."""
    widest = max(abs(found["low"]), abs(found["high"]))
    decimals = figure.decimals(widest) if figure.significant else min(figure.digits, _DIGITS)
    difference, low, high = (_signed(found[end], figure, decimals) for end in ("difference", "low", "high"))
    return f"{difference}{' points' if figure.share else ''} ({low} to {high})"


def _signed(value: float, figure: Figure, decimals: int) -> str:
    """With its sign; what rounds to nothing has none."""
    text = figure.number(abs(value), decimals)
    return f"{'-' if value < 0 else '+'}{text}" if float(text) else text
