"""An exported file with its weights in 8 bits, and what that costs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor

from ..errors import BadInput
from ..evaluation.kinds import KINDS
from ..interfaces import RaggedLogits
from .metadata import METADATA_KEY
from .onnx import silence, written


def quantise(path: Path, int8_path: Path, operators: Sequence[str]) -> None:
    """Writes the file at ``path`` with the weights of these operators in 8 bits; activations are quantised as they come.

    Products get int8 weights with a scale for each channel; a table of embeddings gets uint8 with one scale for all of it,
    which is what ONNX Runtime's quantiser does to a ``Gather`` whatever it is asked (the format ``onnx-int8`` gives each row its own).
    What that costs must be measured: see :func:`price`.

    Raises :class:`BadInput` where the file is none that Limbeck exported.
    """
    proto = onnx.load(Path(path))
    content = next((entry.value for entry in proto.metadata_props if entry.key == METADATA_KEY), None)
    if content is None:
        raise BadInput(f"{path} has no '{METADATA_KEY}' metadata: it was not exported by Limbeck.")
    metadata = json.loads(content)
    # Shapes that the exporter noted of weights are wrong once the quantiser has turned them round.
    del proto.graph.value_info[:]
    with silence(), tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "int8.onnx"
        quantize_dynamic(
            proto,
            made,
            op_types_to_quantize=list(operators),
            per_channel=True,
            # seven bits: a CPU with AVX2 or AVX-512 but without VNNI adds products of eight in 16 bits, and cuts them off
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        quantised = onnx.load(made)
    with written(quantised, Path(int8_path), metadata, name=str(metadata.get("name", path))):
        pass


def price(exact: Tensor | RaggedLogits, ours: Tensor | RaggedLogits, labels: Tensor, kind: str) -> dict[str, Any]:
    """What int8 costs, of the answers of a kind that the float32 file and the int8 file give to the same examples.

    ``figure`` names the first figure of the kind, under whose name stands that of int8, and under that with ``_float32``
    behind it the other's; ``agreement`` is the share that says the same, ``n`` the number of examples.
    """
    by, labels = KINDS[kind], labels.cpu()
    figure = by.FIGURES[0].name
    theirs, own = (by.figures(by.kept(answer, labels))[figure] for answer in (exact, ours))
    _, agreement = by.alike(*(one.logits if isinstance(one, RaggedLogits) else one for one in (exact, ours)))
    return {"figure": figure, figure: own, f"{figure}_float32": theirs, "agreement": agreement, "n": len(labels)}
