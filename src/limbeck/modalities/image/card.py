"""The model card of a model of images: how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...deploy.model_card import escaped, model_card
from ...deploy.published import ONNX, weights_said
from ...deploy.published import config_of as plain_config
from ...sections.pruned import PRUNED


def image_card(results: Mapping[str, Any], *, base_model: str | None = None, license: str | None = None) -> str:
    """The card of the student that a run of images trained, from its ``results.json``.

    ``base_model`` and ``license`` as :func:`limbeck.deploy.model_card.model_card`, which raises what this does.
    """
    return model_card(results, usage=usage(results), library="onnx", base_model=base_model, license=license)


def config_of(results: Mapping[str, Any], widths: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is kept beside the weights; ``pruned``, of a teacher that was: ``of`` which network, and the ``widths`` that were left
    (:mod:`limbeck.vision.widths`)."""
    if widths is None:
        return plain_config(results)
    return plain_config(results, pruned={"of": _first_by_name(results["recipe"]["teacher"]), "widths": widths})


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
    says = "numbers" if (results.get("answers") or {}).get("kind") == "values" else "logits"
    call = f"{says} = student(images)  # (batch, channels, height, width), 0 to 255 as integers or 0 to 1 as floats"
    return "\n\n".join([*parts, weights_said(results, model, call)])
