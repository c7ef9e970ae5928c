"""A trained model as one ONNX file that says what it takes and what it answers."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from ..errors import BadInput, LimbeckError, short
from ..files import atomic_path
from ..interfaces import Exportable
from ..interfaces.exportable import BATCH, LENGTH
from ..models.inference import device_of
from ..sections.outline import Outline
from .metadata import METADATA_KEY
from .runtime import example_inputs, open_session

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


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raises ``KeyboardInterrupt`` at the end where Ctrl-C came and whoever was called made something else of it.

    An exporter that is interrupted while it imports its parts may fail for want of them: that is nothing that is wrong with a
    model.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            raise KeyboardInterrupt


def write_onnx(graph: Exportable, path: Path, outline: Outline) -> None:
    """Writes a graph in evaluation mode as ONNX; ``outline`` has the words for messages.

    Whatever dimension may vary is dynamic, the weights are inside, batch normalisation is folded into the convolutions before
    it, and the metadata lie under the key ``limbeck`` of the file's properties. The file is checked and run at several sizes
    before it takes its name; the module's mode is left as it was.

    Raises :class:`BadInput` where the graph cannot be exported, :class:`LimbeckError` where what came out does not answer as it
    should.
    """
    with written(translate(graph, outline), path, graph.said, name=graph.name) as temporary:
        _check_answers(temporary, graph, outline)


def translate(graph: Exportable, outline: Outline) -> onnx.ModelProto:
    """The ONNX program of a graph. Raises :class:`BadInput` where there can be none."""
    module, device = graph.module, device_of(graph.module)
    free = {
        word: torch.export.Dim(word, max=graph.most.get(word))
        for word in dict.fromkeys(word for one in graph.inputs.values() for word in one.shape if isinstance(word, str))
    }
    shapes = tuple(
        {place: free[word] for place, word in enumerate(one.shape) if isinstance(word, str)}
        for one in graph.inputs.values()
    )
    takes = inspect.signature(module.forward).parameters.values()
    any_ = f"number{' and length' if LENGTH in free else ''} of {outline.examples}"
    with interruptible(), evaluating(module), torch.no_grad(), silence():
        try:
            program = torch.onnx.export(
                module,
                tuple(one.example.to(device) for one in graph.inputs.values()),
                input_names=list(graph.inputs),
                output_names=[graph.says],
                # of a module that takes any number of inputs they are one argument
                dynamic_shapes=(shapes,) if any(one.kind is one.VAR_POSITIONAL for one in takes) else shapes,
                dynamo=True,
                external_data=False,
                optimize=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            cause = error.__cause__ or error
            raise BadInput(
                f"{graph.name} cannot be exported to ONNX: its forward must be traceable by "
                f"torch.export with any {any_}. ({type(cause).__name__}: {_first_line(str(cause))})"
            ) from error
    assert program is not None  # only the older exporter returns nothing
    proto = program.model_proto  # made anew each time it is asked for
    _strip(proto)
    return proto


def _check_answers(path: Path, graph: Exportable, outline: Outline) -> None:
    session = open_session(path)
    long = any(LENGTH in one.shape for one in graph.inputs.values())
    most = graph.most.get(LENGTH, 512)
    for batch, length in ((1, 1), (3, min(7, most)), (2, min(512, most))) if long else ((1, 1), (3, 1)):
        of, fixes = (f" of {length} {outline.positions}", "number or length") if long else ("", "number")
        try:
            shape = np.shape(np.asarray(session.run(None, example_inputs(session, batch, length))[0]))
        except Exception as error:  # ONNX Runtime has a class for each kind, none of them public
            raise BadInput(
                f"{graph.name}, exported to ONNX, fails on {batch} {outline.example}(s){of}: {short(error)}"
            ) from error
        right = tuple({BATCH: batch, LENGTH: length}.get(size, size) for size in graph.answer)  # type: ignore[call-overload]
        if len(shape) != len(right) or any(want != is_ for want, is_ in zip(right, shape) if isinstance(want, int)):
            raise LimbeckError(
                f"{graph.name}, exported to ONNX, answers {batch} {outline.example}(s){of} with shape {shape} where "
                f"({', '.join(map(str, right))}) is right: its forward fixes the {fixes} of {outline.examples}, or its outputs "
                f"are not the {'numbers' if graph.says == 'values' else 'logits of the classes'}."
            )


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
