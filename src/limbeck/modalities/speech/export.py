"""A network of sounds as a graph to be exported, from samples on, and what its file says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...deploy.onnx import write_onnx
from ...interfaces import Exportable, Input
from ...interfaces.exportable import BATCH, LENGTH
from ...version import __version__
from . import OUTLINES
from .frames import FrameBlocks
from .frontend import LogMel
from .networks import DSCNN, STEPS, Classifier, Encoder
from .predict import SCHEMA_VERSION

KEYWORDS, SPEECH = "audio-classification", "automatic-speech-recognition"
FRAMES = "frames"  # as many as a sound has
SECONDS = (1, 5)  # of sound, at which the speed of what takes any length is measured, the usual first


def sound_metadata(
    model: nn.Module, *, name: str, classes: Sequence[str], rate: int, samples: int | None, task: str = KEYWORDS
) -> dict[str, Any]:
    """What the file of a network of sounds says of itself, as ``limbeck predict`` reads it.

    ``classes`` are the classes of a window of ``samples``, or the symbols of frames, the blank first, where ``samples`` is None. Of a front end
    of ours it says how it is made, and the bytes of its filters in float32 (``bytes``; none of them are parameters, and an ONNX file makes them
    itself); of a model that hears no future how its sound is parted (``causal``), as :class:`limbeck.modalities.speech.stream.Frames` has it.
    """
    front = getattr(model, "front", None)
    facts: dict[str, Any] = {"rate": rate}
    if samples is not None:
        facts["samples"] = samples
    if isinstance(front, LogMel):
        facts["front"] = {
            "kind": "log-mel",
            "n_fft": front.n_fft,
            "hop": front.hop,
            "mels": front.mels,
            "bytes": front.filter_bytes,
        }
    if (parted := _causal(model)) is not None:
        facts["causal"] = parted
    return {
        "schema_version": SCHEMA_VERSION,
        "task": task,
        "name": name,
        "classes": list(classes),
        "input": facts,
        "limbeck_version": __version__,
    }


def exportable(model: nn.Module, metadata: dict[str, Any]) -> Exportable:
    """What takes ``samples`` (batch, S), float32 in -1 to 1, and answers ``logits``, (batch, classes) or (batch, frames, symbols).

    S is that of the window; any number where there is none, or where a model hears no future. Sounds of a batch are of one length: what is not a
    sound's own is not told apart.
    """
    rate, window = metadata["input"]["rate"], metadata["input"].get("samples")
    any_length = window is None or "causal" in metadata["input"]
    length: int | str = LENGTH if any_length or window is None else window
    classes, writes = len(metadata["classes"]), metadata["task"] == SPEECH
    answer = (BATCH, FRAMES, classes) if writes else (BATCH, classes)
    # Two examples: a dimension of 1 would be taken for a constant.
    samples = Input(torch.zeros(2, window or rate), (BATCH, length))
    lengths = tuple(seconds * rate for seconds in SECONDS) if window is None else (window,)
    return Exportable(
        name=type(model).__name__,
        module=model,
        inputs={"samples": samples},
        answer=answer,
        metadata=metadata,
        lengths=lengths if any_length else (),
        parts=_parts(model, samples, answer),
    )


def export_onnx(model: nn.Module, path: Path, metadata: dict[str, Any]) -> None:
    """Writes ``model`` in eval mode as ONNX, with what ``metadata`` (:func:`sound_metadata`) says of it.

    Raises as :func:`limbeck.deploy.onnx.write_onnx`.
    """
    write_onnx(exportable(model, metadata), path, OUTLINES[metadata["task"]])


def _parts(model: nn.Module, samples: Input, answer: tuple[str | int, ...]) -> tuple[Exportable, Exportable] | None:
    """The front end and the network behind it, of a model of ours."""
    if not isinstance(model, Classifier | Encoder):
        return None
    front, net = model.front, model.net
    with torch.no_grad():
        frames_BFT: Tensor = front(samples.example)
    count = frames_BFT.shape[2] if isinstance(samples.shape[1], int) else FRAMES
    shape = (BATCH, front.mels, count)
    return (
        Exportable(type(front).__name__, front, {"samples": samples}, shape, {}, says="frames"),
        Exportable(type(net).__name__, net, {"frames": Input(frames_BFT, shape)}, answer, {}),
    )


def _causal(model: nn.Module) -> dict[str, int] | None:
    if not isinstance(model, Classifier | Encoder) or not model.causal:
        return None
    front, net = model.front, model.net
    assert isinstance(net, DSCNN | FrameBlocks)
    stride = STEPS if isinstance(net, DSCNN) else net.stride
    return {"every": stride * front.hop, "first": front.n_fft, "before": -(-(net.sees - 1) // stride)}
