"""The model card of a driver: how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...deploy.model_card import escaped, model_card
from ...deploy.published import ONNX, weights_said
from .families import MLP


def driver_card(results: Mapping[str, Any], *, base_model: str | None = None, license: str | None = None) -> str:
    """The card of the student that a run of driving trained, from its ``results.json``.

    ``base_model`` and ``license`` as :func:`limbeck.deploy.model_card.model_card`, which raises what this does.
    """
    return model_card(results, usage=usage(results), library="onnx", base_model=base_model, license=license)


def is_own(results: Mapping[str, Any]) -> bool:
    """Whether the student's class is that of a person's program, where no recipe names it."""
    model = results["recipe"]["student"]["model"]
    return model != MLP and ":" not in model


def usage(results: Mapping[str, Any]) -> str:
    """How to use it, in markdown."""
    name = str(results["data"]["name"])
    parts = [
        "With ONNX Runtime and NumPy alone, `predict.py` beside it says what is done in a state, numbers with commas between them:\n\n"
        f"```console\n$ python predict.py {ONNX} 1,0.78,0.67,0.31,0,...\n```"
    ]
    if name != "python":
        parts.append(
            f"With gymnasium and highway-env it drives an episode of {escaped(name)} from a seed:\n\n"
            f"```console\n$ python predict.py {ONNX} --drive 7\n```"
        )
    model = str((results["recipe"].get("student") or {}).get("model"))
    said = {**results, "data": {"name": "python"}} if is_own(results) else results
    return "\n\n".join([*parts, weights_said(said, model, "logits = student(states)  # (batch, numbers)")])
