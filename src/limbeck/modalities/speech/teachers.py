"""The teachers that a recipe of sounds names: built, held to the data, and made into one where they are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...errors import BadInput
from ...interfaces.modality import Member, Teachers
from ...models.ensemble import Together
from ...models.inference import ask
from ...models.labels import by_position
from ...models.outputs import ASKED, refuse_changing, refuse_probabilities
from ...sections.teacher import OnnxTeacher, seeds_of
from . import OUTLINES
from .built import check_fits, network, parts_of
from .examples import Splits
from .families import elsewhere
from .onnx_file import SoundOnnx
from .recipe import AudioRecipe, Ensemble, TeacherSection

# Clips that a teacher is asked about more than once.
ASKED_AGAIN = 4


def build_teachers(recipe: AudioRecipe, splits: Splits, *, trust_code: bool) -> Teachers:
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
    return together(members, section)


def alone(member: Member) -> Teachers:
    """A single teacher."""
    return Teachers(member.model, None, (member,), member.notes)


def together(members: Sequence[Member], section: Ensemble) -> Teachers:
    """An ensemble: all hear the same samples."""
    notes = tuple(dict.fromkeys(note for member in members for note in member.notes))
    model = Together([member.model for member in members], section.combine, section.weights)
    return Teachers(model, None, tuple(members), notes)


def fitted(model: nn.Module, section: TeacherSection, seed: int, splits: Splits) -> Teachers:
    """A person's own module as the teacher. Raises :class:`BadInput` where it does not fit the data."""
    return alone(_fitting(Member(section, seed, model, None), splits, "teacher"))


def check_answers(model: nn.Module, splits: Splits, name: str, *, ready: bool = False) -> str | None:
    """A sentence where a model's answers to some clips are in doubt; None where they are logits.

    ``ready``: it is used as it comes. Raises :class:`BadInput` where they are probabilities.
    """
    return refuse_probabilities(ask(model, _some(splits, ASKED)).float().cpu(), name, ready=ready)


def _some(splits: Splits, count: int) -> Tensor:
    return torch.cat(list(parts_of(splits.train, splits.samples, count)))


def _member(section: TeacherSection | OnnxTeacher, seed: int, splits: Splits, trust_code: bool, name: str) -> Member:
    if isinstance(section, OnnxTeacher):
        return _of_file(section, seed, splits, name)
    notes: list[str] = []
    model = network(section, splits, trust_code=trust_code, seed=seed, notes=notes)
    if section.train is None and not elsewhere(section.model):
        notes += by_position(section.title, splits.classes)
    return _fitting(Member(section, seed, model, None, tuple(notes)), splits, name)


def _of_file(section: OnnxTeacher, seed: int, splits: Splits, name: str) -> Member:
    try:
        model = SoundOnnx(section.onnx)
        model.check_takes(splits.rate, splits.samples)
        named = model.names(splits.classes)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    notes = () if named else tuple(by_position(section.title, splits.classes))
    return _fitting(Member(section, seed, model, None, notes), splits, name)


def _fitting(member: Member, splits: Splits, name: str) -> Member:
    """The member, with what is in doubt of it. Raises :class:`BadInput` where it does not fit."""
    check_fits(member.model, splits, name)
    doubtful = check_answers(member.model, splits, name, ready=member.section.train is None)
    refuse_changing(member.model, _some(splits, ASKED_AGAIN), name, OUTLINES["audio-classification"])
    return member if doubtful is None else replace(member, notes=(*member.notes, doubtful))
