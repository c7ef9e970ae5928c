"""Whether a model is shown to be better than always giving the same answer, from ``results.json``. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from .figure import Figure, read
from .wording import over_seeds, quoted, what_of


class Beside(NamedTuple):
    """A model that is not shown to be better than always giving the same answer."""

    ahead: bool  # yet by less than the noise of test examples
    figures: str
    examples: int  # of the test split


def beside_commonest(results: Mapping[str, Any], role: str) -> Beside | None:
    """How a model stands beside always naming the commonest answer; None where it is above that by two standard errors.

    Or, counting every class alike, above chance: a model that tells the rare class from the common one is of use,
    however little that adds to its accuracy. Of several labels: where its macro F1 is above that of the commonest set. Of
    numbers, the commonest answer is their mean.
    """
    first = read(results)[0]
    if (numbers := (results.get("data") or {}).get("numbers")) is not None:
        return _beside_mean(results, role, first, numbers)
    data, figures = results.get("data") or {}, results[role]["metrics"]
    rows = results["teacher"].get("per_class") or ()
    supports = [row["support"] for row in rows]
    if "commonest" in data:
        share, count = data["commonest"]["share"], data.get("test") or sum(supports)
    elif supports and results["answers"]["kind"] == "classes":
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
    return Beside(accuracy > share + 1e-9, f"({over_seeds(first, figures[first.name])} % vs {100 * share:.1f})", count)


def same_answer(results: Mapping[str, Any]) -> str:
    """What is always given, in words."""
    numbers = (results.get("data") or {}).get("numbers") is not None
    return "answering the mean" if numbers else "naming the commonest class"


def _beside_mean(results: Mapping[str, Any], role: str, first: Figure, numbers: list[dict[str, Any]]) -> Beside | None:
    """By the standard error of a root of a mean square, 1 / sqrt(2 N) of it where errors are normal."""
    found, count = results[role]["metrics"][first.name], results["data"].get("test") or 0
    mean = math.sqrt(sum(number["sd"] ** 2 for number in numbers) / len(numbers))
    if not count or found["mean"] < mean * (1 - 2 / math.sqrt(2 * count)):
        return None
    figures = f"({first.title} {over_seeds(first, found)} vs {first.number(mean)})"
    return Beside(found["mean"] < mean * (1 - 1e-9), figures, count)


def naught(results: Mapping[str, Any], beside: Beside) -> str:
    """What is said of a student that is no better than the commonest answer, and which one it gives where it gives no other."""
    rows = [row for row in results["student"].get("per_class") or () if row["support"] and "accuracy" in row]
    given = [row["class"] for row in rows if row["accuracy"] == 1.0]
    always = ""
    if len(rows) > 1 and len(given) == 1 and not any(row["accuracy"] for row in rows if row["class"] != given[0]):
        always = f"answers {quoted(given[0])} for everything and "
    return f"{always}is no better than always {same_answer(results)} {beside.figures}"


def unshown(results: Mapping[str, Any], beside: Beside) -> str:
    """What is said of a model whose lead over the commonest answer may be chance."""
    several = "s" if beside.examples != 1 else ""
    return (
        f"not shown to be better than always {same_answer(results)} {beside.figures} on "
        f"{beside.examples:,} test {what_of(results)}{several}"
    )
