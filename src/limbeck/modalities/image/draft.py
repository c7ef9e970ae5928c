"""What `limbeck init` writes for images: it looks at the teacher and at the data, and sizes a student by them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...deploy.metadata import task_of
from ...deploy.sizing import size_sentences
from ...errors import BadInput, printable
from ...sections.drafting import Drafted, flow, knob_lines
from ...sections.teacher import Model
from ...vision.networks import CONVNET, KNOBS, MEANINGS, MOBILE, PILOTNET, RESNETS
from . import OUTLINES
from .draft_models import (
    Found,
    is_file_of_weights,
    size_as,
    teacher_lines,
    train_for,
    width_for,
)
from .draft_views import flip_for, views_for
from .recipe import Data, NumberData

# A table by itself is read as texts.
_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


def plainly(teacher: str, data: str) -> bool:
    """Whether a teacher and data plainly are of images, by their names and what an ONNX file says alone."""
    file = Path(teacher.partition("#")[0]).expanduser()
    if file.suffix == ".onnx":
        task = task_of(file)
        return task in OUTLINES if task else not file.with_name("tokenizer.json").is_file()
    return (
        teacher in KNOBS
        or re.fullmatch(r"resnet\d+(x4)?|wrn_\d+_\d+", teacher) is not None
        or teacher.startswith("timm/")
        or is_file_of_weights(teacher)
    )


def draft(task: str, teacher: str, data: str, student: str | None, given: Mapping[str, Any]) -> Drafted:
    """The recipe, and what to say of it; `given` are other fields of data. Raises `BadInput` as :func:`look_at_data` and :func:`recipe`."""
    if Path(data).suffix.lower() in _TABLES and not Path(data).is_dir():
        folders, labels = "with one sub-folder for each class, or ", "whose column label holds its class"
        if task == "image-regression":
            folders, labels = "", "whose other columns hold its numbers"
        raise BadInput(
            f"--data {data}: {teacher} is a model of images, and a table by itself is read as texts: paths in it are not followed. Name the "
            f"folder of the images, {folders}with a table metadata.csv in it, whose column file_name holds each image's path inside "
            f"that folder and {labels}. (For texts, name a teacher of texts.)"
        )
    if task == "image-regression":
        return recipe_of_numbers(teacher, look_at_data(data, given, NumberData), student or PILOTNET)
    return recipe(teacher, look_at_data(data, given), student or "convnet")


def look_at_data(name: str, given: Mapping[str, Any] | None = None, kind: type[Data] = Data) -> Found:
    """Reads the training split of a data set; `given` are other fields of data. Raises `BadInput` where it cannot be read.

    A validation split of the data's own is taken, and a test split without labels is not.
    """
    from ... import progress
    from .examples import shape_of
    from .load import load, own_fields

    given = {**own_fields(kind(name=name, **(given or {}))), **(given or {})}
    splits = load(kind(name=name, **given), progress.bar)
    channels, size = shape_of(splits)
    counts = len(splits.train), splits.answers.width
    about = {"names": splits.answers.names, "notes": splits.notes, "mean": splits.mean, "std": splits.std}
    about["numbers"] = bool(splits.numbers)
    return Found(name, *counts, channels, size, len(splits.validation), splits.test.count, given, **about)


def recipe_of_numbers(teacher: str, found: Found, student: str) -> Drafted:
    """The recipe of a regression. Raises `BadInput` as :func:`recipe` does."""
    lines_teacher, of_teacher, *remarks = teacher_lines(teacher, found)
    noted = [f"Noted: {' '.join(note.split())}" for note in (*found.notes, *remarks)]
    knobs = {
        CONVNET: {"width": width_for(found)},
        MOBILE: {"width": width_for(found)},
        PILOTNET: {"width": 8, "hidden": 8},
    }.get(student, {})
    sizes = size_sentences(
        teacher, of_teacher, student, size_as(Model.model_validate({"model": student, **knobs}), found, "student")
    )
    why = (
        "Pictures vary in brightness and contrast alone: a number that says where something is changes with every shift, crop and "
        "mirror image, and nothing in the data says whether this one does. Where it stays (an age, a count), views: {shift: 0.05} "
        f"and the like teach more; where a mirror image turns its sign, say flip: true and flip_turns: [{found.names[0]}], where it "
        "changes none, flip_turns: []."
    )
    places = _of_places(teacher, student)
    kind = "grey" if found.channels == 1 else "colour"
    lines = [
        f"# A recipe to start from: {found.examples:,} training examples, {kind} images of {found.sides[1]}x{found.sides[0]} "
        f"pixels, and of each: {printable(', '.join(found.names))}.",
        *(f"# Beware: {printable(warning)}" for warning in found.warnings),
        *(f"# {printable(note)}" for note in noted),
        "# Every field is described in docs/recipe.md, and regression in docs/regression.md.",
        "task: image-regression",
        f"data: {flow({'name': found.name, **found.given})}",
        "",
        f"# {printable(why)}",
        "views: {color: {brightness: 0.3, contrast: 0.3}}",
        "",
        *lines_teacher,
        "",
        "# The teacher answers so many views of each example, once; then students learn from what it said.",
        "targets: {views: 8}",
        "",
        *(f"# {printable(line)}" for line in (*sizes, places)),
        f"student: {flow({'model': student, **knobs})}",
        *_knobs(student, knobs, found),
        "",
        "# Its numbers and the labels, both by the squared error; huber and huber_values are moved less by a few that are far off,",
        "# and bounded_regression asks for no more than the teacher can do.",
        "objective:",
        "  mse_values: {weight: 0.5}",
        "  mse: {weight: 0.5}",
        "",
        f"train: {flow(train_for(found, 4_000_000, most=60))}",
        "",
        "# Students (and baselines) trained, for mean and standard deviation; 3 or 5 for results to rely on.",
        "seeds: 1",
    ]
    return Drafted("\n".join(lines) + "\n", (*sizes, why, places, *noted), found.warnings)


def _of_places(teacher: str, student: str) -> str:
    """Whether both networks can tell where something is, which most numbers of pictures follow from."""
    forgetful = [
        f"{role} {model}"
        for role, model in (("teacher", teacher), ("student", student))
        if model in (CONVNET, MOBILE) or re.fullmatch(r"resnet\d+(x4)?|wrn_\d+_\d+", model)
    ]
    if not forgetful:
        return "pilotnet reads its last maps place by place, for numbers that say where something is; convnet averages them."
    return (
        f"Beware: {' and '.join(forgetful)} {'averages its' if len(forgetful) == 1 else 'average their'} last maps, which forgets where "
        "something was. For a number that follows from a place (a course, a corner of a box) take pilotnet."
    )


def recipe(teacher: str, found: Found, student: str = "convnet") -> Drafted:
    """The recipe for data that was looked at. Raises `BadInput` where a model is unknown or does not fit the data."""
    lines_teacher, of_teacher, *remarks = teacher_lines(teacher, found)
    noted = [f"Noted: {' '.join(note.split())}" for note in (*found.notes, *remarks)]
    knobs = {"width": width_for(found)} if student in (CONVNET, MOBILE) else {}
    small = size_as(Model.model_validate({"model": student, **knobs}), found, "student")
    sizes = size_sentences(teacher, of_teacher, student, small)
    flips, why = flip_for(found.name, found.names)
    examples = f"{found.examples:,} training examples, {found.classes} classes, "
    kind = "grey" if found.channels == 1 else "colour"
    lines = [
        f"# A recipe to start from: {examples}{kind} images of {found.sides[1]}x{found.sides[0]} pixels.",
        *(f"# Beware: {printable(warning)}" for warning in found.warnings),
        *(f"# {printable(note)}" for note in noted),
        "# Every field is described in docs/recipe.md; `limbeck recipe schema` lets an editor complete them.",
        "task: image-classification",
        f"data: {flow({'name': found.name, **found.given})}",
        "",
        "# How examples are varied, for the soft targets and for the student alike.",
        f"# {printable(why)}",
        f"views: {flow(views_for(min(found.sides), flips))}",
        "",
        *lines_teacher,
        "",
        "# The teacher answers so many views of each example, once; then students learn from what it said.",
        "targets: {views: 8}",
        "",
        *(f"# {printable(line)}" for line in sizes),
        "# (MACs: multiply-accumulates of one pass. A run measures the exported file.)",
        f"student: {flow({'model': student, **knobs})}",
        *_knobs(student, knobs, found),
        "",
        "# Softened answers of the teacher, and a little of the labels. Try temperatures from 1 to 8;",
        "# `limbeck objectives` lists what else there is to match.",
        "objective:",
        "  kd: {temperature: 4, weight: 0.9}",
        "  cross_entropy: {weight: 0.1}",
        "",
        f"train: {flow(train_for(found, 4_000_000, most=60))}",
        "",
        "# Students (and baselines) trained, for mean and standard deviation; 3 or 5 for results to rely on.",
        "seeds: 1",
    ]
    return Drafted("\n".join(lines) + "\n", (*sizes, why, *noted), found.warnings)


def _knobs(student: str, there: dict[str, Any], found: Found) -> list[str]:
    """Comments that say what of the student can be changed, and what that makes of its size."""
    from ...vision.convnet import ConvNet
    from ...vision.mobile import MobileNet

    if ":" in student:
        return ["# Whatever keyword arguments the callable has are its knobs: they stand beside its name."]
    if student.startswith("timm/"):
        return ["# Keyword arguments of timm's model are its knobs (drop_rate: 0.1): they stand beside its name."]
    if student == PILOTNET:
        return ["# Its knobs: width (channels of its first convolution) and hidden (units behind the last)."]
    if student not in (CONVNET, MOBILE):
        others = ", ".join(RESNETS) if student.startswith("resnet") else "wrn_DEPTH_WIDTH, with a depth of 6n + 4"
        return [
            f"# It has no knobs; its family comes in sizes: {others}.",
            "# convnet and mobile have knobs, and are made for small devices.",
        ]
    usual = inspect.signature(ConvNet if student == CONVNET else MobileNet).parameters
    known = {}
    for name, allowed in KNOBS[student].items():
        spelled = ", ".join(map(str, allowed)) if isinstance(allowed, tuple) else f"{allowed[0]} to {allowed[-1]}"
        default = "" if name in there else f" ({usual[name].default} where not given)"
        known[name] = (f"{spelled}{default}", MEANINGS[student][name])
    widths = (there["width"] // 2, there["width"] * 2)
    sizes = {
        width: size_as(Model.model_validate({"model": student, "width": width}), found, "student") for width in widths
    }
    return [*knob_lines(known, there), *(f"#   With width: {width}, {size}." for width, size in sizes.items())]
