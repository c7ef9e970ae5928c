"""A text classifier as ONNX files, with its tokenizer beside them: float32, and int8.

The tokenizer is one file, ``tokenizer.json``, that the ``tokenizers`` package reads by itself.

Shapes: B texts, L tokens, C classes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from ...deploy.latency import compare_latency
from ...deploy.metadata import METADATA_KEY, SCHEMA_VERSION
from ...deploy.onnx import evaluating, silence, translate, written
from ...deploy.parity import compared
from ...deploy.runtime import open_session
from ...errors import BadInput, LimbeckError
from ...files import write_text
from ...models.inference import device_of
from ...nlp.pairs import SEGMENTS
from ...version import __version__
from .predict import PAIRS_VERSION

INPUTS = ("input_ids", "attention_mask")
TOKENIZER = "tokenizer.json"


def text_metadata(
    *,
    name: str,
    classes: Sequence[str],
    vocabulary: int,
    max_length: int,
    multi_label: bool = False,
    pair: tuple[str, str] | None = None,
    segments: bool = False,
) -> dict[str, Any]:
    """What a text classifier's file says of itself.

    ``vocabulary`` is how many tokens it knows, ``max_length`` the longest input in tokens. The classes' probabilities
    are the logits' softmax; where a text can have several labels, each logit's sigmoid. A classifier of pairs names their
    sides, ``pair``, and has ``segments`` where it reads segment ids; programs that know single texts alone refuse its
    version of the schema.
    """
    inputs: dict[str, Any] = {"names": [*INPUTS, SEGMENTS] if segments else list(INPUTS)}
    if pair is not None:
        inputs["pair"] = list(pair)
    return {
        "schema_version": SCHEMA_VERSION if pair is None else PAIRS_VERSION,
        "task": "text-classification",
        "name": name,
        "classes": list(classes),
        "multi_label": multi_label,
        "input": {**inputs, "vocabulary": vocabulary, "max_length": max_length, "tokenizer": TOKENIZER},
        "limbeck_version": __version__,
    }


def export_text_onnx(model: nn.Module, tokenizer: Any, path: Path, metadata: dict[str, Any]) -> None:
    """Writes ``model`` in eval mode as ONNX, and ``tokenizer`` as ``tokenizer.json`` beside it.

    ``input_ids`` and ``attention_mask``, and ``token_type_ids`` where ``metadata`` names them, int64 (batch, length), go in;
    ``logits`` (batch, classes) come out. Batch and length are dynamic, the weights are inside, and ``metadata`` lies under the key ``limbeck`` of the file's
    properties. The file is run at several batches and lengths before it takes its name; the model's mode is left as it
    was. ``model`` takes the ids of ``tokenizer`` (not its teacher's).

    Raises :class:`BadInput` where the model cannot be exported, :class:`LimbeckError` where what came out does not
    answer as it should.
    """
    name = type(model).__name__
    longest = int(metadata["input"]["max_length"])
    ids_2L = torch.zeros((2, min(9, longest)), dtype=torch.int64, device=device_of(model))
    # A mask without padding might be taken for a constant.
    mask_2L = torch.ones_like(ids_2L)
    mask_2L[0, -1] = 0
    names = metadata["input"]["names"]
    example = (ids_2L, mask_2L)
    if SEGMENTS in names:
        example += (torch.arange(ids_2L.shape[1], device=ids_2L.device).expand_as(ids_2L).clamp(max=1).contiguous(),)
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=longest)}
    shapes = (free,) * len(names)
    proto = translate(_Logits(model, names), example, names, (shapes,), name=name, any_="number and length of texts")
    with written(proto, path, metadata, name=name) as temporary:
        _check_answers(temporary, names, name=name, classes=len(metadata["classes"]), longest=longest)
    write_tokenizer(tokenizer, Path(path).parent / TOKENIZER, max_length=longest)


def write_tokenizer(tokenizer: Any, path: Path, *, max_length: int) -> None:
    """Writes a fast tokenizer as one file that ``tokenizers.Tokenizer.from_file`` reads; it cuts at ``max_length``."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise BadInput(
            f"export: a {type(tokenizer).__name__} cannot be written as {TOKENIZER}; only fast tokenizers can. "
            "transformers.convert_slow_tokenizer makes one."
        )
    import tokenizers

    ours = tokenizers.Tokenizer.from_str(backend.to_str())
    ours.enable_truncation(max_length, direction=tokenizer.truncation_side)
    ours.enable_padding(
        direction=tokenizer.padding_side,
        pad_id=tokenizer.pad_token_id,
        pad_type_id=tokenizer.pad_token_type_id,
        pad_token=str(tokenizer.pad_token),
    )
    write_text(path, ours.to_str(pretty=True) + "\n")


