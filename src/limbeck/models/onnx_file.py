"""An ONNX file as a module, so that whatever asks a model can ask a file. Shapes: B batch, C classes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from ..errors import BadInput, short
from .outputs import of_two_classes
from .places import check_onnx

# Where a file that Limbeck exported says what it takes (limbeck.modalities.image.predict, which stands alone, has the same).
METADATA_KEY = "limbeck"

_PASSING = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


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
        if len(named) != 1 or named[0].type not in NUMBERS:
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

    def names(self, wanted: Sequence[str], what: str = "class") -> bool:
        """Whether it says what its outputs stand for, of which as many are ``wanted``. Raises :class:`BadInput` where it says others."""
        said = self.metadata.get("classes")
        if not isinstance(said, list) or len(said) != len(wanted):
            return False
        if said != list(wanted):
            first = next(k for k, (a, b) in enumerate(zip(said, wanted)) if a != b)
            many = {"class": "classes"}.get(what, f"{what}s")
            raise BadInput(
                f"{self.path} was made for other {many} than the data's: its {what} {first} is '{said[first]}', the data's is "
                f"'{wanted[first]}'. Name the data that it was made for."
            )
        return True

    def unusable(self, why: str) -> BadInput:
        """What to raise where the file's metadata make no sense, or are another modality's."""
        return _unusable(self.path, why)


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


def _unusable(path: Path, why: str) -> BadInput:
    return BadInput(f"{path} has '{METADATA_KEY}' metadata that cannot be used ({why}): export it again.")


def _is_real(tensor: onnx.TensorProto) -> bool:
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)
    return tensor.data_type in kinds


def shape_text(shape: list[Any]) -> str:
    return "(" + ", ".join("any" if not isinstance(side, int) else str(side) for side in shape) + ")"
