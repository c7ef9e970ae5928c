"""Fields of a recipe of sounds that are right alone and wrong together, one sentence each."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from ...data.places import place_of
from ...errors import BadInput
from ...models.places import check_onnx, check_weights
from ...sections.teacher import Model, OnnxTeacher, members_of, precision_problems
from ...sections.train import Train, schedule_problems
from . import contradictions_ctc
from .contradictions_ctc import checkpoint, checkpoint_problems
from .families import CLASSIFIERS, check, elsewhere, ours
from .recipe import AudioRecipe, TeacherSection
from .recipe_ctc import SpeechRecipe

_OF_NUMBERS = ("float32", "float16")


def contradictions(recipe: AudioRecipe | SpeechRecipe) -> Iterator[str]:
    """What does not go together in a recipe of sounds."""
    if isinstance(recipe, SpeechRecipe):
        yield from contradictions_ctc.contradictions(recipe)
        return
    teachers = members_of(recipe.teacher)
    for where, teacher in teachers:
        if isinstance(teacher, TeacherSection):
            yield from _teacher(where, teacher)
    yield from precision_problems(recipe)
    if recipe.targets.codec in _OF_NUMBERS:
        yield f"targets.codec: {recipe.targets.codec} keeps the numbers of a regression; take dense or int8"
    for where, model in (*teachers, ("student", recipe.student)):
        if isinstance(model, Model):
            yield from _knobs(where, model)
    for where, teacher in teachers:
        yield from schedule_problems(f"{where}.train", teacher.train)


def look_for(recipe: AudioRecipe | SpeechRecipe) -> list[Path | None]:
    """The folders and files that the recipe names; None for what only running it shows: a person's own code.

    Raises `BadInput` where one is not there; nothing is opened.
    """
    if isinstance(recipe, SpeechRecipe):
        return contradictions_ctc.look_for(recipe)
    found: list[Path | None] = []
    sources = {"data": recipe.data, "data.transfer": recipe.data.transfer, "data.background": recipe.data.background}
    for field, source in sources.items():
        if source is not None:
            found.append(place_of(source.name, source.config, f"{field}.name"))
    assistant = [] if recipe.assistant is None else [("assistant", recipe.assistant)]
    for _, section in (*members_of(recipe.teacher), ("student", recipe.student), *assistant):
        if isinstance(section, OnnxTeacher):
            found.append(check_onnx(Path(section.onnx)))
            continue
        if elsewhere(section.model):
            found.append(checkpoint(section.model))
        elif ":" in section.model:
            found.append(None)
        if section.weights is not None:
            found.append(check_weights(section.weights))
    return found


def _teacher(where: str, teacher: TeacherSection) -> Iterator[str]:
    # A person's own callable may hand back a trained model; nothing but running it can tell.
    if teacher.train is None and teacher.weights is None and ours(teacher.model):
        yield f"{where}: give train (to train it here) or weights (a file)"
    if teacher.views is not None and teacher.train is None:
        yield f"{where}.views: there is no {where}.train whose examples it could vary; leave it out"


def _knobs(where: str, section: Model) -> Iterator[str]:
    if elsewhere(section.model):
        yield from checkpoint_problems(where, section, CLASSIFIERS)
    if not ours(section.model):
        return
    misplaced = list(_misplaced(where, section))
    yield from misplaced
    if misplaced:
        return
    try:
        check(section.model, section.knobs)
    except BadInput as error:
        yield f"{where}.{error}"
        return
    if section.model not in CLASSIFIERS:
        yield f"{where}.model: {section.model} answers at every frame; for one answer a sound take {', '.join(CLASSIFIERS)}"


def _misplaced(where: str, section: Model) -> Iterator[str]:
    """Knobs that were meant for fields: near misses of the section's own, or such as stand elsewhere."""
    train = f"{where}.train" if where.startswith("teacher") else "train"
    for knob in section.knobs:
        near = difflib.get_close_matches(knob, type(section).model_fields, n=1, cutoff=0.75)
        if knob in Train.model_fields:
            yield f"{where}.{knob}: no such field. Did you mean '{train}.{knob}'?"
        elif knob in ("train", "views"):
            yield f"{where}.{knob}: no such field. Did you mean '{knob}', beside {where} and not inside it?"
        elif near:
            yield f"{where}.{knob}: no such field. Did you mean '{near[0]}'?"
