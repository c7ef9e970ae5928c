"""Fields that are right alone and wrong together, in any recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..errors import shown
from ..modalities import TASKS, outline_of, part_of
from ..objectives.catalogue import CATALOGUE
from ..objectives.catalogue.fit import misfit, parts_of
from ..sections.assistant import OWN, assistant_problems, in_students_place
from ..sections.recipe import Recipe
from ..sections.section import most
from ..sections.train import schedule_problems

_TEST_NAMES = ("test", "testing")


def contradictions(recipe: Recipe) -> list[str]:
    """Problems between fields, one line each: selection on the test split, a teacher that is never made."""
    found = _of_students(recipe)
    return found if recipe.assistant is None else [*found, *assistant_problems(recipe), *_assistant(recipe, found)]


def _assistant(recipe: Recipe, known: list[str]) -> Iterator[str]:
    """What is wrong with the assistant in the students' place, and not with the students in theirs."""
    one = recipe.assistant
    for line in _of_students(in_students_place(recipe)):
        if line in known:
            continue
        for name in ("student", *(own for own in OWN if getattr(one, own) is not None)):
            called = "assistant" if name == "student" else f"assistant.{name}"
            line = re.sub(rf"(?<![\w.]){name}(?=[.:]| and not inside)", called, line)
        yield line.replace("'train.", "'assistant.train.")


def _of_students(recipe: Recipe) -> list[str]:
    return [
        *_splits(recipe),
        *part_of(recipe.task, "contradictions").contradictions(recipe),
        *_student_of_another_task(recipe),
        *_budget_of_a_student(recipe),
        *_objective(recipe),
        *schedule_problems("train", recipe.train),
    ]


def _student_of_another_task(recipe: Recipe) -> Iterator[str]:
    model = recipe.student.model
    if model in outline_of(recipe.task).students:
        return
    for task in TASKS:
        if model in (other := outline_of(task)).students:
            yield f"student.model: '{model}' is a student of {other.examples}; give task: {task}"


def _budget_of_a_student(recipe: Recipe) -> Iterator[str]:
    if "budget" in recipe.student.knobs:
        yield (
            "student.budget: a student has no budget of its own; give search.budget, such as "
            "search: {budget: {latency_ms: 0.05}}, and run limbeck search"
        )


def _splits(recipe: Recipe) -> Iterator[str]:
    data = recipe.data
    carved = "name another split, or leave validation out and it is carved from train"
    if data.validation is not None and (data.validation == data.test or data.validation.lower() in _TEST_NAMES):
        yield (
            f"data.validation: {shown(data.validation)} is the test split, and the test split cannot be used "
            f"for selection; {carved}"
        )
    elif data.validation == data.train:
        yield f"data.validation: {shown(data.validation)} is the training split; {carved}"
    if data.test == data.train:
        yield (
            f"data.test: {shown(data.test)} is the training split; name another split, "
            "or give null and it is carved from train"
        )
    transfer = data.transfer
    if transfer is None or (transfer.name, transfer.config) != (data.name, data.config):
        return
    for field, split in (("test", data.test), ("validation", data.validation)):
        if transfer.split == split:
            yield (
                f"data.transfer.split: {shown(transfer.split)} is the {field} split, and students may "
                "not learn from it; name another split"
            )


def _objective(recipe: Recipe) -> Iterator[str]:
    terms = recipe.objective.terms
    if not any(most(term.weight) > 0 for term in terms.values()):
        yield "objective: every weight is 0, so nothing is learnt; give a term a weight above 0"
    if why := misfit(parts_of(terms), *recipe.reads):
        yield why
    mixes = recipe.views.mixes
    for name in terms:
        if CATALOGUE[name].tells_the_class and mixes:
            yield (
                f"objective.{name}: it needs one class for each example, and views.{mixes[0]} gives shares of two; "
                "leave out one of the two"
            )
