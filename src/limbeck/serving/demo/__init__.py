"""A folder in which a student answers beside its teacher: run here by Gradio, or as a Space on the Hugging Face hub"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ... import progress
from ...deploy.metadata import said_by
from ...deploy.standalone import write_standalone
from ...errors import BadInput, LimbeckError, not_installed
from ...evaluation.alignment import edits
from ...files import atomic_folder, near, write_json
from ...modalities import modality_of, outline_of, part_of
from ...recipe import read

TOLD = "demo.json"
EXAMPLES = 12
LOOKED_AT = 500
"""So many validation examples are given to both models."""
EXTRA = "demo"
NOTHING = "(nothing)"  # of a transcript without a symbol


def write_demo(run: Path, out: Path) -> list[str]:
    """Writes the demo of a finished run into the folder ``out``: a page on which its student answers beside its teacher.

    In it: ``app.py`` and ``asking.py``, which need no torch, the exported models with what lies beside them, ``examples``, the
    validation examples on which the two differ most, ``demo.json`` with what is said of them, and the ``README.md`` and
    ``requirements.txt`` of a Space. A demo that an earlier call wrote is replaced.

    Where the teacher was not exported, the student answers alone; where the data is not there any more, there are no examples.

    Returns the names of its files. Raises :class:`limbeck.errors.BadInput` for a folder that is no finished run, a folder
    that holds something else, or where Gradio is not installed.
    """
    models = _models_of(run)
    task = said_by(models["student"])["task"]
    asking = _asking(task)
    ours = (out / TOLD).is_file() and (out / "app.py").is_file()
    with atomic_folder(out, replace=ours) as folder:
        files = {role: _copied(file, folder / role) for role, file in models.items()}
        opened = {}
        for role, file in files.items():
            try:
                opened[role] = asking.opened(folder / file)
            except ValueError as error:  # the modules stand alone, so they know no errors of ours
                raise BadInput(str(error)) from None
        name = str(said_by(models["student"]).get("name") or run.resolve().name).removesuffix(" student")
        title = f"{name}: a student beside its teacher" if len(models) == 2 else f"{name}: a student"
        told: dict[str, Any] = {"title": title, "models": files, "examples": [], "which": "", "agreement": ""}
        if hasattr(asking, "chosen"):
            told |= _chosen(asking, opened, folder)
        elif len(opened) == 2:
            told |= _differing(run, asking, opened, folder)
        write_json(folder / TOLD, told)
        write_standalone(asking.__name__, folder / "asking.py")
        shutil.copyfile(str(resources.files(__name__) / "app.py"), folder / "app.py")
        (folder / "requirements.txt").write_text("".join(f"{name}\n" for name in asking.NEEDS), encoding="utf-8")
        (folder / "README.md").write_text(_readme(title, outline_of(task).examples), encoding="utf-8")
        return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def _models_of(run: Path) -> dict[str, Path]:
    """The exported models of a run: teacher, where there is one, and student."""
    if not (run / "recipe.yaml").is_file():
        raise BadInput(f"{run}: it is not the folder of a run.{near(run)}")
    student = outline_of(str(read.values_in(run / "recipe.yaml").get("task"))).student_file
    files = {role: run / student.replace("student", role, 1) for role in ("teacher", "student")}
    if not files["student"].is_file():
        raise BadInput(f"{run}: its student is not exported yet: repeat the limbeck run that made it.")
    return {role: file for role, file in files.items() if file.is_file()}


def _asking(task: str) -> Any:
    try:
        return part_of(task, "demo")
    except ModuleNotFoundError as missing:
        if missing.name and missing.name.startswith("limbeck"):
            raise BadInput(f"task {task}: there is no demo of models of {outline_of(task).examples} yet.") from None
        raise not_installed("demos", missing, EXTRA) from missing


def _copied(model: Path, folder: Path) -> str:
    """Copies a model, and the tokenizer that its metadata names, into a folder of its own; its name from the demo's."""
    folder.mkdir()
    for name in (model.name, said_by(model)["input"].get("tokenizer")):
        if name:
            shutil.copyfile(model.parent / name, folder / name)
    return f"{folder.name}/{model.name}"


