"""Images: pictures with a class or numbers each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...deploy import published
from ...errors import BadInput, did_you_mean
from ...files import write_json
from ...interfaces import Exportable, Graph, Inside
from ...interfaces.modality import Teachers
from ...nlp.anatomy import inside
from ...progress import Bar
from ...report.shown import Picture
from ...vision.build import check_fits
from ...vision.inputs import Normalisation
from ...vision.pixels import sides
from ...vision.prune import record_of
from . import predict
from .card import config_of, image_card
from .examples import Examples, Splits, shape_of
from .export import exportable, image_metadata, numbers_of
from .load import load as load_images
from .networks import network
from .origins import origins_of_images
from .pruned import notes_on_pruned, pruned_student, seen_otherwise
from .recipe import ImageRecipe, TeacherSection
from .task import ImageClassification, ImageRegression, ImageTask
from .teachers import build_teachers, check_answers, fitted

# Parity is checked on so many test images at most: enough to see one disagreement in a thousand several times over.
PARITY_IMAGES = 5000
AT_ONCE = 256
WIDTHS = "student-widths.json"  # beside the export of a pruned student


def load(recipe: ImageRecipe, progress: Bar | None = None, *, trust_code: bool = False) -> Splits:
    """The splits of the recipe's data."""
    return load_images(recipe.data, progress)


def origins(recipe: ImageRecipe, splits: Splits) -> dict[str, dict[str, list[Any]]]:
    """The row of each image in its split as it is stored, counted from 0, and its file where it has one."""
    return origins_of_images(recipe.data, splits)


def teachers_of(recipe: ImageRecipe, splits: Splits, *, trust_code: bool) -> Teachers:
    """The recipe's teachers."""
    teachers = build_teachers(recipe, splits, trust_code=trust_code)
    return replace(
        teachers, notes=(*teachers.notes, *_scaled_twice(teachers, splits), *seen_otherwise(recipe, teachers))
    )


def given_teacher(model: nn.Module, recipe: ImageRecipe, splits: Splits) -> Teachers:
    """A person's own module as the teacher."""
    assert isinstance(recipe.teacher, TeacherSection)
    return fitted(model, recipe.teacher, recipe.seed, splits)


def student_of(
    recipe: ImageRecipe, splits: Splits, teachers: Teachers, *, trust_code: bool
) -> Callable[[int], nn.Module]:
    """What makes the recipe's student for a seed."""
    if recipe.student.pruned is not None:
        return pruned_student(recipe, splits, teachers)
    return lambda seed: network(recipe.student, splits, trust_code=trust_code, seed=seed)


def check(model: nn.Module, splits: Splits, name: str) -> None:
    """Raises :class:`BadInput` where a model does not fit the images."""
    channels, size = shape_of(splits)
    width, numbers = splits.answers.width, bool(splits.numbers)
    check_fits(model, classes=width, channels=channels, size=size, name=name, numbers=numbers)
    if not numbers:
        check_answers(model, splits, None, name)


def task_of(recipe: ImageRecipe, splits: Splits, teachers: Teachers, device: torch.device) -> ImageTask:
    """The task. Raises :class:`BadInput` where the views turn the sign of a number that there is not."""
    sections = [recipe.views, *(one.section.views for one in teachers.members if getattr(one.section, "views", None))]
    for name in (name for views in sections for name in views.turned):
        if name not in splits.numbers:
            raise BadInput(
                f"views.flip_turns: '{name}' is no number of the data's.{did_you_mean(name, splits.numbers)} They are "
                f"{', '.join(splits.numbers)}."
            )
    return (ImageRegression if splits.numbers else ImageClassification)(
        splits,
        normalisation=Normalisation(splits.mean, splits.std),
        teacher_normalisation=teachers.sees,
        view_seed=recipe.seed,
        device=device,
    )


def starts_from_teacher(recipe: ImageRecipe) -> bool:
    """A pruned one is."""
    return recipe.student.pruned is not None


def layers(model: nn.Module, asking: str, role: str) -> Inside:
    """Where its layers are; of networks of images the families of :mod:`limbeck.nlp.anatomy` alone are known, such as a person's own."""
    return inside(model, asking, role)


def notes_on(student: nn.Module, splits: Splits) -> list[str]:
    """What stayed of its teacher, where it is pruned."""
    return notes_on_pruned(student)


