"""The teachers that a recipe names: built, each with what its input goes through, and made into one where they are several.

Shapes: K teachers, B batch, C channels (or classes), H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from ...errors import BadInput
from ...interfaces.modality import Member, Teachers
from ...models.ensemble import Together
from ...models.inference import ask
from ...models.labels import by_position
from ...models.outputs import ASKED, OneLogit, is_one_logit, of_one_logit, refuse_changing, refuse_probabilities
from ...sections.teacher import seeds_of
from ...vision.build import check_fits
from ...vision.inputs import Normalisation, Prepared, probe_images
from ...vision.pixels import LARGEST_SIZE, Size, sides, size_of
from ...vision.sections import Preprocess
from . import OUTLINES
from .examples import Splits, shape_of
from .networks import network
from .onnx_file import OnnxModel
from .recipe import Ensemble, ImageRecipe, OnnxTeacher, TeacherSection

# Examples, beside noise, that it is asked about more than once.
ASKED_AGAIN = 4


def build_teachers(recipe: ImageRecipe, splits: Splits, *, trust_code: bool) -> Teachers:
    """The teachers of a recipe, their starting weights loaded.

    Raises :class:`BadInput` where one cannot be built, or does not fit the data: says which and why.
    """
    section = recipe.teacher
    if not isinstance(section, Ensemble):
        return alone(_member(section, recipe.seed, splits, trust_code, "teacher"))
    members = [
        _member(one, seed, splits, trust_code, f"teacher in teacher.ensemble.{k}")
        for k, (one, seed) in enumerate(zip(section.ensemble, seeds_of(section, recipe.seed), strict=True))
    ]
    return together(members, section, splits)


def alone(member: Member) -> Teachers:
    """A single teacher."""
    return Teachers(member.model, member.sees, (member,), member.notes)


def together(members: Sequence[Member], section: Ensemble, splits: Splits) -> Teachers:
    """An ensemble: it takes images on a 0-1 scale, and each member prepares them for itself."""
    plain = Normalisation(splits.mean, splits.std)
    inner = [Prepared(member.model, member.sees or plain) for member in members]
    channels = len(splits.mean)
    as_they_are = Normalisation((0.0,) * channels, (1.0,) * channels)
    notes = tuple(dict.fromkeys(note for member in members for note in member.notes))
    # the mean of numbers is worked out as that of logits is
    combine = "logits" if splits.numbers else section.combine
    return Teachers(Together(inner, combine, section.weights), as_they_are, tuple(members), notes)


def fitted(model: nn.Module, section: TeacherSection, seed: int, splits: Splits) -> Teachers:
    """A person's own module as the teacher. Raises :class:`BadInput` where it does not fit the data."""
    sees = _normalisation(section.preprocess, splits)
    return alone(_fitting(Member(section, seed, model, sees), splits, "teacher"))


def check_answers(
    model: nn.Module, splits: Splits, sees: Normalisation | None, name: str, *, ready: bool = False
) -> str | None:
    """A sentence where a model's answers to noise and to some images are in doubt; None where they are logits.

    ``ready``: it is used as it comes. Raises :class:`BadInput` where they are probabilities.
    """
    answers_NC = torch.cat([ask(model, inputs).float().cpu() for inputs in _noise_and_images(splits, sees, ASKED)])
    return refuse_probabilities(answers_NC.reshape(len(answers_NC), -1), name, ready=ready)


def _noise_and_images(splits: Splits, sees: Normalisation | None, count: int) -> tuple[Tensor, Tensor]:
    """Noise, and so many images of the data, as a model sees them."""
    seen = sees or Normalisation(splits.mean, splits.std)
    images = torch.cat([of.images[of.ids.argsort()[:count]].cpu() for of in (splits.validation, splits.train)])[:count]
    images_BCHW = seen(images if images.is_floating_point() else images.float() / 255)
    return probe_images(images_BCHW.shape[1], size_of(*images_BCHW.shape[2:])), images_BCHW


def _member(section: TeacherSection | OnnxTeacher, seed: int, splits: Splits, trust_code: bool, name: str) -> Member:
    if isinstance(section, OnnxTeacher):
        return _of_file(section, seed, splits, name)
    sees = _normalisation(section.preprocess, splits)
    notes: list[str] = []
    model = network(
        section,
        splits,
        size=sees.size if sees else None,
        trust_code=trust_code,
        seed=seed,
        trained=section.train is not None,
        notes=notes,
    )
    if section.train is None and splits.classes:
        notes += by_position(section.title, splits.classes)
    return _fitting(Member(section, seed, model, sees, tuple(notes)), splits, name)


