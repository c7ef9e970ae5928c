"""The page of a search: the front, the chosen student, what mattered, what is to be expected, every trial and its fate.

From ``search.json`` alone. Names of models and values of settings are a person's own text; they are escaped as all else is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..evaluation.figure import Figure, read
from ..report import figures, formats, svg
from ..report.html import write_html
from ..sections.budget import COSTS
from . import pictures
from .budget import cost_text, number_text
from .trials import OVER_BUDGET, UNTRAINED

ARMS = {"student": "with a teacher", "baseline": "without a teacher"}


def write_page(results: Mapping[str, Any], path: Path) -> None:
    """Writes the page of ``search.json``'s contents, atomically."""
    write_html(path, "limbeck.searching", "page.html.j2", content(results))


def content(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the template is given."""
    figure, *_ = read(results)
    found = [one for one in results["forecast"] if one["why_none"] is None]
    drawn = [pictures.front(results, cost, figure) for cost in results["costs"]]
    return {
        "results": results,
        "figure": figure,
        "figures": figures,
        "verdict": _unbroken(verdict(results, figure)),
        "fronts": [one for one in drawn if one is not None],
        "budget": budget_text(results),
        "chosen": next((one for one in results["finalists"] if one["trial"] == results["chosen"]), None),
        "chosen_values": [(name, value_text(value)) for name, value in _values(results).items()],
        "finalists": results["finalists"],
        "costs": results["costs"],
        "words": {name: COSTS[name] for name in results["costs"]},
        "cost_text": cost_text,
        "number_text": number_text,
        "importances": pictures.importances(results["importances"]["settings"])
        if results["importances"]["settings"]
        else None,
        "taught_by": [
            (who, [("none" if one[who] is None else value_text(one[who]), one) for one in results[f"{who}s"]])
            for who in ("teacher", "assistant")
            if results[f"{who}s"]
        ],
        "forecasts": [
            (pictures.forecast(one, results, figure), _unbroken(expected(one, figure)), checked(one)) for one in found
        ],
        "no_forecast": list(dict.fromkeys(one["why_none"] for one in results["forecast"] if one["why_none"])),
        "trials": [(ARMS[arm], trial, _brief(trial["values"])) for arm in ARMS for trial in results["trials"][arm]],
        "fates": {
            ARMS[arm]: ", ".join(f"{count} {fate}" for fate, count in sorted(found.items(), key=lambda one: -one[1]))
            for arm, found in results["fates"].items()
        },
        "seconds": seconds(results["seconds"]),
        "legend": [
            (svg.drawing(14, 14, "", svg.mark(key, 7, 7, 4.2), class_="key"), key, label)
            for key, label in (("student", "with a teacher"), ("baseline", "without a teacher"), ("teacher", "teacher"))
        ],
        "records": [
            (title, yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=88))
            for title, value in (
                ("The recipe that was searched", results["recipe"]),
                ("The search", results["search"]),
                ("Environment", results["environment"]),
            )
        ],
    }


def summary(results: Mapping[str, Any]) -> list[str]:
    """What the command says at the end: what came out, what to expect, where it lies and how the chosen student is run."""
    figure, *_ = read(results)
    lines = [verdict(results, figure)]
    asked = [one for one in results["forecast"] if one["cost"] in results["costs"]] if results["search"]["keep"] else []
    lines += dict.fromkeys(one["why_none"] or expected(one, figure) for one in asked)
    if results["command"]:
        lines.append(f"The chosen student's recipe: {results['command']}")
    return [*lines, f"{Path(results['out']) / 'search.html'}"]


def verdict(results: Mapping[str, Any], figure: Figure) -> str:
    """What came out, in a sentence or two; it claims no more than test shows."""
    chosen = next((one for one in results["finalists"] if one["trial"] == results["chosen"]), None)
    if chosen is None:
        return results["why_none"]
    budget = budget_text(results)
    within = f" within {budget}" if budget else ""
    tried = _tried(results)
    if chosen["student"] is None:
        return f"Of {tried}, trial {chosen['trial']} did best on validation{within}; it could not be finished: {chosen['problem']}"
    reached = _over_seeds(figure, chosen["student"]["metrics"][figure.name])
    costs = " and ".join(cost_text(name, chosen["searched"]["cost"][name]) for name in results["costs"])
    if (file := chosen.get("deployed")) is not None:  # of one seed; what follows compares students in float32
        reached = (
            f"{figures.with_unit(figure, file['metrics'][figure.name])} in {chosen['format']} ({reached} in float32)"
        )
    said = f"Of {tried}, trial {chosen['trial']} did best on validation{within}: trained anew, its test {figure.title} is {reached}, at {costs}"
    teacher = results["teacher"]["metrics"]
    said += f"; the teacher's is {_over_seeds(figure, teacher[figure.name])}." if teacher else "."
    control = chosen["control"]
    if control is None:
        return f"{said} No trial without a teacher costs as little."
    gain = formats.dig(control["comparison"], figure.name)
    without = f"Searched for as long without a teacher, the best that costs no more has {_over_seeds(figure, control['metrics'][figure.name])}"
    if gain is None:
        return f"{said} {without}."
    low, high = (figure.sign * gain[end] for end in ("low", "high"))
    low, high = sorted((low, high))
    noise = _noise(chosen["student"]["validation"]["n"])
    if low <= 0 <= high:
        return f"{said} {without}; the two do not differ by more than the noise of {noise}."
    return f"{said} {without}: the student with a teacher is {'better' if low > 0 else 'worse'} by more than the noise of {noise}."


def _noise(seeds: int) -> str:
    """What a difference is held against."""
    if seeds > 1:
        return f"{seeds} seeds and the test examples"
    return "the test examples (that between seeds is not known of one)"


def _tried(results: Mapping[str, Any]) -> str:
    """How many were trained, and how many were left out before."""
    trials = results["trials"]["student"]
    trained = sum(one["fate"] not in UNTRAINED for one in trials)
    over = sum(one["fate"] == OVER_BUDGET for one in trials)
    students = f"{trained} student{'' if trained == 1 else 's'} tried"
    return f"{students} ({over} more were over budget and not trained)" if over else students


def budget_text(results: Mapping[str, Any]) -> str:
    """``0.05 ms and 60 KB``; empty where there is no budget."""
    return " and ".join(cost_text(name, limit) for name, limit in results["search"]["budget"].items())


def expected(found: Mapping[str, Any], figure: Figure) -> str:
    """What the forecast says, in a sentence."""
    asked = found["keep"]
    cost = found["cost"]
    start = (
        f"By {COSTS[cost].words}: from {found['students']} students trained in full, {found['used']} of them on the front, "
        f"the curve levels off at {figures.with_unit(figure, found['top'])}."
    )
    if asked is None:
        return start
    wanted = (
        f"{100 * asked['share']:g} % of the teacher's {figure.title} ({figures.with_unit(figure, asked['quality'])})"
    )
    if asked["expected"] is None:
        return f"{start} No size is expected to keep {wanted} at all."
    ends = [cost_text(cost, asked[end]) if asked[end] is not None else None for end in ("low", "high")]
    interval = f"{ends[0] or 'far below what was tried'} to {ends[1] or 'beyond what can be said'}"
    beyond = "" if asked["tried"] else " That is outside what was tried."
    return f"{start} The smallest student expected to keep {wanted} has {cost_text(cost, asked['expected'])} (80 % interval: {interval}).{beyond}"


def checked(found: Mapping[str, Any]) -> str | None:
    """How the forecast did where it can be held to the truth."""
    held = found["held_out"]
    if held is None:
        return None
    return (
        f"Held to the truth: fitted without the smallest and without the largest third of the front, it names {held['named']} "
        f"of the {held['of']} figures left out within its 80 % interval."
    )


def seconds(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of what took how long, and what it is."""
    rows = [
        ("Teacher", found["teacher"], "its training; all teachers that were tried together"),
        ("Soft targets", found["pass"], "its pass over the examples, once for all students"),
        *(
            [("Assistants", found["assistants"], "the training of all that were tried; their passes are counted above")]
            if found["assistants"]
            else []
        ),
        ("Students", found["students"], "with a teacher, up to where each ended"),
        ("Controls", found["controls"], "without a teacher, likewise"),
        ("Finalists", found["finalists"], "and their controls, trained anew in full with every seed"),
        ("Students in full", found["students_in_full"], "had none stopped at a rung; by their recorded steps"),
    ]
    live = found["students_live_in_full"]
    if live is not None:
        said = f"had none stopped, and had the teacher answered at every step; estimated. The search took {100 * found['over_live']:.0f} % of it"
        rows.append(
            (
                "Students in full, live teacher",
                live,
                f"{said} (soft targets{', assistants' if found['assistants'] else ''} and students)",
            )
        )
    return [(name, formats.duration(value), what) for name, value, what in rows]


def value_text(value: Any) -> str:
    """A setting's value on one line; of a section what is in it, but for what is off."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        value = {name: one for name, one in value.items() if one not in (None, False, 0, [], {})}
        return json.dumps(value, ensure_ascii=False) if value else "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _unbroken(sentence: str) -> str:
    """The sentence, in which no line ends between a number and its percent sign."""
    return sentence.replace(" %", "\u00a0%")


def _values(results: Mapping[str, Any]) -> dict[str, Any]:
    trials: Sequence[Mapping[str, Any]] = results["trials"]["student"]
    return next((dict(one["values"]) for one in trials if one["number"] == results["chosen"]), {})


def _brief(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value_text(value)}" for name, value in values.items())


def _over_seeds(figure: Figure, found: Any) -> str:
    spread = figures.spread(figure, found)
    return f"{figures.with_unit(figure, found)}{f' {spread}' if spread else ''}"
