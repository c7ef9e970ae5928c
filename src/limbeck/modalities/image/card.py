"""The model card of a model of images: how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...deploy.model_card import escaped, model_card
from ...sections.pruned import PRUNED

ONNX = "model.onnx"


def image_card(results: Mapping[str, Any], *, base_model: str | None = None, license: str | None = None) -> str:
    """The card of the student that a run of images trained, from its ``results.json``.

    ``base_model`` and ``license`` as :func:`limbeck.deploy.model_card.model_card`, which raises what this does.
    """
    return model_card(results, usage=usage(results), library="onnx", base_model=base_model, license=license)


def config_of(results: Mapping[str, Any], widths: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is kept beside the weights, so that the network can be built again: ``config.json``.

    ``own``: its class is a person's own; ``alone``: the network is all that was deployed; ``pruned``, of a teacher that was: ``of`` which
    network, and the ``widths`` that were left (:mod:`limbeck.vision.widths`).
    """
    recipe = results["recipe"]
    return {
        "task": results["task"],
        "model": recipe["student"],
        "own": results["data"]["name"] == "python",
        "alone": not (recipe.get("objective") or {}).get("simkd"),
        **({} if widths is None else {"pruned": {"of": _first_by_name(recipe["teacher"]), "widths": widths}}),
        "limbeck_version": results["limbeck_version"],
    }


def _first_by_name(teacher: Mapping[str, Any]) -> dict[str, Any]:
    """How the recipe names the network that a pruned student is made of, its weights left out."""
    section = next(one for one in teacher.get("ensemble") or [teacher] if "model" in one)
    aside = ("weights", "train", "views", "preprocess", "license")
    return {name: value for name, value in section.items() if name not in aside}


def usage(results: Mapping[str, Any]) -> str:
    """How to use it, in markdown."""
    shape = results["data"].get("image")
    sides = f" ({' × '.join(map(escaped, shape))}: channels, height, width)" if shape else ""
    parts = [
        f"With ONNX Runtime, NumPy and Pillow alone, `predict.py` beside it prepares pictures as in training{sides}:\n\n"
        f"```console\n$ python predict.py {ONNX} picture.png\n```"
    ]
    model = str((results["recipe"].get("student") or {}).get("model"))
    if model == PRUNED:
        model = str(_first_by_name(results["recipe"]["teacher"])["model"])
    if results["data"]["name"] == "python" or ":" in model:
        parts.append(
            "The class of this model is that of whoever trained it: its weights are in `model.safetensors`, and "
            "`limbeck.load(folder, model=...)` takes a module to put them into."
        )
    elif (results["recipe"].get("objective") or {}).get("simkd"):
        parts.append(
            "The weights in `model.safetensors` are of a body, a projector and the teacher's classifier (SimKD), of which "
            "`limbeck.load` builds no module: `model.onnx` is the whole."
        )
    else:
        numbers = (results.get("answers") or {}).get("kind") == "values"
        says = "numbers" if numbers else "logits"
        parts.append(
            "As a PyTorch module, whose weights are in `model.safetensors`:\n\n"
            "```python\nimport limbeck\n\n"
            'student = limbeck.load(".")  # this folder, or its name on the hub\n'
            f"{says} = student(images)  # (batch, channels, height, width), 0 to 255 as integers or 0 to 1 as floats\n```"
        )
    return "\n\n".join(parts)
