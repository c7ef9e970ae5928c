"""A text classifier as a graph to be exported, what its file says of itself, and its tokenizer beside it.

The tokenizer is one file, ``tokenizer.json``, that the ``tokenizers`` package reads by itself.

Shapes: B texts, L tokens, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...deploy.metadata import SCHEMA_VERSION, said_by
from ...deploy.onnx import write_onnx
from ...errors import BadInput
from ...files import write_text
from ...interfaces import Exportable, Input
from ...interfaces.exportable import BATCH, LENGTH
from ...nlp.folder import longest_input
from ...nlp.pairs import SEGMENTS
from ...nlp.segments import segments_read
from ...version import __version__
from . import OUTLINES
from .predict import PAIRS_VERSION

INPUTS = ("input_ids", "attention_mask")
LENGTHS = (32, 128)  # tokens of a text at which speed is measured, the usual first
# What an int8 file keeps in int8: products, and the tables of embeddings. Convolutions stay: theirs are small, and
# ONNX Runtime's integer convolution is slower on a CPU.
INT8 = ("MatMul", "Gather", "Attention")
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


def exportable(model: nn.Module, tokenizer: Any, metadata: dict[str, Any]) -> Exportable:
    """What takes ``input_ids`` and ``attention_mask``, and ``token_type_ids`` where ``metadata`` names them, int64 (batch,
    length), and answers ``logits`` (batch, classes): a text classifier with ids of ``tokenizer``, whose file says so of itself."""
    names = metadata["input"]["names"]
    longest = int(metadata["input"]["max_length"])
    ids_2L = torch.zeros((2, min(9, longest)), dtype=torch.int64)
    # A mask without padding might be taken for a constant.
    mask_2L = torch.ones_like(ids_2L)
    mask_2L[0, -1] = 0
    kinds_2L = torch.arange(ids_2L.shape[1]).expand_as(ids_2L).clamp(max=1).contiguous()
    shape = (BATCH, LENGTH)
    inputs = {
        "input_ids": Input(ids_2L, shape, (0, metadata["input"]["vocabulary"])),
        "attention_mask": Input(mask_2L, shape, (1, 2)),
        SEGMENTS: Input(kinds_2L, shape, (0, 1)),
    }
    return Exportable(
        name=type(model).__name__,
        module=_Logits(model, names),
        inputs={name: inputs[name] for name in names},
        answer=(BATCH, len(metadata["classes"])),
        metadata=metadata,
        most={LENGTH: longest},
        lengths=LENGTHS,
        longest=longest_input(model, tokenizer),
        int8=INT8,
    )


def export_text_onnx(model: nn.Module, tokenizer: Any, path: Path, metadata: dict[str, Any]) -> None:
    """Writes ``model`` in eval mode as ONNX, with what ``metadata`` (:func:`text_metadata`) says of it, and ``tokenizer`` as
    ``tokenizer.json`` beside it. ``model`` takes the ids of ``tokenizer`` (not its teacher's).

    Raises as :func:`limbeck.deploy.onnx.write_onnx`.
    """
    write_onnx(exportable(model, tokenizer, metadata), path, OUTLINES[metadata["task"]])
    write_tokenizer(tokenizer, Path(path).parent / TOKENIZER, max_length=int(metadata["input"]["max_length"]))


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


def names_of(model: nn.Module, tokenizer: Any, pair: tuple[str, str] | None) -> list[str]:
    """What a classifier of texts, or of pairs, is given."""
    segments = pair is not None and bool(segments_read(model, tokenizer))
    return [*INPUTS, SEGMENTS] if segments else list(INPUTS)


def inputs_of(path: Path) -> tuple[str, ...]:
    """The names of what an exported model is given."""
    return tuple(said_by(path)["input"]["names"])


class _Logits(nn.Module):
    """The inputs called so in, logits out: positional, and a tensor alone, as the exporter likes it."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)

    def forward(self, *inputs_BL: Tensor) -> Tensor:
        answer = self.model(**dict(zip(self.names, inputs_BL, strict=True)))
        return answer if isinstance(answer, Tensor) else answer.logits