def check_text_parity(
    model: nn.Module,
    path: Path,
    batches: Sequence[Mapping[str, Tensor]],
    max_abs: float,
    agreement: float,
    kind: str = "classes",
) -> dict[str, Any]:
    """Compares PyTorch's float32 logits (eval mode) with ONNX Runtime's over batches of its inputs, (B, L) each.

    Limits and answer are those of :func:`limbeck.deploy.parity.compared`; the batches should differ in length.
    """
    if not batches:
        raise ValueError("parity needs at least one batch of texts")
    session = open_session(path)
    names = [given.name for given in session.get_inputs()]
    device, logits = device_of(model), _Logits(model, names)

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for batch in batches:
            expected_BC = logits(*(batch[name].to(device) for name in names)).float().cpu().numpy()
            given = {name: batch[name].cpu().numpy() for name in names}
            yield expected_BC, np.asarray(session.run(None, given)[0])

    with evaluating(model), torch.no_grad():
        return compared(pairs(), path, kind=kind, max_abs=max_abs, agreement=agreement)


def onnx_logits(path: Path, batches: Iterable[Mapping[str, Tensor]]) -> Tensor:
    """What an exported model answers to batches of its inputs (B, L): all their logits (N, C), float32."""
    session = open_session(path)
    names = [given.name for given in session.get_inputs()]
    answers = [session.run(None, {name: batch[name].cpu().numpy() for name in names})[0] for batch in batches]
    return torch.cat([torch.from_numpy(np.asarray(answer)) for answer in answers])


def text_latency(
    paths: Mapping[str, Path], lengths: Sequence[int] = (32, 128), *, seconds: float = 6.0
) -> dict[int, dict[str, Any]]:
    """For each length in tokens, what :func:`.latency.compare_latency` says of the models at batch 1.

    ``seconds`` is the most that each length takes.
    """
    return {length: compare_latency(paths, seconds=seconds, length=length) for length in lengths}


def inputs_of(path: Path) -> tuple[str, ...]:
    """The names of what an exported model is given."""
    proto = onnx.load(Path(path))
    return tuple(_metadata(proto, Path(path))["input"]["names"])


class _Logits(nn.Module):
    """The inputs called so in, logits out: positional, and a tensor alone, as the exporter likes it."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, *inputs_BL: Tensor) -> Tensor:
        answer = self.model(**dict(zip(self.names, inputs_BL, strict=True)))
        return answer if isinstance(answer, Tensor) else answer.logits


def _metadata(proto: onnx.ModelProto, path: Path) -> dict[str, Any]:
    content = next((entry.value for entry in proto.metadata_props if entry.key == METADATA_KEY), None)
    if content is None:
        raise BadInput(f"{path} has no '{METADATA_KEY}' metadata: it was not exported by Limbeck.")
    return json.loads(content)


def _check_answers(path: Path, names: Sequence[str], *, name: str, classes: int, longest: int) -> None:
    session = open_session(path)
    for batch, length in ((1, 1), (3, min(7, longest)), (2, min(512, longest))):
        given = {one: np.full((batch, length), one == "attention_mask", dtype=np.int64) for one in names}
        shape = np.shape(np.asarray(session.run(None, given)[0]))
        if shape != (batch, classes):
            raise LimbeckError(
                f"{name}, exported to ONNX, answers {batch} text(s) of {length} tokens with shape {shape} where "
                f"({batch}, {classes}) is right: its forward fixes the number or length of texts, or its outputs "
                "are not the classes' logits."
            )


# What an int8 file keeps in int8: products, and the tables of embeddings. Convolutions stay: theirs are small, and
# ONNX Runtime's integer convolution is slower on a CPU.
_QUANTIZED = ("MatMul", "Gather", "Attention")


def quantize_text_onnx(path: Path, int8_path: Path) -> None:
    """Writes an exported text model with int8 weights (symmetric, per channel; activations quantised as they come).

    Embedding tables are int8 too. What it costs in accuracy must be measured: see :func:`check_text_parity`.
    """
    proto = onnx.load(Path(path))
    metadata = _metadata(proto, Path(path))
    # Shapes that the exporter noted of weights are wrong once the quantiser has turned them round.
    del proto.graph.value_info[:]
    with silence(), tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "int8.onnx"
        quantize_dynamic(
            proto,
            made,
            op_types_to_quantize=list(_QUANTIZED),
            per_channel=True,
            # seven bits: a CPU with AVX2 or AVX-512 but without VNNI adds products of eight in 16 bits, and cuts them off
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(made)
    with written(quantized, Path(int8_path), metadata, name=metadata["name"]) as temporary:
        longest = int(metadata["input"]["max_length"])
        names, classes = metadata["input"]["names"], len(metadata["classes"])
        _check_answers(temporary, names, name=metadata["name"], classes=classes, longest=longest)