def _of_file(section: OnnxTeacher, seed: int, splits: Splits, name: str) -> Member:
    try:
        model = OnnxModel(section.onnx)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    said = model.metadata
    _check_kind(said, splits, f"{name}: {section.onnx}")
    if splits.numbers and (model.ends_in_softmax or model.ends_in_sigmoid):
        raise BadInput(
            f"{name}: {section.onnx} ends in a softmax or a sigmoid, which is undone, as for classes: for numbers export it with a "
            "linear last layer, or name the model with its weights."
        )
    try:
        named = model.names(splits.classes)
        sees = _normalisation(preprocess_said(said.get("input"), len(splits.mean)), splits, section.preprocess)
        channels, size = shape_of(splits)
        model.check_takes(channels, sees.size if sees and sees.size else size)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    notes = () if named or splits.numbers else tuple(by_position(section.title, splits.classes))
    if model.ends_in_sigmoid and len(splits.classes) > 2:
        notes = (
            *notes,
            f"{section.onnx} ends in a sigmoid, a yes or no for each class: what stands before it is taken for the logits "
            "of one class among all.",
        )
    return _fitting(Member(section, seed, model, sees, notes), splits, name)


def _check_kind(said: Mapping[str, Any], splits: Splits, file: str) -> None:
    """Raises :class:`BadInput` where a file of ours answers classes where numbers are wanted, numbers for classes, or others."""
    task, there, numbers = said.get("task"), said.get("numbers"), ", ".join(splits.numbers)
    if isinstance(task, str) and (task == "image-regression") != bool(splits.numbers):
        wanted = f"has numbers: name a model of {numbers}" if numbers else "has classes: name a model of these"
        raise BadInput(f"{file} was made for task: {task}, and the data {wanted}.")
    names = [one.get("name") for one in there if isinstance(one, dict)] if isinstance(there, list) else None
    if numbers and names is not None and names != list(splits.numbers):
        raise BadInput(f"{file} answers {', '.join(map(str, names))}, and the data's numbers are {numbers}.")


def preprocess_said(found: object, channels: int) -> Preprocess | None:
    """The preprocessing that a file of ours names. Raises :class:`BadInput` where it is for other images."""
    if not isinstance(found, dict):
        return None
    for side in (found.get("height"), found.get("width")):
        if isinstance(side, int) and side > LARGEST_SIZE:
            raise BadInput(
                f"teacher: the ONNX file's metadata claim images of {side} pixels a side, and {LARGEST_SIZE} is the most: "
                "export it again."
            )
    try:
        height, width = found["height"], found.get("width", found["height"])
        said = Preprocess.model_validate(
            {
                "mean": tuple(found["mean"]),
                "std": tuple(found["std"]),
                "size": height if height == width else (height, width),
            }
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        raise BadInput(
            f"what the file says of its input cannot be used ({'.'.join(map(str, wrong['loc']))}: {wrong['msg']}); give "
            "teacher.preprocess and a file without it."
        ) from None
    except (KeyError, TypeError):
        return None
    fits = said.mean and said.std and len(said.mean) == len(said.std) == channels
    return said if fits else None


def _normalisation(said: Preprocess | None, splits: Splits, asked: Preprocess | None = None) -> Normalisation | None:
    """What is asked, what is said where nothing is asked, and the data's own mean and deviation where neither is.

    Raises :class:`BadInput` where the channels are not the data's.
    """
    given = [one for one in (asked, said) if one is not None]
    if not given:
        return None
    mean = next((one.mean for one in given if one.mean), splits.mean)
    std = next((one.std for one in given if one.std), splits.std)
    channels = len(splits.mean)
    for field, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            other = f", or set data.channels: {len(values)}" if len(values) in (1, 3) else ""
            raise BadInput(
                f"teacher.preprocess.{field} holds {len(values)} value{'s' * (len(values) != 1)}, and the images have "
                f"{channels} channel{'s' * (channels != 1)}: give one for each{other}."
            )
    return Normalisation(mean, std, next((one.size for one in given if one.size), None))


def _fitting(member: Member, splits: Splits, name: str) -> Member:
    """The member, of two outputs where it had one for two classes. Raises :class:`BadInput` where it does not fit."""
    channels, size = shape_of(splits)
    size = member.sees.size if member.sees and member.sees.size else size
    notes, model, ready = list(member.notes), member.model, member.section.train is None
    if one := _one_logit(model, splits, channels, size):
        check_answers(model, splits, member.sees, name, ready=ready)
        notes.append(of_one_logit(name, splits.classes))
        if isinstance(model, OnnxModel):
            model.two_classes = True
        else:
            model = OneLogit(model)
    check_fits(
        model, classes=splits.answers.width, channels=channels, size=size, name=name, numbers=bool(splits.numbers)
    )
    if (
        splits.classes
        and not one
        and (doubtful := check_answers(model, splits, member.sees, name, ready=ready)) is not None
    ):
        notes.append(doubtful)
    some = torch.cat(_noise_and_images(splits, member.sees, ASKED_AGAIN))
    refuse_changing(model, some, name, OUTLINES["image-classification"])
    return replace(member, model=model, notes=tuple(notes))


def _one_logit(model: nn.Module, splits: Splits, channels: int, size: Size) -> bool:
    """Whether it gives one value for two classes; where it fails, :func:`check_fits` says so."""
    if len(splits.classes) != 2:
        return False
    try:
        answer = ask(model, torch.full((2, channels, *sides(size)), 0.5))
    except Exception:  # a model of any kind fails in any way
        return False
    return is_one_logit(answer, 2, len(splits.classes))
