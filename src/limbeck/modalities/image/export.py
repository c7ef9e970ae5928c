"""A network of images as one ONNX file, held to PyTorch's answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...deploy.onnx import evaluating, translate, written
from ...deploy.parity import BATCH, compared
from ...deploy.runtime import example_inputs, open_session
from ...errors import LimbeckError
from ...interfaces import Answers
from ...models.inference import device_of
from ...version import __version__
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


def export_onnx(model: nn.Module, example_1CHW: Tensor, path: Path, metadata: dict[str, Any]) -> None:
    """Writes ``model`` in eval mode as ONNX: ``image`` (batch, C, H, W) in, ``logits`` (batch, classes) or ``values`` (batch, numbers) out.

    The batch is dynamic, the weights are inside, batch normalisation is folded into the convolutions before
    it, and ``metadata`` lies under the key ``limbeck`` of the file's properties. The model takes normalised
    float32 images. The file is checked and run at two batch sizes before it takes its name; the model's
    mode is left as it was.

    Raises :class:`BadInput` where the model cannot be exported, :class:`LimbeckError` where what came out
    does not answer as it should.
    """
    # A dimension of 1 would be taken for a constant, so the example is shown twice.
    example_2CHW = example_1CHW[:1].to(device_of(model), torch.float32).repeat(2, 1, 1, 1)
    batch = torch.export.Dim("batch")
    name = type(model).__name__
    says = "values" if "numbers" in metadata else "logits"
    proto = translate(model, (example_2CHW,), ["image"], ({0: batch},), name=name, any_="number of images", says=says)
    with written(proto, path, metadata, name=name) as temporary:
        _check_answers(temporary, name=name, width=len(metadata.get("numbers") or metadata["classes"]), says=says)


def _check_answers(path: Path, *, name: str, width: int, says: str) -> None:
    session = open_session(path)
    for batch in (1, 3):
        shape = np.shape(np.asarray(session.run(None, example_inputs(session, batch))[0]))
        if shape != (batch, width):
            raise LimbeckError(
                f"{name}, exported to ONNX, answers {batch} image(s) with shape {shape} where "
                f"({batch}, {width}) is right: its forward fixes the number of images, or its outputs "
                f"are not the {'numbers' if says == 'values' else 'logits of the classes'}."
            )


def check_parity(
    model: nn.Module, path: Path, inputs_BCHW: Tensor, max_abs: float, agreement: float, kind: str = "classes"
) -> dict[str, Any]:
    """Compares PyTorch's float32 answers of a kind (eval mode) with ONNX Runtime's over normalised images.

    Limits and answer are those of :func:`limbeck.deploy.parity.compared`.
    """
    if len(inputs_BCHW) == 0:
        raise ValueError("parity needs at least one image")
    session = open_session(path)
    name = session.get_inputs()[0].name
    device = device_of(model)

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for images_BCHW in inputs_BCHW.to(torch.float32).split(BATCH):
            expected_BC = model(images_BCHW.to(device)).float().cpu().numpy()
            yield expected_BC, np.asarray(session.run(None, {name: images_BCHW.cpu().numpy()})[0])

    with evaluating(model), torch.no_grad():
        return compared(pairs(), path, kind=kind, max_abs=max_abs, agreement=agreement)
