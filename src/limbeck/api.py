"""Distillation from Python: the same pipeline for a person's own modules and data sets."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .deploy.metadata import task_of
from .errors import BadInput, shown
from .files import near as near_path
from .modalities import DEFAULT_TASK, TASKS, outline_of, part_of, unknown_task
from .models.weights import check_finite, load_weights
from .objectives.modules import Objective
from .pipeline.evaluate import best_of_histories
from .pipeline.job import job_from_models
from .pipeline.run import distil
from .pipeline.students import student_of
from .randomness import torch_seed
from .sections.recipe import Recipe
from .sections.section import Section
from .sections.targets import Targets
from .sections.train import Train
from .training.history import read_history

_EXPORTED = ("model.onnx", "student.onnx")
# What sentences about a recipe call a thing, and what it is called here.
_ARGUMENTS = (
    (r"\bdata\.validation_fraction\b", "validation_fraction"),
    (r"\bdata\.transfer\b", "transfer"),
    (r"\btrain\.(?=[a-z_]+\b)", "train_plan."),
    (r"\bexport\.formats\b", "formats"),
    (r"--device cpu\b", "device='cpu'"),
)


@dataclass(frozen=True)
class Distilled:
    """What came out."""

    student: (
        nn.Module
    )  # the one that did best on validation, in evaluation mode: takes images, texts or sounds as they are
    results: dict[str, Any]  # results.json
    folder: Path

    @property
    def metrics(self) -> dict[str, float]:
        """The student's test figures, means over seeds: accuracy, nll, ece, ..."""
        return {name: figure["mean"] for name, figure in self.results["student"]["metrics"].items()}

    @property
    def report(self) -> Path:
        """The report, one HTML page."""
        return self.folder / "report.html"

    def export(self, format: str = "onnx") -> Path:
        """The exported student, which has passed its parity gate. Raises :class:`BadInput` for a format that it was not exported in."""
        files = (self.results.get("formats") or {}).get("files") or {}
        found = {name: self.folder / one["path"] for name, one in files.items() if "path" in one}
        found["onnx"] = self.folder / outline_of(self.results["task"]).student_file
        if format not in found:
            raise BadInput(f"format '{format}': there is no such file; there is {', '.join(found)}.")
        return found[format]


def load(
    place: str | Path,
    *,
    model: nn.Module | None = None,
    trust_code: bool = False,
    revision: str | None = None,
) -> nn.Module:
    """The student of a finished run as a module that takes images, texts or sounds as they are; in evaluation mode, on the CPU.

    It answers what the exported model does, of pictures what ``limbeck predict`` says of their files. Weights are read from
    safetensors; nothing is unpickled.

    Args:
        place: the run's folder, its ``student`` folder, a copy of that anywhere, or its name on the Hugging Face hub.
        model: a module to put the weights into, where its class is a person's own.
        trust_code: whether a student that its recipe names as ``module:callable`` may be imported.
        revision: of the hub: a branch, a tag or a commit.

    Raises:
        BadInput: there is no student, or it cannot be built or read; says why.
    """
    folder = _folder_of(place, revision)
    file = next((folder / name for name in _EXPORTED if (folder / name).is_file()), None)
    weights = folder / "model.safetensors"
    if file is None or not weights.is_file():
        raise BadInput(
            f"{place} holds no student: a folder with model.safetensors, and model.onnx beside it, is right, as limbeck run "
            "writes into RUN/student (a run of an older version writes it when it is run again)."
        )
    task = task_of(file)
    task = task if task in TASKS else DEFAULT_TASK  # whose predict says what is wrong with any other
    says = part_of(task, "predict")
    try:
        metadata = says.read_metadata(says.open_model(file), file)
    except ValueError as error:  # that module stands alone, so it knows no errors of ours
        raise BadInput(str(error)) from None
    student = part_of(task, "python").load(folder, metadata, model=model, trust_code=trust_code)
    check_finite(student, weights, "student")
    return student


def _folder_of(place: str | Path, revision: str | None) -> Path:
    folder = Path(place).expanduser()
    if (folder / "student").is_dir():
        return folder / "student"
    if folder.is_dir():
        return folder
    from . import hub  # and with it datasets, which a folder does not need

    if folder.exists() or not hub.could_be_name(str(place)):
        raise BadInput(
            f"there is no folder {folder}: the folder of a finished run, or a name on the hub, is right.{near_path(folder)}"
        )
    return hub.folder_of(str(place), revision)


