"""What a run of models of one file each leaves at the top of its folder, and what is said of its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import BadInput, short
from ..files import atomic_folder, write_json, write_text
from ..files import publish as copy_to
from ..models.state_file import read_sets
from ..sections.teacher import Model
from .standalone import write_standalone

ONNX = "model.onnx"
"""The exported student in the folder that is published."""
_REUSED = {"body", "projector", "classifier"}  # what simkd deploys together


def publish(
    export: Path, student_weights: Path, out: Path, *, script: str, config: Mapping[str, Any], card: str
) -> None:
    """``student.onnx``, ``teacher.onnx`` where there is one, ``student.safetensors`` and ``predict.py``; and ``student``, the folder that is
    published and that :func:`limbeck.load` reads.

    ``script`` is the module that becomes ``predict.py``; ``config`` and ``card`` become ``config.json`` and ``README.md`` of ``student``.
    """
    copy_to(export / "student.onnx", out / "student.onnx")
    if (export / "teacher.onnx").exists():
        copy_to(export / "teacher.onnx", out / "teacher.onnx")
    else:  # that of another teacher, before
        (out / "teacher.onnx").unlink(missing_ok=True)
    copy_to(student_weights, out / "student.safetensors")
    write_standalone(script, out / "predict.py")
    with atomic_folder(out / "student", replace=True) as folder:
        copy_to(export / "student.onnx", folder / ONNX)
        copy_to(student_weights, folder / "model.safetensors")
        write_json(folder / "config.json", config)
        write_standalone(script, folder / "predict.py")
        write_text(folder / "README.md", card)


def config_of(results: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """What is kept beside the weights, so that the network can be built again: ``config.json``, with what a modality has ``more`` of.

    ``own``: its class is a person's own; ``alone``: the network is all that was deployed.
    """
    recipe = results["recipe"]
    return {
        "task": results["task"],
        "model": recipe["student"],
        "own": results["data"]["name"] == "python",
        "alone": not (recipe.get("objective") or {}).get("simkd"),
        **more,
        "limbeck_version": results["limbeck_version"],
    }


def section_of(folder: Path, example: str) -> tuple[Model, Mapping[str, Any] | None]:
    """How the recipe described the student whose weights lie in a published folder, or the teacher that was pruned, with the widths that this left.

    ``example``: what ``limbeck predict`` is given of it, such as ``PICTURE``. Raises :class:`BadInput` where no module can be built of it.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        cut = config.get("pruned")
        section = Model.model_validate({**(config["model"] if cut is None else cut["of"]), "weights": None})
        widths = None if cut is None else dict(cut["widths"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{folder / 'config.json'} does not say what the student is ({short(error)}).") from error
    parts = {name.partition(".")[0] for state in read_sets(folder / "model.safetensors").values() for name in state}
    if parts >= _REUSED:
        raise BadInput(
            f"{folder} holds what simkd deployed, which is more than the network of its recipe: a body, a projector and the "
            f"teacher's classifier. No module of them is built here: its ONNX file is whole, so ask that, with limbeck predict "
            f"{folder} {example}, or from a program with predict(...) of the predict.py beside it."
        )
    if config.get("own"):
        raise BadInput(
            f"{folder} holds weights of a person's own class, {section.model}: give a module of it, "
            f"limbeck.load(..., model={section.model}())."
        )
    return section, widths


def weights_said(results: Mapping[str, Any], model: str, call: str) -> str:
    """How the weights are used, in markdown: ``model`` is the name of the network that they are of, ``call`` a line that asks it."""
    if results["data"]["name"] == "python" or ":" in model:
        return (
            "The class of this model is that of whoever trained it: its weights are in `model.safetensors`, and "
            "`limbeck.load(folder, model=...)` takes a module to put them into."
        )
    if (results["recipe"].get("objective") or {}).get("simkd"):
        return (
            "The weights in `model.safetensors` are of a body, a projector and the teacher's classifier (SimKD), of which "
            f"`limbeck.load` builds no module: `{ONNX}` is the whole."
        )
    return (
        "As a PyTorch module, whose weights are in `model.safetensors`:\n\n"
        "```python\nimport limbeck\n\n"
        'student = limbeck.load(".")  # this folder, or its name on the hub\n'
        f"{call}\n```"
    )
