"""The formats and precisions in which a student is deployed, one module each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...errors import BadInput
from .executorch import EXECUTORCH, EXECUTORCH_INT8
from .format import Format
from .litert import LITERT, LITERT_INT8
from .micro import MICRO
from .onnx import ONNX
from .onnx_int4 import ONNX_INT4
from .onnx_int8 import ONNX_INT8

FORMATS: Mapping[str, Format] = {
    one.name: one for one in (ONNX, ONNX_INT8, ONNX_INT4, EXECUTORCH, EXECUTORCH_INT8, LITERT, LITERT_INT8, MICRO)
}
"""By the names that recipes know (:data:`limbeck.sections.recipe.FormatName`)."""


def require(names: Iterable[str]) -> None:
    """Raises :class:`BadInput` where something is to be installed first for one of these formats, or there is none yet."""
    for name in names:
        if name not in FORMATS:
            raise BadInput(f"export.formats: {name} cannot be written yet; there are {', '.join(FORMATS)}.")
        if (why := FORMATS[name].missing()) is not None:
            raise BadInput(f"export.formats: {why}")
