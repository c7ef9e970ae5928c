"""The model card of a classifier of sounds: how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...deploy.model_card import escaped, model_card
from ...deploy.published import ONNX, weights_said


def sound_card(results: Mapping[str, Any], *, base_model: str | None = None, license: str | None = None) -> str:
    """The card of the student that a run of sounds trained, from its ``results.json``.

    ``base_model`` and ``license`` as :func:`limbeck.deploy.model_card.model_card`, which raises what this does.
    """
    return model_card(results, usage=usage(results), library="onnx", base_model=base_model, license=license)


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
        parts.append("It prints what is said; `--beam 8` searches among what may have been said.")
    model = str((results["recipe"].get("student") or {}).get("model"))
    rate = f" at {escaped(sound['rate'])} Hz" if sound else ""
    asked = (
        "said = student.transcribe(samples)  # (samples,)"
        if writes
        else "logits = student(samples)  # (batch, samples)"
    )
    return "\n\n".join([*parts, weights_said(results, model, f"{asked}, floats in -1 to 1{rate}")])
