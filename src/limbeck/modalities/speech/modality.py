"""Sounds: clips with a class each; models take their samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...deploy import published
from ...interfaces import Exportable, Graph, Inside, RaggedLogits
from ...interfaces.modality import Teachers
from ...nlp.anatomy import inside
from ...progress import Bar
from ...report.shown import Sound
from . import crowded, modality_ctc, predict
from .built import check_fits, network
from .card import sound_card
from .examples import Clips, Splits
from .export import exportable, sound_metadata
from .false_accepts import false_accepts, named, recordings_of
from .load import load as load_sounds
from .origins import origins_of_sounds
from .recipe import AudioRecipe, TeacherSection
from .recipe_ctc import SpeechRecipe
from .task import SoundClassification
from .task_ctc import SpeechRecognition
from .teachers import build_teachers, check_answers, fitted

AnyRecipe = AudioRecipe | SpeechRecipe
AnyTask = SoundClassification | SpeechRecognition

# Parity is checked on so many test clips at most: enough to see one disagreement in a thousand several times over.
PARITY_CLIPS = 5000
AT_ONCE = 256


def load(recipe: AnyRecipe, progress: Bar | None = None, *, trust_code: bool = False) -> Splits:
    """The splits of the recipe's data."""
    splits = load_sounds(recipe.data, progress)
    background = None if isinstance(recipe, SpeechRecipe) else recipe.data.background
    return splits if background is None else replace(splits, measured_on=named(background))


def origins(recipe: AnyRecipe, splits: Splits) -> dict[str, dict[str, list[Any]]]:
    """The row of each clip in its split as it is stored, counted from 0, and its file where it has one."""
    return origins_of_sounds(recipe.data, splits)


def teachers_of(recipe: AnyRecipe, splits: Splits, *, trust_code: bool) -> Teachers:
    """The recipe's teachers."""
    if isinstance(recipe, SpeechRecipe):
        return modality_ctc.teachers_of(recipe, splits, trust_code=trust_code)
    return build_teachers(recipe, splits, trust_code=trust_code)


def given_teacher(model: nn.Module, recipe: AnyRecipe, splits: Splits) -> Teachers:
    """A person's own module as the teacher."""
    if isinstance(recipe, SpeechRecipe):
        return modality_ctc.given_teacher(model, recipe, splits)
    assert isinstance(recipe.teacher, TeacherSection)
    return fitted(model, recipe.teacher, recipe.seed, splits)


def student_of(
    recipe: AnyRecipe, splits: Splits, teachers: Teachers, *, trust_code: bool
) -> Callable[[int], nn.Module]:
    """What makes the recipe's student for a seed."""
    return lambda seed: network(recipe.student, splits, trust_code=trust_code, seed=seed)


def check(model: nn.Module, splits: Splits, name: str) -> None:
    """Raises :class:`BadInput` where a model does not fit the clips."""
    if splits.answers.ragged:
        modality_ctc.check(model, splits, name)
        return
    check_fits(model, splits, name)
    check_answers(model, splits, name)


def task_of(recipe: AnyRecipe, splits: Splits, teachers: Teachers, device: torch.device) -> AnyTask:
    """The task."""
    sections = [recipe.views, *(one.section.views for one in teachers.members if getattr(one.section, "views", None))]
    noises = [views.noise for views in sections if views.noise is not None]
    if isinstance(recipe, SpeechRecipe):
        return modality_ctc.task_of(recipe, splits, teachers.model, device, noises)
    background = recipe.data.background
    return SoundClassification(splits, view_seed=recipe.seed, device=device, noises=noises, background=background)


def starts_from_teacher(recipe: AnyRecipe) -> bool:
    """None does."""
    return False


def layers(model: nn.Module, asking: str, role: str) -> Inside:
    """Where its layers are; the families of :mod:`limbeck.nlp.anatomy` alone are known, such as a person's own."""
    return inside(model, asking, role)


def notes_on(student: nn.Module, splits: Splits) -> list[str]:
    """Transcripts that have more symbols than the student has frames for."""
    return crowded.notes_of(splits, "student", student) if splits.answers.ragged else []


def data_facts(splits: Splits, task: AnyTask) -> dict[str, Any]:
    """The rate, how long a window is, and what of the clips did not fit it."""
    if isinstance(task, SpeechRecognition):
        return modality_ctc.facts(splits, task)
    assert splits.samples is not None
    seconds = splits.samples / splits.rate
    sound = {"rate": splits.rate, "samples": splits.samples, "counted": splits.counted}
    return {"about": f"sounds of {seconds:g} s at {splits.rate:,} Hz", "sound": sound}


def exportables(model: nn.Module, task: AnyTask, role: str) -> dict[str, Exportable]:
    """One graph, from samples to logits; none of a recogniser that gives transcripts."""
    if isinstance(task, SpeechRecognition):
        return modality_ctc.exportables(model, task, role)
    metadata = sound_metadata(model, name=role, classes=task.classes, rate=task.rate, samples=task.samples)
    return {role: exportable(model, metadata)}


def beside(model: nn.Module, task: AnyTask, role: str, folder: Path) -> tuple[str, ...]:
    """Nothing: the file says all."""
    return ()


def sample(examples: Clips) -> Clips:
    """The first of them."""
    most = PARITY_CLIPS if examples.labels is None or examples.labels.ndim == 1 else modality_ctc.PARITY_CLIPS
    return examples.take(torch.arange(min(len(examples), most)))


def answered(
    graphs: Mapping[str, Graph], model: nn.Module, task: AnyTask, role: str, examples: Clips
) -> Tensor | RaggedLogits:
    """Logits (N, C), or at the frames of each clip."""
    if isinstance(task, SpeechRecognition):
        return modality_ctc.answered(graphs, model, examples)
    (ask,) = graphs.values()
    parts = torch.arange(len(examples), device=examples.ids.device).split(AT_ONCE)
    given = (examples.padded(index_B, task.samples)[0].cpu().contiguous() for index_B in parts)
    return torch.cat([torch.from_numpy(ask({"samples": one_BS.numpy()})[0]) for one_BS in given])


def measured(model: nn.Module, task: AnyTask, splits: Splits) -> dict[str, float]:
    """False accepts an hour, where there is background sound to count them on."""
    if isinstance(task, SpeechRecognition) or task.background is None:
        return {}
    recordings = recordings_of(task.background, task.rate)
    return false_accepts(model, recordings, task.samples, task.rate, task.background.threshold)


def in_use(models: Any, task: Any, splits: Any, progress: Any) -> None:
    """None: what a model of sounds is worth its answers tell."""
    return None


def publish(export: Path, student_weights: Path, out: Path, results: Mapping[str, Any]) -> None:
    """What :func:`limbeck.deploy.published.publish` copies."""
    config, card = published.config_of(results), sound_card(results)
    published.publish(export, student_weights, out, script=predict.__name__, config=config, card=card)


def show(examples: Clips) -> Callable[[int], Sound]:
    """A test clip by its position: all of it, as long as it is."""

    def sound(position: int) -> Sound:
        return Sound(examples.waveform(position).cpu().numpy(), examples.rate)

    return sound