def distill(
    *,
    teacher: nn.Module | str | None,
    student: nn.Module | Callable[[], nn.Module],
    train: Any,
    validation: Any = None,
    test: Any = None,
    transfer: Any = None,
    task: str = DEFAULT_TASK,
    validation_fraction: float = 0.1,
    objective: Objective | None = None,
    views: Section | Mapping[str, Any] | None = None,
    train_plan: Train | None = None,
    targets: Targets | None = None,
    preprocess: Section | None = None,
    tokenizer: Any = None,
    max_length: int | None = None,
    rate: int | None = None,
    seconds: float | None = None,
    alphabet: str | None = None,
    tau: float | None = None,
    judge: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    numbers: Sequence[str] | str | None = None,
    unit: Sequence[str] | str | None = None,
    seeds: int = 1,
    seed: int = 0,
    formats: Sequence[str] = ("onnx",),
    out: str | Path = "runs/distilled",
    device: str = "auto",
) -> Distilled:
    """Trains ``student`` to do the work of ``teacher``, beside the same student without a teacher.

    Args:
        teacher: a trained module, which is never changed: from images (B, C, H, W), from ``input_ids`` and
            ``attention_mask`` (B, L) as a transformers model takes them, or from the samples (B, S) of sounds, to logits
            (B, classes), or to numbers (B, D) in the labels' units; of recognition from ``samples_BS`` and ``lengths_B`` to logits
            (B, frames, symbols), with a method ``frames_of(lengths_B)``; of driving from states (B, numbers) to logits (B, actions). Of
            driving ``"planner"`` where ``train`` is an environment, and None where values of the actions are given with the states.
        student: a module, whose weights every seed starts from, or a function that makes a fresh one: it is called
            under torch's seed, so that a seed always gives the same student. The module itself is never changed. One of numbers that a
            function makes answers in the labels' units from the first step on; a module's answers are taken as they are.
        train: of images ``(images, labels)`` or a map-style data set of (image, label). Images are uint8, or floats in
            [0, 1]: normalisation is done here, by the training set's mean and deviation. Of a regression labels are
            floats, (N,) or (N, D). Of texts a ``datasets.Dataset``,
            ``(texts, labels)``, or a list of (text, label); a text may be a pair of them. Of sounds ``(sounds, labels)`` or a
            data set of (samples, label): mono, (S,) each, of any lengths, floats in [-1, 1] or integers; of recognition with a
            transcript, a text, in the place of the label. Of driving an environment, ``"highway-fast-v0"`` or a mapping of a recipe's
            ``data``; or ``(states, values)``, values (N, actions) that become soft targets, whose best action is the label; or ``(states,
            actions)`` with a module as the teacher.
        validation: where not given, carved from train.
        test: where not given, carved from train; read once, at the end.
        transfer: unlabelled examples for the soft targets, or a data set whose labels are ignored.
        task: a recipe's ``task``: ``image-classification``, ``image-regression``, ``text-classification``,
            ``audio-classification``, ``automatic-speech-recognition`` or ``control``.
        validation_fraction: the share of ``train`` that each split carved from it gets.
        objective: what the student is asked to match, ``0.9 * KD(temperature=4) + 0.1 * CrossEntropy()`` by default, of
            numbers ``0.5 * MSEValues() + 0.5 * MSE()``, of recognition ``CTCFrameKD() + CTC()``, of driving ``KD(temperature=1)``.
        views: how examples are varied: :class:`limbeck.Views`, of texts a mapping such as ``{"mask": 0.1}``.
        train_plan: how students are trained (:class:`limbeck.Train`); what it does not say is as usual for the task.
        targets: how the teacher is asked (:class:`limbeck.Targets`), likewise.
        preprocess: of images: what the teacher wants done to its input, where that differs from the data's mean and deviation.
        tokenizer: of texts: the teacher's, which cuts them up for the student too.
        max_length: of texts: tokens at which they are cut off; 128 where not given.
        rate: of sounds: samples a second.
        seconds: of sounds: the window that is heard, the middle of each; 1 where not given. Of recognition: the longest clip that is
            trained on; 30.
        alphabet: of recognition: the letters in the order of a model's outputs, the blank before them, in which transcripts are written;
            all that stand in the training transcripts, in lower case, where not given.
        tau: of driving: soft targets are softmax(values / tau); 0.5 where not given.
        judge: of driving in an environment: ``{"episodes": 100, "period_ms": 50}``, as a recipe's ``judge``.
        classes: names of the classes, or of the actions.
        numbers: of a regression: what its numbers are called; ``number`` where not given.
        unit: of a regression: what they are in, for people to read; one for all, or one each.
        seeds: how many students are trained, for mean and standard deviation.
        formats: in which the student is deployed, as a recipe's ``export.formats``; ``result.export(format)`` is the file.
        out: the run's folder. The same call goes on from where it was stopped.

    Raises:
        BadInput: a model or the data cannot be used; says why.
    """
    check_task(task)
    python = part_of(task, "python")
    given = objective if objective is not None else python.usual_objective(task)
    if not isinstance(given, Objective):
        what = f"the class {given.__name__}" if isinstance(given, type) else f"of type {type(given).__name__}"
        raise BadInput(
            f"objective is {what}: give an objective such as limbeck.KD(temperature=4), or a weighted sum of some."
        )
    own = own_of(
        task,
        validation_fraction,
        preprocess=preprocess,
        tokenizer=tokenizer,
        max_length=max_length,
        rate=rate,
        seconds=seconds,
        alphabet=alphabet,
        tau=tau,
        judge=judge,
        numbers=numbers,
        unit=unit,
    )
    made_here = isinstance(teacher, nn.Module)
    if not made_here and not hasattr(python, "teacher_of"):
        raise BadInput(f"teacher is {shown(teacher)}: a trained torch module is right.")
    with in_python(python.ARGUMENTS):
        sections = python.sections_of(
            type(teacher).__name__ if made_here else str(teacher),
            type(student).__name__ if isinstance(student, nn.Module) else name_of(student),
            validation_fraction=validation_fraction,
            transfer=transfer is not None,
            **own,
        )
        if hasattr(python, "data_of"):
            sections["data"] = {**sections["data"], **python.data_of(train)}
        recipe = recipe_of(
            task,
            sections,
            {"views": views, "targets": targets, "train": train_plan, "export": {"formats": tuple(formats)}},
            name=Path(out).name,
            seeds=seeds,
            seed=seed,
        )
        of_data = {name: value for name, value in own.items() if name != "preprocess"}
        splits = python.splits_of(train, validation, test, recipe=recipe, transfer=transfer, classes=classes, **of_data)
        job = job_from_models(
            recipe,
            splits,
            out=Path(out),
            teacher=copy.deepcopy(teacher) if isinstance(teacher, nn.Module) else python.teacher_of(teacher, recipe),
            student=lambda number: fresh(student, number, lambda made: python.fresh(made, splits)),
            objective=lambda: copy.deepcopy(given),
            device=device,
        )
        results = distil(job)
        best = student_of(job, job.teacher, seed)
        trained = [Path(out) / "stages" / "student" / name for name in results["fingerprints"]["student"]]
        chosen = trained[best_of_histories(job, [read_history(folder) for folder in trained])]
        load_weights(best, chosen / "model.safetensors", "student")
    return Distilled(python.usable(best, splits), results, Path(out))


