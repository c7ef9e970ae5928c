"""An ONNX file as a module, so that whatever asks a model can ask a file.

Shapes: B batch, C channels (or classes), H and W rows and columns.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from ..errors import BadInput, short, shown
from ..sections.section import LARGEST_SIDE
from .outputs import of_two_classes
from .places import check_onnx

# Where a file that Limbeck exported says what it takes (limbeck.modalities.image.predict, which stands alone, has the same).
METADATA_KEY = "limbeck"

_PASSING = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
_NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


class OnnxFile(nn.Module):
    """What is so of any ONNX file that gives logits (B, classes), run by ONNX Runtime on the CPU.

    Where the file's last step is a softmax, the answer is the logarithm of what it gives; where it is a sigmoid, the logit
    of that. The state holds the digest of the file, so that its bytes are part of what identifies the module; it has no
    parameters, and inner modules neither. With ``two_classes`` set, the file's one output is the logit z of (0, z).

    Args:
        path: the file; weights that it keeps in other files must lie beside it.
        threads: that its operators run on; torch's number where not given.

    Raises:
        BadInput: there is no such file, it cannot be read or run, or it has several outputs of which none is called
            ``logits``.
    """

    longest: int | None = None  # tokens of its longest input; None where inputs have one size, or any

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        super().__init__()
        self.path, self.threads = Path(path), threads
        proto, digest = _read(self.path)
        self.session = _open(self.path, threads or torch.get_num_threads())
        answers = self.session.get_outputs()
        named = [one for one in answers if one.name == "logits"] or answers
        if len(named) != 1 or named[0].type not in _NUMBERS:
            gives = ", ".join(f"'{one.name}', {one.type}" for one in answers)
            raise BadInput(f"{path} gives {gives}; one output of logits is needed, or one that is called 'logits'.")
        self._output, self.gives = named[0].name, named[0].shape
        self.answers = (
            self.gives[1] if len(self.gives) == 2 and isinstance(self.gives[1], int) else None
        )  # None: the file does not say
        self._last = _last_step(proto.graph, self._output)
        self.two_classes = False
        self.metadata = _metadata(proto, self.path)
        self.parameter_count = sum(math.prod(one.dims) for one in proto.graph.initializer if _is_real(one))
        self.register_buffer("file_digest", torch.tensor(list(digest), dtype=torch.uint8))

    @property
    def timed_as_it_is(self) -> bool:
        """Whether examples of any number can be made up for it, so that it is timed beside an exported student."""
        raise NotImplementedError

    @property
    def ends_in_softmax(self) -> bool:
        """Whether the file gives probabilities of one class among all."""
        return self._last == "Softmax"

    @property
    def ends_in_sigmoid(self) -> bool:
        """Whether the file gives a probability for each class by itself."""
        return self._last == "Sigmoid"

    def run(self, inputs: dict[str, np.ndarray], about: str, hint: str) -> Tensor:
        """What the file answers, float32 on the CPU. Raises :class:`BadInput` where it fails or answers no numbers."""
        try:
            answer = np.asarray(self.session.run([self._output], inputs)[0])
        except Exception as error:  # as in _open
            raise BadInput(f"{self.path} fails on {about}: {short(error)}") from error
        if np.isnan(answer).any() or np.isposinf(answer).any():
            raise BadInput(
                f"{self.path} answers with values that are no numbers (NaN or infinity): its weights are damaged{hint}."
            )
        return torch.from_numpy(answer.astype(np.float32, copy=False))

    def as_logits(self, answer_BC: Tensor) -> Tensor:
        """The answer with a last softmax or sigmoid undone, of two classes where one output stands for both."""
        if self.ends_in_softmax:
            answer_BC = answer_BC.clamp(min=torch.finfo(torch.float32).tiny).log()
        elif self.ends_in_sigmoid:
            answer_BC = answer_BC.clamp(torch.finfo(torch.float32).tiny, 1 - torch.finfo(torch.float32).eps / 2).logit()
        return of_two_classes(answer_BC) if self.two_classes else answer_BC

    def unusable(self, why: str) -> BadInput:
        """What to raise where the file's metadata make no sense, or are another modality's."""
        return _unusable(self.path, why)


class OnnxModel(OnnxFile):
    """Logits (B, classes), float32, of images (B, C, H, W), from ONNX Runtime on the CPU.

    Images may be on any device, where the answer is too. A file made for a fixed number of images is asked about so
    many at a time, the last of them repeated to fill up.

    Raises:
        BadInput: as :class:`OnnxFile`, and where the file is no classifier of images: has several inputs, or an input that
            is not four-dimensional.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        super().__init__(path, threads=threads)
        takes = self.session.get_inputs()
        if len(takes) != 1:
            names = ", ".join(one.name for one in takes) or "none"
            raise BadInput(f"{path} takes {len(takes)} inputs ({names}); a classifier of images takes one.")
        (image,) = takes
        if image.type not in _NUMBERS or len(image.shape) != 4:
            raise BadInput(
                f"{path} takes '{image.name}', {image.type} of shape {_shape(image.shape)}; floating-point images "
                "(batch, channels, height, width) are needed."
            )
        self._input, self._dtype = image.name, _NUMBERS[image.type]
        self.takes = tuple(side if isinstance(side, int) else None for side in image.shape)
        self.batch = self.takes[0]  # None: any
        _check_metadata(self.metadata, self.takes, self.gives, self.path)

    @property
    def timed_as_it_is(self) -> bool:
        """Whether one image of a known size can be made up for it."""
        return self.batch is None and None not in self.takes[1:]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _again, (str(self.path), self.threads, self.two_classes)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        batch = self.batch or max(1, len(images_BCHW))
        parts = [self._run(part, batch) for part in images_BCHW.detach().cpu().split(batch)]
        return self.as_logits(torch.cat(parts).to(images_BCHW.device, torch.float32))

    def _run(self, images_BCHW: Tensor, batch: int) -> Tensor:
        count = len(images_BCHW)
        if self.batch is not None and count < batch:
            images_BCHW = torch.cat([images_BCHW, images_BCHW[-1:].expand(batch - count, -1, -1, -1)])
        given = np.ascontiguousarray(images_BCHW.numpy(), dtype=self._dtype)
        about = f"images of {_shape(list(given.shape))}"
        answer = self.run({self._input: given}, about, ", or its input is beyond its range; see preprocess")
        return answer[: count if self.batch is not None else None]

    def check_takes(self, channels: int, size: int | tuple[int, int]) -> None:
        """Raises :class:`BadInput` where images (channels, height, width) are not what the file was made for.

        ``size`` is the side of square ones, or (height, width).
        """
        wanted = (channels, size, size) if isinstance(size, int) else (channels, *size)
        if all(side is None or side == want for side, want in zip(self.takes[1:], wanted, strict=True)):
            return
        shown = "x".join("any" if side is None else str(side) for side in self.takes[1:])
        height, width = self.takes[2:]
        other = None not in (height, width) and (height, width) != wanted[1:] and self.takes[1] in (None, channels)
        side = height if height == width else [height, width]
        raise BadInput(
            f"{self.path} takes images of {shown} (channels, height, width), and it would be given "
            f"{'x'.join(map(str, wanted))}: "
            + (f"set preprocess.size: {side} beside it." if other else "export it for such images.")
        )


