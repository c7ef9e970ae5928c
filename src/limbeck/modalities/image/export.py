"""A network of images as a graph to be exported, and what its file says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...deploy.onnx import write_onnx
from ...interfaces import Answers, Exportable, Input
from ...interfaces.exportable import BATCH
from ...version import __version__
from . import OUTLINES
from .predict import SCHEMA_VERSION


def image_metadata(
    *,
    name: str,
    classes: Sequence[str],
    channels: int,
    height: int,
    width: int,
    mean: Sequence[float],
    std: Sequence[float],
    background: int | None = None,
    bits: int | None = None,
    crop: Mapping[str, tuple[int, int] | None] | None = None,
    numbers: Sequence[Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """What the file of a network of images says of itself, as ``limbeck predict`` reads it.

    ``mean`` and ``std`` are per channel on the 0-1 scale; whoever feeds the model applies them. ``background`` is the
    grey level, 0 to 255, that transparent places are laid on (None: transparency is ignored), ``bits`` how many bits
    of 16-bit grey are in use (None: 16), ``crop`` the ``rows`` and ``columns`` that are kept of a picture (None: all). ``numbers`` are
    the ``name`` and ``unit`` of each where it answers numbers, and it then has no ``classes``.
    """
    kept = {name: list(part) for name, part in (crop or {}).items() if part is not None}
    prepared = {"background": background, "bits": bits, "crop": kept or None}
    return {
        "schema_version": SCHEMA_VERSION,
        "task": "image-classification" if numbers is None else "image-regression",
        "name": name,
        **({"classes": list(classes)} if numbers is None else {"numbers": [dict(one) for one in numbers]}),
        "input": {
            "channels": channels,
            "height": height,
            "width": width,
            "mean": [float(x) for x in mean],
            "std": [float(x) for x in std],
            "scale": "0-1",
            **{name: value for name, value in prepared.items() if value is not None},
        },
        "limbeck_version": __version__,
    }


def numbers_of(answers: Answers, unit: Sequence[str]) -> list[dict[str, str]]:
    """Name and unit of each number, as a file says them."""
    return [
        {"name": name, **({"unit": unit[place % len(unit)]} if unit else {})}
        for place, name in enumerate(answers.names)
    ]


def exportable(model: nn.Module, metadata: dict[str, Any]) -> Exportable:
    """What takes ``image`` (batch, C, H, W), float32 and normalised, and answers ``logits`` (batch, classes) or ``values`` (batch,
    numbers): a network of images whose file says so of itself."""
    sides = [int(metadata["input"][name]) for name in ("channels", "height", "width")]
    # Two examples: a dimension of 1 would be taken for a constant.
    return Exportable(
        name=type(model).__name__,
        module=model,
        inputs={"image": Input(torch.zeros(2, *sides), (BATCH, *sides))},
        answer=(BATCH, len(metadata.get("numbers") or metadata["classes"])),
        metadata=metadata,
        says="values" if "numbers" in metadata else "logits",
    )


def export_onnx(model: nn.Module, path: Path, metadata: dict[str, Any]) -> None:
    """Writes ``model`` in eval mode as ONNX, with what ``metadata`` (:func:`image_metadata`) says of it.

    Raises as :func:`limbeck.deploy.onnx.write_onnx`.
    """
    write_onnx(exportable(model, metadata), path, OUTLINES[metadata["task"]])