def check_task(task: str) -> None:
    """Raises :class:`BadInput` for what is no task, and for one that recipes alone do."""
    if task in TASKS and task in part_of(task, "python").RECIPES:
        return
    done = [one for one in TASKS if _done_here(one)]
    if why := unknown_task(task, among=done):
        raise BadInput(why)
    raise BadInput(f"task: {task} is not done from Python yet: it is done from recipes (limbeck run) for now.")


def own_of(task: str, validation_fraction: float, **given: Any) -> dict[str, Any]:
    """The arguments that are some tasks' own, of those that were given.

    Raises :class:`BadInput` for one that is not this task's, and for a share of the training set that is none.
    """
    own = {name: value for name, value in given.items() if value is not None}
    if foreign := [name for name in own if name not in part_of(task, "python").OWN[task]]:
        raise BadInput(f"{foreign[0]} is not for task: {task}; leave it out.")
    if not 0 < validation_fraction < 0.9:
        raise BadInput(f"validation_fraction is {validation_fraction}: it must lie between 0 and 0.9.")
    return own


def _done_here(task: str) -> bool:
    try:
        return task in part_of(task, "python").RECIPES
    except BadInput:  # done, with a library that is not installed
        return True


def recipe_of(
    task: str, sections: Mapping[str, Any], given: Mapping[str, Section | Mapping[str, Any] | None], **more: Any
) -> Recipe:
    """The recipe of what was given; a section that is of no task, or of another's, says what its own do not."""
    kind = part_of(task, "python").RECIPES[task]
    for name, value in given.items():
        if value is not None:
            said = value.model_dump(exclude_unset=True) if isinstance(value, Section) else dict(value)
            sections = {**sections, name: kind.model_fields[name].annotation(**said)}  # pyright: ignore[reportOptionalCall]
    return kind(task=task, **sections, **more)


@contextmanager
def in_python(arguments: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Sentences about a recipe's fields name this function's arguments instead."""
    try:
        yield
    except BadInput as error:
        sentence = str(error)
        for field, argument in (*_ARGUMENTS, *arguments):
            sentence = re.sub(field, argument, sentence)
        raise type(error)(sentence) from error


def fresh(
    student: nn.Module | Callable[[], nn.Module], seed: int, ready: Callable[[nn.Module], nn.Module]
) -> nn.Module:
    """A copy of a module, or what a function makes under torch's seed, made ``ready``."""
    if isinstance(student, nn.Module):
        return copy.deepcopy(student)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(torch_seed(seed, "init"))
        made = student()
    if not isinstance(made, nn.Module):
        raise BadInput(f"student is a function that made {shown(made)}: it must return a torch module.")
    return ready(made)


def name_of(factory: Callable[..., nn.Module]) -> str:
    """What a function, or a class, that makes modules is called."""
    return getattr(factory, "__name__", type(factory).__name__)
