"""A trained model as one ONNX file that says what it takes and what it answers."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from .. import __version__
from ..errors import BadInput, LimbeckError
from ..files import atomic_path
from ..models.asking import device_of
from .predict import METADATA_KEY, SCHEMA_VERSION
from .runtime import example_inputs, open_session

# A protobuf message cannot be larger, and the weights are kept inside.
LARGEST_FILE = 2**31 - 1


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
) -> dict[str, Any]:
    """What an image classifier's file says of itself, as ``limbeck predict`` reads it.

    ``mean`` and ``std`` are per channel on the 0-1 scale; whoever feeds the model applies them. ``background`` is the
    grey level, 0 to 255, that transparent places are laid on (None: transparency is ignored), ``bits`` how many bits
    of 16-bit grey are in use (None: 16).
    """
    prepared = {"background": background, "bits": bits}
    return {
        "schema_version": SCHEMA_VERSION,
        "task": "image-classification",
        "name": name,
        "classes": list(classes),
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


def export_onnx(model: nn.Module, example_1CHW: Tensor, path: Path, metadata: dict[str, Any]) -> None:
    """Writes ``model`` in eval mode as ONNX: ``image`` (batch, C, H, W) in, ``logits`` (batch, classes) out.

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
    proto = translate(model, (example_2CHW,), ["image"], ({0: batch},), name=name, any_="number of images")
    with written(proto, path, metadata, name=name) as temporary:
        _check_answers(temporary, name=name, classes=len(metadata["classes"]))


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """``model`` in eval mode; afterwards every module is back in the mode it was in."""
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in training:
            module.training = mode


def translate(
    model: nn.Module,
    example: tuple[Tensor, ...],
    inputs: Sequence[str],
    dynamic_shapes: Any,
    *,
    name: str,
    any_: str,
) -> onnx.ModelProto:
    """The ONNX program of ``model`` in eval mode: ``inputs`` are its names for ``example``, ``logits`` its answer's.

    ``name`` is how messages speak of the model, ``any_`` what must be free in it (``number of images``).

    Raises :class:`BadInput` where the model cannot be exported.
    """
    with evaluating(model), torch.no_grad(), silence():
        try:
            program = torch.onnx.export(
                model,
                example,
                input_names=list(inputs),
                output_names=["logits"],
                dynamic_shapes=dynamic_shapes,
                dynamo=True,
                external_data=False,
                optimize=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            cause = error.__cause__ or error
            raise BadInput(
                f"{name} cannot be exported to ONNX: its forward must be traceable by "
                f"torch.export with any {any_}. ({type(cause).__name__}: {_first_line(str(cause))})"
            ) from error
    assert program is not None  # only the older exporter returns nothing
    proto = program.model_proto  # made anew each time it is asked for
    _strip(proto)
    return proto


@contextlib.contextmanager
def written(proto: onnx.ModelProto, path: Path, metadata: dict[str, Any], *, name: str) -> Iterator[Path]:
    """Yields the file of ``proto`` with ``metadata``, for trying it out; on a clean exit it takes the name ``path``.

    Raises :class:`BadInput` where the model is larger than one file may be.
    """
    del proto.metadata_props[:]
    proto.metadata_props.add(key=METADATA_KEY, value=json.dumps(metadata, allow_nan=False))
    if proto.ByteSize() > LARGEST_FILE:
        raise BadInput(
            f"{name} takes {proto.ByteSize() / 1e9:.1f} GB, and one ONNX file "
            "holds at most 2.1 GB: export a smaller model."
        )
    onnx.checker.check_model(proto, full_check=True)
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(proto.SerializeToString(deterministic=True))
        yield temporary


def _strip(proto: onnx.ModelProto) -> None:
    """Takes out what the exporter notes of its own working: stack traces with the paths of this machine."""
    proto.doc_string = ""
    graphs = [proto.graph, *proto.functions]
    for graph in graphs:
        graph.doc_string = ""
        parts = [graph, *graph.node, *graph.value_info]
        if isinstance(graph, onnx.GraphProto):
            parts += [*graph.input, *graph.output, *graph.initializer]
        for part in parts:
            part.doc_string = ""
            del part.metadata_props[:]
        for node in graph.node:
            for attribute in node.attribute:
                graphs += [attribute.g] if attribute.HasField("g") else []
                graphs += attribute.graphs


def _check_answers(path: Path, *, name: str, classes: int) -> None:
    session = open_session(path)
    for batch in (1, 3):
        shape = np.shape(np.asarray(session.run(None, example_inputs(session, batch))[0]))
        if shape != (batch, classes):
            raise LimbeckError(
                f"{name}, exported to ONNX, answers {batch} image(s) with shape {shape} where "
                f"({batch}, {classes}) is right: its forward fixes the number of images, or its outputs "
                "are not the classes' logits."
            )


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """The exporter's own chatter goes nowhere; what goes wrong is raised all the same."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:300] if lines else "no reason given"
