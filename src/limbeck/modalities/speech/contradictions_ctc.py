"""Fields of a recipe of speech recognition that are right alone and wrong together, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...data.places import cached, place_of
from ...errors import BadInput
from ...models.places import check_onnx, check_weights
from ...nlp.locate import locate
from ...sections.teacher import Model, OnnxTeacher, members_of, precision_problems
from ...sections.train import schedule_problems
from .families import ENCODERS, check, elsewhere, ours
from .recipe_ctc import RecogniserTeacher, SpeechRecipe, SpeechTeacher

_OF_NUMBERS = ("float32", "float16")
FRAMES = "ctc_frame_kd"


def contradictions(recipe: SpeechRecipe) -> Iterator[str]:
    """What does not go together in a recipe of speech recognition."""
    teachers = members_of(recipe.teacher)
    models = [(where, one) for where, one in (*teachers, ("student", recipe.student)) if isinstance(one, Model)]
    for where, one in teachers:
        if isinstance(one, SpeechTeacher):
            yield from _teacher(where, one)
            yield from schedule_problems(f"{where}.train", one.train)
    if isinstance(recipe.teacher, RecogniserTeacher) and FRAMES in recipe.objective.terms:
        yield (
            f"objective.{FRAMES}: teacher.recogniser gives transcripts, and no probabilities at frames; take ctc_sequence_kd, which "
            "learns from transcripts"
        )
    yield from precision_problems(recipe)
    if recipe.targets.codec in _OF_NUMBERS:
        yield f"targets.codec: {recipe.targets.codec} keeps the numbers of a regression; take dense or int8"
    if recipe.targets.average:
        yield "targets.average: an utterance has an answer at each of its frames, which views move; leave it out"
    for where, section in models:
        yield from _model(where, section)


def look_for(recipe: SpeechRecipe) -> list[Path | None]:
    """The folders and files that the recipe names; None for what only running it shows: a person's own code.

    Raises `BadInput` where one is not there; nothing is opened.
    """
    found: list[Path | None] = []
    for field, source in (("data", recipe.data), ("data.transfer", recipe.data.transfer)):
        if source is not None:
            found.append(place_of(source.name, source.config, f"{field}.name"))
    for section in (*(one for _, one in members_of(recipe.teacher)), recipe.student, recipe.assistant):
        if isinstance(section, OnnxTeacher):
            found.append(check_onnx(Path(section.onnx)))
            continue
        name = (
            section.recogniser if isinstance(section, RecogniserTeacher) else "" if section is None else section.model
        )
        if elsewhere(name):
            found.append(checkpoint(name))
        elif isinstance(section, RecogniserTeacher) or (section is not None and ":" in section.model):
            found.append(None)
        if isinstance(section, Model) and section.weights is not None:
            found.append(check_weights(section.weights))
    return found


def checkpoint(name: str) -> Path | None:
    """Where a checkpoint of transformers is; None where that is nowhere here yet. Raises `BadInput` where there is no such folder."""
    place = Path(locate(name))
    return place if place.exists() else cached(name, "models")


def checkpoint_problems(where: str, section: Model, instead: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with a checkpoint as the model of a section; `instead` are networks of ours that could stand there."""
    if not where.startswith("teacher"):
        yield f"{where}.model: {section.model} is meant for a checkpoint, which can be a teacher alone; take {' or '.join(instead)}"
    elif section.knobs:
        yield f"{where}.{next(iter(section.knobs))}: {section.model} is as large as its checkpoint and has no knobs; leave it out"


def _teacher(where: str, teacher: SpeechTeacher) -> Iterator[str]:
    # A person's own callable may hand back a trained model; nothing but running it can tell.
    if teacher.train is None and teacher.weights is None and ours(teacher.model):
        yield f"{where}: give train (to train it here) or weights (a file)"
    if teacher.views is not None and teacher.train is None:
        yield f"{where}.views: there is no {where}.train whose examples it could vary; leave it out"


def _model(where: str, section: Model) -> Iterator[str]:
    if elsewhere(section.model):
        yield from checkpoint_problems(where, section, ENCODERS)
        return
    if not ours(section.model):
        return
    try:
        check(section.model, section.knobs)
    except BadInput as error:
        yield f"{where}.{error}"
        return
    if section.model not in ENCODERS:
        yield f"{where}.model: {section.model} gives one answer a sound; for one at every frame take {' or '.join(ENCODERS)}"
