"""Fields of a recipe of images that are right alone and wrong together, one sentence each."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from ...data.places import place_of
from ...errors import BadInput
from ...models.places import check_onnx, check_weights
from ...sections.teacher import Model, members_of, precision_problems
from ...sections.train import Train, schedule_problems
from ...vision.networks import check, ours
from ...vision.sections import BUILT_IN, Views
from .recipe import ImageRecipe, OnnxTeacher, RegressionRecipe, TeacherSection, made_of

_OF_NUMBERS = ("float32", "float16")
# Fields of `train` that people look for right under the teacher or student, and that no model has as a knob.
_TRAIN_FIELDS = ("epochs", "batch_size", "optimizer", "learning_rate", "weight_decay", "schedule", "patience")


def contradictions(recipe: ImageRecipe | RegressionRecipe) -> Iterator[str]:
    """What does not go together in a recipe of images."""
    teachers = members_of(recipe.teacher)
    for where, teacher in teachers:
        yield from _teacher(where, teacher, recipe.data.channels)
    yield from precision_problems(recipe)
    yield from of_numbers(recipe) if isinstance(recipe, RegressionRecipe) else _of_classes(recipe)
    for where, teacher in teachers:
        yield from _knobs(where, teacher)
    if recipe.student.pruned is None:
        yield from _knobs("student", recipe.student)
    elif made_of(recipe) is None:
        yield "student.pruned: it is made of its teacher's layers, and an ONNX file shows none; name a teacher by its model"
    for where, teacher in teachers:
        yield from schedule_problems(f"{where}.train", teacher.train)


def _views_of(recipe: ImageRecipe | RegressionRecipe) -> Iterator[tuple[str, Views]]:
    yield "views", recipe.views
    for where, teacher in members_of(recipe.teacher):
        if isinstance(teacher, TeacherSection) and teacher.views is not None:
            yield f"{where}.views", teacher.views


def _of_classes(recipe: ImageRecipe | RegressionRecipe) -> Iterator[str]:
    for where, views in _views_of(recipe):
        if views.flip_turns is not None:
            yield f"{where}.flip_turns: a class has no sign that a mirror image could turn; leave it out, or give task: image-regression"
    if recipe.targets.codec in _OF_NUMBERS:
        yield f"targets.codec: {recipe.targets.codec} keeps the numbers of a regression; take dense or int8"


def of_numbers(recipe: RegressionRecipe) -> Iterator[str]:
    """What does not go together in a recipe of numbers, whoever its teacher is."""
    for where, views in _views_of(recipe):
        if views.flip and views.flip_turns is None:
            yield (
                f"{where}.flip: a mirror image may have another number; say whose sign it turns, such as {where}.flip_turns: "
                "[steering], or [] where it changes none"
            )
        if views.flip_turns is not None and not views.flip:
            yield f"{where}.flip_turns: nothing is mirrored without {where}.flip: true"
        if views.cutmix:
            yield (
                f"{where}.cutmix: a picture with a piece of another has neither's number, nor one between them; leave it out, or "
                f"take {where}.mixup, which weighs numbers as it does pixels"
            )
        if (
            recipe.data.name == "digits_turned"
            and views.affine is not None
            and (views.affine.degrees or views.affine.shear)
        ):
            yield f"{where}.affine: turning or shearing a picture changes the very angle that is to be told; leave out degrees and shear"
    turned, mixed = recipe.views.turned, recipe.views.mixes
    if recipe.targets.average and (turned or mixed):
        which = f"numbers of both signs, for views.flip turns {turned[0]}" if turned else f"{mixed[0]} with others"
        yield f"targets.average: a mean over the views would be of {which}; leave it out"
    if recipe.baseline.label_smoothing:
        yield "baseline.label_smoothing: numbers are not smoothed; leave it out"
    if recipe.targets.codec not in ("dense", *_OF_NUMBERS):
        yield "targets.codec: a teacher's numbers are kept in float32 or float16; it keeps logits"


def look_for(recipe: ImageRecipe | RegressionRecipe) -> list[Path | None]:
    """The folders and files that the recipe names; None for what only running it shows: a person's own code.

    Raises `BadInput` where one is not there; nothing is opened.
    """
    found: list[Path | None] = []
    for field, source in (("data", recipe.data), ("data.transfer", recipe.data.transfer)):
        if source is not None and source.name not in BUILT_IN:
            found.append(place_of(source.name, source.config, f"{field}.name"))
    assistant = [] if recipe.assistant is None else [("assistant", recipe.assistant)]
    for _, section in (*members_of(recipe.teacher), ("student", recipe.student), *assistant):
        if isinstance(section, OnnxTeacher):
            found.append(check_onnx(Path(section.onnx)))
            continue
        if ":" in section.model:
            found.append(None)
        if section.weights is not None:
            found.append(check_weights(section.weights))
    return found


def _teacher(where: str, teacher: TeacherSection | OnnxTeacher, channels: int | None) -> Iterator[str]:
    if isinstance(teacher, TeacherSection):
        pretrained = teacher.model.startswith("timm/") and teacher.knobs.get("pretrained") is True
        # A person's own callable may hand back a trained model; nothing but running it can tell.
        own = ":" in teacher.model
        if teacher.train is None and teacher.weights is None and not pretrained and not own:
            yield f"{where}: give train (to train it here) or weights (a file)" + (
                ", or pretrained: true" if teacher.model.startswith("timm/") else ""
            )
        if teacher.views is not None and teacher.train is None:
            yield f"{where}.views: there is no {where}.train whose examples it could vary; leave it out"
    preprocess = teacher.preprocess
    if preprocess is None:
        return
    for name, values in (("mean", preprocess.mean), ("std", preprocess.std)):
        if values is not None and channels is not None and len(values) != channels:
            yield (
                f"{where}.preprocess.{name}: {len(values)} values were given; "
                f"it must hold one for each of the {channels} channels of data.channels"
            )
    if preprocess.mean is not None and preprocess.std is not None and len(preprocess.mean) != len(preprocess.std):
        yield f"{where}.preprocess: mean and std must hold as many values as one another, one for each channel"


def _knobs(where: str, section: Model | OnnxTeacher) -> Iterator[str]:
    if isinstance(section, OnnxTeacher):
        return
    misplaced = list(_misplaced(where, section))
    yield from misplaced
    if not misplaced and ours(section.model):
        try:
            check(section.model, section.knobs)
        except BadInput as error:
            yield f"{where}.{error}"


def _misplaced(where: str, section: Model) -> Iterator[str]:
    """Knobs that were meant for fields: near misses of the section's own, or such as stand elsewhere."""
    train = f"{where}.train" if where.startswith("teacher") else "train"
    for knob in section.knobs:
        near = difflib.get_close_matches(knob, type(section).model_fields, n=1, cutoff=0.75)
        if knob in _TRAIN_FIELDS and knob in Train.model_fields:
            yield f"{where}.{knob}: no such field. Did you mean '{train}.{knob}'?"
        elif knob in ("train", "views", "preprocess"):
            yield f"{where}.{knob}: no such field. Did you mean '{knob}', beside {where} and not inside it?"
        elif near:
            yield f"{where}.{knob}: no such field. Did you mean '{near[0]}'?"