def _again(path: str, threads: int | None, two_classes: bool) -> OnnxModel:
    model = OnnxModel(path, threads=threads)
    model.two_classes = two_classes
    return model


def _last_step(graph: onnx.GraphProto, output: str) -> str:
    """The kind of the node that gives an output, but for such as only pass its values on."""
    by_output = {name: node for node in graph.node for name in node.output}
    node = by_output.get(output)
    while node is not None and node.op_type in _PASSING and node.input:
        node = by_output.get(node.input[0])
    return "" if node is None else node.op_type


def _open(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is raised
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has a class for each kind, none of them public
        raise BadInput(f"{path} cannot be run by ONNX Runtime: {short(error)}") from error


def _read(path: Path) -> tuple[onnx.ModelProto, bytes]:
    """The model without such weights as lie in other files, and the SHA-256 over all of its bytes."""
    check_onnx(path)
    try:
        content = path.read_bytes()
        proto = onnx.load_model_from_string(content)
        sha = hashlib.sha256(content)
        if not proto.graph.output:
            raise ValueError("it holds no graph")
        for name in sorted(_beside(proto)):
            other = (path.parent / name).resolve()
            if not other.is_relative_to(path.parent.resolve()):
                raise BadInput(f"{path} keeps weights in {name}, outside its folder, where nothing is read from.")
            if not other.is_file():
                raise BadInput(f"{path} keeps weights in {other}, which does not exist: copy it beside the file.")
            with open(other, "rb") as file:
                sha.update(hashlib.file_digest(file, "sha256").digest())
        return proto, sha.digest()
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # protobuf has its own classes
        raise BadInput(f"{path} is not a whole ONNX file ({short(error)}).") from error


def _beside(proto: onnx.ModelProto) -> set[str]:
    """Names of the files that hold the weights which are not inside."""
    return {
        entry.value
        for tensor in proto.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }


def _metadata(proto: onnx.ModelProto, path: Path) -> dict[str, Any]:
    """What a file that Limbeck exported says of itself; empty for others."""
    for entry in proto.metadata_props:
        if entry.key == METADATA_KEY:
            try:
                found = json.loads(entry.value)
            except (ValueError, RecursionError) as error:
                why = "it nests too deeply" if isinstance(error, RecursionError) else str(error)
                raise _unusable(path, why) from None
            if not isinstance(found, dict):
                raise _unusable(path, "it is no section of fields")
            return found
    return {}


def _check_metadata(said: dict[str, Any], takes: Sequence[int | None], gives: Sequence[Any], path: Path) -> None:
    """Raises :class:`BadInput` where what a file says of itself makes no sense, or its graph contradicts it.

    ``takes``: the sides (batch, channels, height, width) of its input, None where any; ``gives``: those of its answer.
    """
    task, classes, given = said.get("task", "image-classification"), said.get("classes"), said.get("input")
    if task not in ["image-classification", "image-regression"]:
        raise _unusable(path, f"its task is {shown(task)}, and it takes images")
    if classes is not None:
        if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
            raise _unusable(path, "classes must be a list of names")
        if len(gives) == 2 and isinstance(gives[1], int) and gives[1] != len(classes):
            raise _unusable(path, f"it names {len(classes)} classes, and the file answers {gives[1]}")
    if given is None:
        return
    if not isinstance(given, dict):
        raise _unusable(path, "input is no section of fields")
    for name, side in zip(("channels", "height", "width"), takes[1:], strict=True):
        value = given.get(name)
        if value is not None and (type(value) is not int or not 1 <= value <= LARGEST_SIDE):
            raise _unusable(path, f"input.{name} is {shown(value)}, not a whole number from 1 to {LARGEST_SIDE:,}")
        if None not in (value, side) and value != side:
            raise _unusable(path, f"input.{name} is {value}, and the file takes {side}")
    for name, least in (("mean", -1e6), ("std", 1e-12)):
        values = given.get(name)
        if values is not None and not (
            isinstance(values, list)
            and len(values) == given.get("channels", len(values))
            and all(type(value) in (int, float) and least <= value <= 1e6 for value in values)
        ):
            raise _unusable(path, f"input.{name} must hold a number a channel, from {least:g} to 1e+06")


def _unusable(path: Path, why: str) -> BadInput:
    return BadInput(f"{path} has '{METADATA_KEY}' metadata that cannot be used ({why}): export it again.")


def _is_real(tensor: onnx.TensorProto) -> bool:
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
    return tensor.data_type in kinds


def _shape(shape: list[Any]) -> str:
    return "(" + ", ".join("any" if not isinstance(side, int) else str(side) for side in shape) + ")"
