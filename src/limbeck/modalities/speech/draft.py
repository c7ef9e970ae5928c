"""What `limbeck init` writes for sounds: it looks at the data, and sizes a student by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ...deploy.metadata import task_of
from ...deploy.sizing import Size, size_of, size_sentences
from ...errors import BadInput, printable
from ...sections.drafting import Drafted, coarse, flow, knob_lines
from ...sections.teacher import Model
from . import OUTLINES, draft_ctc
from .data_sections import ENDINGS
from .families import CLASSIFIERS, DEFAULTS, ENCODERS, KNOBS, MEANINGS
from .recipe import Data

_FILES_LOOKED_AT = 1_000
FEW_TO_TRAIN = 1000  # below this what is learnt is mostly chance
_WEIGHTS = (".safetensors", ".pt", ".pth", ".th", ".bin", ".ckpt", ".tar")


@dataclass(frozen=True)
class Found:
    """What was seen of the data."""

    name: str
    examples: int  # in train, after validation is carved off
    classes: tuple[str, ...]
    rate: int
    samples: int
    validation: int
    test: int | None
    given: Mapping[str, Any] = field(default_factory=dict)  # other fields of data, as a person named them
    notes: Sequence[str] = ()  # what was read, in sentences

    @property
    def warnings(self) -> list[str]:
        """What so few examples mean for the figures, in sentences; usually nothing."""
        said = []
        if self.examples < FEW_TO_TRAIN:
            said.append(
                f"{self.examples:,} training sounds are few: strong views (noise at 10 dB) and a transfer set of sounds without "
                "labels (data.transfer) make up for some of it; train several seeds."
            )
        if self.given.get("test", "test") is None:
            said.append("no test split is named, or it has no labels, so one is carved from train (data.test: null).")
        return [*said, *coarse("sounds", self.validation, self.test)]


def plainly(teacher: str, data: str) -> bool:
    """Whether a teacher and data plainly are of sounds, by their names and what lies there alone."""
    file = Path(teacher).expanduser()
    if file.suffix == ".onnx":
        return task_of(file) in OUTLINES
    if teacher in KNOBS:
        return True
    folder = Path(data).expanduser()
    if ":" not in teacher or not folder.is_dir():
        return False
    return any(one.suffix.lower() in ENDINGS for one in islice(folder.rglob("*"), _FILES_LOOKED_AT))


def draft(task: str, teacher: str, data: str, student: str | None, given: Mapping[str, Any]) -> Drafted:
    """The recipe, and what to say of it; `given` are other fields of data. Raises `BadInput` where the data cannot be read, or a
    model is not known or does not fit it."""
    if task == "automatic-speech-recognition":
        if teacher in CLASSIFIERS:
            raise BadInput(
                f"--teacher {teacher}: gives one answer a sound; what is said is spelt by {', '.join(ENCODERS)}."
            )
        return draft_ctc.draft(teacher, data, student, given)
    if teacher in ENCODERS:
        raise BadInput(
            f"--teacher {teacher}: spells what is said; for transcripts add --task automatic-speech-recognition, and for one label a "
            f"sound take {', '.join(CLASSIFIERS)}."
        )
    found = look_at_data(data, given)
    return recipe(teacher, found, student or "ds_cnn")


def look_at_data(name: str, given: Mapping[str, Any]) -> Found:
    """Reads the training split of a data set. Raises `BadInput` where it cannot be read.

    A validation split of the data's own is taken, and a test split without labels is not.
    """
    from ... import progress
    from .load import load

    given = {**_own_fields(Data.model_validate({"name": name, **given})), **given}
    splits = load(Data.model_validate({"name": name, **given}), progress.bar)
    assert splits.samples is not None
    return Found(
        name,
        len(splits.train),
        tuple(splits.classes),
        splits.rate,
        splits.samples,
        len(splits.validation),
        splits.test.count,
        given,
        splits.notes,
    )


def _own_fields(data: Data) -> dict[str, Any]:
    """The fields that a recipe for this data needs: ``validation`` where there is such a split, ``test`` None where its has no labels."""
    from ...data.split_roles import DEFAULT_TEST, own_validation, resolved
    from .columns import find_audio, find_label
    from .sources import open_sounds

    rows = open_sounds(data.name, data.config, label=data.label)
    fields: dict[str, Any] = {}
    if (own := own_validation(rows)) is not None:
        fields["validation"] = own
    train, test = resolved(rows, data.train), resolved(rows, DEFAULT_TEST)
    if train in rows and test in rows:
        features = rows[train].features
        if find_label(features, find_audio(features, data.audio), data.label) not in rows[test].features:
            fields["test"] = None
    return fields


def recipe(teacher: str, found: Found, student: str) -> Drafted:
    """The recipe for data that was looked at. Raises `BadInput` where a model is unknown or does not fit the data."""
    lines_teacher, of_teacher, *remarks = _teacher_lines(teacher, found)
    noted = [f"Noted: {' '.join(note.split())}" for note in (*found.notes, *remarks)]
    knobs = {name: DEFAULTS[student][name] for name in ("width", "depth") if name in DEFAULTS.get(student, {})}
    small = _size_as(Model.model_validate({"model": student, **knobs}), found, "student")
    sizes = size_sentences(teacher, of_teacher, student, small)
    seconds = found.samples / found.rate
    why = (
        f"A sound is varied by where it stands in its window of {seconds:g} s and how loud it is; where words are recognised in a room "
        "or a car, add noise: {snr: [5, 40]}, with files: FOLDER where there are recordings of it."
    )
    lines = [
        f"# A recipe to start from: {found.examples:,} training sounds of {seconds:g} s at {found.rate:,} Hz, "
        f"{len(found.classes)} classes.",
        *(f"# Beware: {printable(warning)}" for warning in found.warnings),
        *(f"# {printable(note)}" for note in noted),
        "# Every field is described in docs/recipe.md; `limbeck recipe schema` lets an editor complete them.",
        "task: audio-classification",
        f"data: {flow({'name': found.name, **found.given})}",
        "",
        "# How examples are varied, for the soft targets and for the student alike.",
        f"# {printable(why)}",
        "views: {shift: 0.1, gain: 6}",
        "",
        *lines_teacher,
        "",
        "# The teacher answers so many views of each example, once; then students learn from what it said.",
        "targets: {views: 8}",
        "",
        *(f"# {printable(line)}" for line in sizes),
        "# (MACs: multiply-accumulates of one pass, from the samples on. A run measures the exported file.)",
        f"student: {flow({'model': student, **knobs})}",
        *_knobs(student, knobs),
        "",
        "# Softened answers of the teacher, and a little of the labels. Try temperatures from 1 to 8;",
        "# `limbeck objectives` lists what else there is to match.",
        "objective:",
        "  kd: {temperature: 2, weight: 0.9}",
        "  cross_entropy: {weight: 0.1}",
        "",
        f"train: {flow(_train_for(found, 80_000, most=60))}",
        "",
        "# Students (and baselines) trained, for mean and standard deviation; 3 or 5 for results to rely on.",
        "seeds: 1",
    ]
    return Drafted("\n".join(lines) + "\n", (*sizes, why, *noted), found.warnings)


def _teacher_lines(name: str, found: Found) -> tuple[list[str], Size | None, *tuple[str, ...]]:
    """The lines of the section, the model's size (None where it is not known yet), and what to note of it."""
    if name.partition("#")[0].endswith(_WEIGHTS):
        raise BadInput(
            f"--teacher {name}: a file of weights does not name the network that it belongs to; name that ({', '.join(CLASSIFIERS)}, "
            "or module:callable), and put the file into the recipe, teacher: {weights: " + name + "}."
        )
    if name.endswith(".onnx"):
        from .onnx_file import SoundOnnx

        model = SoundOnnx(name)
        model.check_takes(found.rate, found.samples)
        size = Size(model.parameter_count, None, file_bytes=Path(name).stat().st_size)
        return ["teacher:", f"  onnx: {flow(name)}"], size
    comment = ["# It runs code that the recipe names: limbeck run --trust-code."] if ":" in name else []
    train = flow(_train_for(found, 40_000, most=40))
    lines = [*comment, "teacher:", f"  model: {flow(name)}", f"  train: {train}"]
    return lines, _size_as(Model(model=name), found, "teacher")