def data_facts(splits: Splits, task: ImageTask) -> dict[str, Any]:
    """The images' channels, height and width; and what numbers are in."""
    shape = list(splits.train.images.shape[1:])
    unit = {"unit": list(splits.unit)} if splits.unit else {}
    return {"image": shape, "about": f"images {'×'.join(map(str, shape))}", **unit}


def exportables(model: nn.Module, task: ImageTask, role: str) -> dict[str, Exportable]:
    """One graph; its file says what is to be done to an image before it."""
    normalise, (channels, *sides_of) = _seen(task, role), task.train.images.shape[1:]
    height, width = sides(normalise.size) if normalise.size is not None else sides_of
    metadata = image_metadata(
        name=role,
        classes=task.classes,
        numbers=numbers_of(task.answers, task.unit) if task.answers.kind == "values" else None,
        channels=channels,
        height=height,
        width=width,
        mean=normalise.mean,
        std=normalise.std,
        background=task.how.background,
        bits=task.how.bits,
        crop={"rows": task.how.rows, "columns": task.how.columns},
    )
    return {role: exportable(model, metadata)}


def beside(model: nn.Module, task: ImageTask, role: str, folder: Path) -> tuple[str, ...]:
    """Nothing, for the file says all; of a student that is a pruned teacher its widths, for :func:`publish`."""
    record = record_of(model) if role == "student" else None
    if record is None:
        return ()
    write_json(folder / WIDTHS, record.widths)
    return (WIDTHS,)


def sample(examples: Examples) -> Examples:
    """The first of them."""
    return examples.take(torch.arange(min(len(examples), PARITY_IMAGES)))


def answered(graphs: Mapping[str, Graph], model: nn.Module, task: ImageTask, role: str, examples: Examples) -> Tensor:
    """Logits (N, C) or numbers (N, D)."""
    (ask,), normalise = graphs.values(), _seen(task, role)
    given = (normalise(_unit(part.cpu())).contiguous() for part in examples.images.split(AT_ONCE))
    return torch.cat([torch.from_numpy(ask({"image": one_BCHW.float().numpy()})[0]) for one_BCHW in given])


def measured(model: nn.Module, task: ImageTask, splits: Splits) -> dict[str, float]:
    """None: what a network of images is worth its answers tell."""
    return {}


def _seen(task: ImageTask, role: str) -> Normalisation:
    """What the input of a model goes through."""
    return task.normalisation if role == "student" else task.teacher_sees or task.normalisation


def in_use(models: Any, task: Any, splits: Any, progress: Any) -> None:
    """None: what a network of images is worth its answers tell."""
    return None


def publish(export: Path, student_weights: Path, out: Path, results: Mapping[str, Any]) -> None:
    """What :func:`limbeck.deploy.published.publish` copies."""
    widths = json.loads((export / WIDTHS).read_text(encoding="utf-8")) if (export / WIDTHS).exists() else None
    config, card = config_of(results, widths), image_card(results)
    published.publish(export, student_weights, out, script=predict.__name__, config=config, card=card)


def show(examples: Examples) -> Callable[[int], Picture]:
    """A test picture by its position."""

    def picture(position: int) -> Picture:
        one_CHW = examples.images[position].cpu()
        if one_CHW.is_floating_point():
            one_CHW = (one_CHW * 255).round().clamp(0, 255).to(torch.uint8)
        return Picture(one_CHW.permute(1, 2, 0).numpy())

    return picture


def _scaled_twice(teachers: Teachers, splits: Splits) -> list[str]:
    """What teachers lose that see images scaled up again, after ``data.size`` scaled the files down."""
    size = min(splits.train.images.shape[-2:])
    largest = max((min(sides(one.sees.size)) for one in teachers.members if one.sees and one.sees.size), default=0)
    if splits.side is None or not size < min(splits.side, largest):
        return []
    return [
        f"data.size: {size} takes detail from files of up to {splits.side} pixels a side before the teacher, which takes "
        f"{largest}x{largest}, sees them scaled up again; that may cost it much of its accuracy. Either set data.size: "
        f"{min(splits.side, largest)} (the student then takes as many pixels), or use a teacher that was trained on images of "
        f"{size}x{size}, such as one trained here (teacher.train, without preprocess.size)."
    ]


def _unit(images: Tensor) -> Tensor:
    """Images on a 0-1 scale."""
    return images if images.is_floating_point() else images.float() / 255
