"""The teachers that a recipe names: built, each with what its input goes through, and made into one where they are several.

Shapes: K teachers, B batch, C channels (or classes), H and W rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .data.examples import Splits
from .errors import BadInput
from .models.build import build, check_fits
from .models.onnx_file import OnnxModel
from .objectives.functional.teachers import by_confidence, mean_logits, mean_probabilities
from .recipe import Ensemble, ImageRecipe, OnnxTeacher, Preprocess, TeacherSection
from .recipe_text import TextTeacher
from .tasks.image import Normalisation

COMBINATIONS = ("probabilities", "logits", "confidence")


@dataclass(frozen=True)
class Member:
    """One teacher: the only one, or one of an ensemble."""

    section: TeacherSection | OnnxTeacher | TextTeacher
    seed: int
    model: nn.Module
    sees: Normalisation | None  # what its input goes through; None: what the student's does


@dataclass(frozen=True)
class Teachers:
    """What answers, and the members that it is made of (one where it is a single teacher)."""

    model: nn.Module
    sees: Normalisation | None
    members: tuple[Member, ...]
    notes: tuple[str, ...] = ()  # what had to be taken for granted, in sentences


class Prepared(nn.Module):
    """A model with what its input goes through, which is kept with the state."""

    settings: Tensor

    def __init__(self, model: nn.Module, sees: Normalisation) -> None:
        super().__init__()
        self.model, self.sees = model, sees
        settings = torch.tensor([*sees.mean, *sees.std, sees.size or 0], dtype=torch.float32)
        self.register_buffer("settings", settings)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.model(self.sees(images_BCHW))


class Together(nn.Module):
    """Logits (B, C), float32, of images (B, channels, H, W): what K teachers say of them, put together at temperature 1.

    ``probabilities``: the logarithm of their mean probability; ``logits``: their mean logit; ``confidence``: as the
    first, each weighing by how sure it is of the very image (by its entropy, since a teacher sees no label). See
    :mod:`limbeck.objectives.functional.teachers`. ``weights`` (K,) are for the first two; None: equal. Weights and
    the way are kept with the state: they are part of what identifies the module.
    """

    shares: Tensor
    way: Tensor

    def __init__(self, members: Sequence[nn.Module], combine: str, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.members, self.combine, self.weights = nn.ModuleList(members), combine, weights
        self.register_buffer("shares", torch.tensor(weights or [1.0] * len(members), dtype=torch.float32))
        self.register_buffer("way", torch.tensor(COMBINATIONS.index(combine)))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits = [member(images_BCHW).float() for member in self.members]
        if self.combine == "logits":
            return mean_logits(logits, weights=self.weights)
        if self.combine == "confidence":
            return by_confidence(logits)
        return mean_probabilities(logits, weights=self.weights)


def build_teachers(recipe: ImageRecipe, splits: Splits, *, trust_code: bool) -> Teachers:
    """The teachers of a recipe, their starting weights loaded.

    Raises :class:`BadInput` where one cannot be built, or does not fit the data: says which and why.
    """
    section = recipe.teacher
    if not isinstance(section, Ensemble):
        return alone(_member(section, recipe.seed, splits, trust_code, "teacher"))
    members = []
    for k, one in enumerate(section.ensemble):
        # a model that is listed again starts from another seed, or it would be the same teacher twice
        seed = recipe.seed + section.ensemble[:k].count(one)
        members.append(_member(one, seed, splits, trust_code, f"teacher in teacher.ensemble.{k}"))
    return together(members, section, splits)


def alone(member: Member) -> Teachers:
    """A single teacher."""
    return Teachers(member.model, member.sees, (member,))


def together(members: Sequence[Member], section: Ensemble, splits: Splits) -> Teachers:
    """An ensemble: it takes images on a 0-1 scale, and each member prepares them for itself."""
    plain = Normalisation(splits.mean, splits.std)
    inner = [Prepared(member.model, member.sees or plain) for member in members]
    channels = len(splits.mean)
    as_they_are = Normalisation((0.0,) * channels, (1.0,) * channels)
    return Teachers(Together(inner, section.combine, section.weights), as_they_are, tuple(members))


def given_teacher(model: nn.Module, section: TeacherSection, seed: int, splits: Splits) -> Teachers:
    """A person's own module as the teacher. Raises :class:`BadInput` where it does not fit the data."""
    return alone(_fitting(Member(section, seed, model, _normalisation(section.preprocess, splits)), splits, "teacher"))


def _member(section: TeacherSection | OnnxTeacher, seed: int, splits: Splits, trust_code: bool, name: str) -> Member:
    if isinstance(section, OnnxTeacher):
        return _of_file(section, seed, splits, name)
    sees = _normalisation(section.preprocess, splits)
    _, channels, size, _ = splits.train.images.shape
    shape = {"classes": len(splits.classes), "channels": channels, "size": sees.size if sees and sees.size else size}
    model = build(section, **shape, trust_code=trust_code, seed=seed)
    return _fitting(Member(section, seed, model, sees), splits, name)


def _of_file(section: OnnxTeacher, seed: int, splits: Splits, name: str) -> Member:
    try:
        model = OnnxModel(section.onnx)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    said = model.metadata
    classes = said.get("classes")
    if isinstance(classes, list) and len(classes) == len(splits.classes) and classes != list(splits.classes):
        first = next(k for k, (a, b) in enumerate(zip(classes, splits.classes)) if a != b)
        raise BadInput(
            f"{name}: {section.onnx} was made for other classes than the data's: its class {first} is "
            f"'{classes[first]}', the data's is '{splits.classes[first]}'. Name the data that it was made for."
        )
    sees = _normalisation(_said(said.get("input"), len(splits.mean)), splits, section.preprocess)
    _, channels, size, _ = splits.train.images.shape
    try:
        model.check_takes(channels, sees.size if sees and sees.size else size)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    return _fitting(Member(section, seed, model, sees), splits, name)


def _said(found: object, channels: int) -> Preprocess | None:
    """The preprocessing that a file of ours names."""
    if not isinstance(found, dict):
        return None
    try:
        said = Preprocess.model_validate(
            {"mean": tuple(found["mean"]), "std": tuple(found["std"]), "size": found["height"]}
        )
    except (KeyError, TypeError, ValueError):
        return None
    fits = said.mean and said.std and len(said.mean) == len(said.std) == channels
    return said if fits else None


def _normalisation(said: Preprocess | None, splits: Splits, asked: Preprocess | None = None) -> Normalisation | None:
    """What is asked, what is said where nothing is asked, and the data's own mean and deviation where neither is."""
    given = [one for one in (asked, said) if one is not None]
    if not given:
        return None
    mean = next((one.mean for one in given if one.mean), splits.mean)
    std = next((one.std for one in given if one.std), splits.std)
    return Normalisation(mean, std, next((one.size for one in given if one.size), None))


def _fitting(member: Member, splits: Splits, name: str) -> Member:
    _, channels, size, _ = splits.train.images.shape
    size = member.sees.size if member.sees and member.sees.size else size
    check_fits(member.model, classes=len(splits.classes), channels=channels, size=size, name=name)
    return member