def _differing(run: Path, asking: Any, opened: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The validation examples on which teacher and student differ most, kept in the folder, and how often they agree."""
    try:
        recipe = read.read(run / "recipe.yaml")
        progress.note(f"Both models are asked about validation examples, for which {recipe.data.name} is read.")
        modality = modality_of(recipe)
        splits = modality.load(recipe, progress.bar)
        examples, show = splits.validation, modality.show(splits.validation)
        places = np.linspace(0, len(examples) - 1, min(LOOKED_AT, len(examples))).astype(int)
        said = []
        with progress.bar(len(places), "compare") as advance:
            for place in places:
                example, _ = asking.kept(show(int(place)), folder / ".looked_at", 0)
                said.append({role: asking.ask(model, example, runs=1) for role, model in opened.items()})
                advance()
    except (LimbeckError, ValueError) as error:  # of files that a crop was taken out of there is the crop alone
        progress.note(f"no examples: {error}")
        return {}
    finally:
        shutil.rmtree(folder / ".looked_at", ignore_errors=True)
    apart_N = _symbols_apart(said) if splits.answers.ragged else _values_apart(said)
    numbers = bool(said[0]["student"].units)
    found = []
    for number, at in enumerate(np.argsort(-apart_N, kind="stable")[:EXAMPLES]):
        _, kept = asking.kept(show(int(places[at])), folder, number)
        parts = [_label(examples, splits, int(places[at])), *(_told(said[at][role]) for role in ("teacher", "student"))]
        found.append({**kept, "parts": parts, "caption": "{}; teacher {}, student {}".format(*parts)})
    told = f"{len(places)} validation examples"
    alike = np.mean([_first(one["teacher"]) == _first(one["student"]) for one in said])
    what, label = ("transcript", "what was said") if splits.answers.ragged else ("first answer", "label")
    agreement = "" if numbers else f"same {what} on {100 * alike:.1f} % of {told}"
    return {
        "examples": found,
        "which": f"Of {told}, those on which the two differ most ({label}; what each says):",
        "agreement": agreement,
    }


def _chosen(asking: Any, opened: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The examples that the models make themselves, such as episodes, kept in the folder."""
    try:
        with progress.bar(asking.LOOKED_AT, "compare") as advance:
            return asking.chosen(opened, folder, advance)
    except ValueError as error:
        progress.note(f"no examples: {error}")
        return {}


def _values_apart(said: Sequence[dict[str, Any]]) -> np.ndarray:
    """How far both are apart, (N,): of probabilities the sum, of numbers in the teacher's deviations."""
    teacher_NC, student_NC = (np.stack([one[role].values_C for one in said]) for role in ("teacher", "student"))
    apart_NC = np.abs(teacher_NC - student_NC)
    return (apart_NC / (teacher_NC.std(axis=0) + 1e-12) if said[0]["student"].units else apart_NC).sum(axis=1)


def _symbols_apart(said: Sequence[dict[str, Any]]) -> np.ndarray:
    """How many edits make the teacher's transcript the student's, (N,), over the length of the longer."""
    pairs = [[_first(one[role]).replace(NOTHING, "") for role in ("teacher", "student")] for one in said]
    return np.array([edits(student, teacher).all / max(len(teacher), len(student), 1) for teacher, student in pairs])


def _first(one: Any) -> str:
    """What a model says first."""
    return one.names[int(one.values_C.argmax())]


def _told(one: Any) -> str:
    """What a model says of an example, for a caption."""
    if one.units:
        return ", ".join(f"{value:.3g} {unit}".strip() for value, unit in zip(one.values_C, one.units))
    return f"{_first(one)} ({100 * one.values_C.max():.0f} %)"


def _label(examples: Any, splits: Any, place: int) -> str:
    """The example's label in words."""
    label = examples.labels[place].cpu()
    if splits.numbers:
        return ", ".join(f"{float(one):.3g}" for one in label.reshape(-1))
    if splits.answers.ragged:
        return "".join(splits.answers.names[symbol] for symbol in label.tolist() if symbol > 0) or NOTHING
    if label.ndim:
        return ", ".join(name for name, holds in zip(splits.classes, label.tolist()) if holds)
    return splits.classes[int(label)]


def _readme(title: str, examples: str) -> str:
    """The page of a Space, whose front matter says how it is run."""
    front = {
        "title": title,
        "emoji": "⚗️",
        "colorFrom": "blue",
        "colorTo": "yellow",
        "sdk": "gradio",
        "sdk_version": metadata.version("gradio"),
        "python_version": "3.11",
        "app_file": "app.py",
        "pinned": False,
        "short_description": "A distilled student beside its teacher",
    }
    about = (
        f"A student of {examples}, distilled with Limbeck, answers beside its teacher. Here: `pip install gradio -r "
        "requirements.txt`, then `python app.py`. On the Hugging Face hub: make a Space of the kind Gradio and upload this folder."
    )
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n# {title}\n\n{about}\n"