def _size_as(section: Model, found: Found, role: str) -> Size | None:
    """What the model costs, built and tried on the data's windows; None for code not trusted yet."""
    if ":" in section.model:
        return None
    import torch

    from .built import made

    try:
        classes = len(found.classes)
        model = made(section, classes=classes, rate=found.rate, samples=found.samples, trust_code=False, seed=0)
    except BadInput as error:
        raise BadInput(f"--{role} {section.model}: {error}") from None
    return size_of(model, torch.zeros(1, found.samples), "a sound")


def _knobs(student: str, there: dict[str, Any]) -> list[str]:
    """Comments that say what of the student can be changed."""
    if ":" in student:
        return ["# Whatever keyword arguments the callable has are its knobs: they stand beside its name."]
    known = {}
    for name, allowed in KNOBS[student].items():
        spelled = ", ".join(map(str, allowed)) if isinstance(allowed, tuple) else f"{allowed[0]} to {allowed[-1]}"
        default = "" if name in there else f" ({DEFAULTS[student][name]} where not given)"
        known[name] = (f"{spelled}{default}", MEANINGS[student][name])
    return knob_lines(known, there)


def _train_for(found: Found, examples: int, most: int) -> dict[str, Any]:
    """Epochs that show about `examples`, from 10 to `most`; batches that leave an epoch 10 steps."""
    epochs = min(most, max(10, round(examples / max(1, found.examples) / 5) * 5))
    batch_size = next((size for size in (64, 32) if found.examples >= 10 * size), 16)
    return {"epochs": epochs, "batch_size": batch_size}
