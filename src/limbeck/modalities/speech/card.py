"""The model card of a classifier of sounds: how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...deploy.model_card import escaped, model_card

ONNX = "model.onnx"


def sound_card(results: Mapping[str, Any], *, base_model: str | None = None, license: str | None = None) -> str:
    """The card of the student that a run of sounds trained, from its ``results.json``.

    ``base_model`` and ``license`` as :func:`limbeck.deploy.model_card.model_card`, which raises what this does.
    """
    return model_card(results, usage=usage(results), library="onnx", base_model=base_model, license=license)


def config_of(results: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept beside the weights, so that the network can be built again: ``config.json``.

    ``own``: its class is a person's own; ``alone``: the network is all that was deployed.
    """
    recipe = results["recipe"]
    return {
        "task": results["task"],
        "model": recipe["student"],
        "own": results["data"]["name"] == "python",
        "alone": not (recipe.get("objective") or {}).get("simkd"),
        "limbeck_version": results["limbeck_version"],
    }


def usage(results: Mapping[str, Any]) -> str:
    """How to use it, in markdown."""
    sound = results["data"].get("sound") or {}
    writes = results["task"] == "automatic-speech-recognition"
    window = ""
    if sound:
        seconds = "" if writes else f"{sound['samples'] / sound['rate']:g} s "
        window = f" ({seconds}at {sound['rate']} Hz)"
    parts = [
        f"With ONNX Runtime and NumPy alone, `predict.py` beside it reads WAV files and prepares them as in training{window}:\n\n"
        f"```console\n$ python predict.py {ONNX} hello.wav\n```"
    ]
    if writes:
        parts.append(
            "It prints what is said; `--beam 8` searches among what may have been said. The weights of the PyTorch module are in "
            "`model.safetensors`."
        )
        return "\n\n".join(parts)
    model = str((results["recipe"].get("student") or {}).get("model"))
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
        rate = f" at {escaped(sound['rate'])} Hz" if sound else ""
        parts.append(
            "As a PyTorch module, whose weights are in `model.safetensors`:\n\n"
            "```python\nimport limbeck\n\n"
            'student = limbeck.load(".")  # this folder, or its name on the hub\n'
            f"logits = student(samples)  # (batch, samples), floats in -1 to 1{rate}\n```"
        )
    return "\n\n".join(parts)
