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

import onnx
import torch
from torch import Tensor, nn

from ..errors import BadInput
from ..files import atomic_path
from .metadata import METADATA_KEY

# A protobuf message cannot be larger, and the weights are kept inside.
LARGEST_FILE = 2**31 - 1


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
    says: str = "logits",
) -> onnx.ModelProto:
    """The ONNX program of ``model`` in eval mode: ``inputs`` are its names for ``example``, ``says`` its answer's.

    ``name`` is how messages speak of the model, ``any_`` what must be free in it (``number of images``).

    Raises :class:`BadInput` where the model cannot be exported.
    """
    with evaluating(model), torch.no_grad(), silence():
        try:
            program = torch.onnx.export(
                model,
                example,
                input_names=list(inputs),
                output_names=[says],
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
