"""What files take once they are compressed, and how many zeros those of ONNX hold"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
from onnx import numpy_helper

from .formats.format import Format

GZIP_LEVEL, ZSTD_LEVEL = 9, 19
COUNTED = ("onnx", "onnx-int8")
_OF_WEIGHTS = ("FLOAT", "FLOAT16", "INT8", "UINT8")


def taken_by(folder: Path, files: Sequence[str], format: Format) -> dict[str, Any]:
    """What the files of a format in a folder take: ``bytes`` as they lie there, ``gzip`` at level 9 and ``zstd`` at level 19, each by itself.

    ``zeros`` is the share of their weights that stand for zero; None of formats in which they are not counted.
    """
    wholes = [(folder / name).read_bytes() for name in files]
    zstd = pa.Codec("zstd", compression_level=ZSTD_LEVEL)
    return {
        "bytes": sum(map(len, wholes)),
        "gzip": sum(len(gzip.compress(one, GZIP_LEVEL, mtime=0)) for one in wholes),
        "zstd": sum(zstd.compress(one).size for one in wholes),
        "zeros": share_of_zeros([folder / name for name in files]) if format.name in COUNTED else None,
    }


def share_of_zeros(paths: Iterable[Path]) -> float:
    """Of the weights in ONNX files, those with at least two sides, in float or in 8 bits, how many stand for zero."""
    zeros = count = 0
    for path in paths:
        tensors = {one.name: one for one in onnx.load(str(path)).graph.initializer}
        for name, one in tensors.items():
            if len(one.dims) < 2 or onnx.TensorProto.DataType.Name(one.data_type) not in _OF_WEIGHTS:
                continue
            values = numpy_helper.to_array(one)
            point = tensors.get(f"{name.removesuffix('_quantized')}_zero_point")
            at = np.int64(0) if point is None else numpy_helper.to_array(point).astype(np.int64).flat[0]
            zeros += int((values == at).sum())
            count += values.size
    return zeros / count if count else 0.0
