"""Small constants of XNNPACK's delegates, laid into the delegates themselves: under names of their own they make a small file larger by a fifth.

ExecuTorch keeps each constant of a delegate apart, so that delegates may share it, under a digest of 64 letters that stands in a file
twice. A delegate takes a constant from behind its own graph as well, where none has a name (``schema.fbs``: ``ConstantDataOffset``).
"""

from __future__ import annotations

import importlib.util
import re
import tempfile
from collections import Counter
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from torch import fx

BACKEND = "XnnpackBackend"
LARGEST = 1 << 16
"""Bytes of a constant above which it keeps its name, which is then less than 0.3 % of it, and is read by itself."""
ALIGNMENT = 16  # of each part of a delegate, XNNPACK's CONSTANT_TENSOR_ALIGNMENT
IDENTIFIER = b"XN01"


def with_constants_inside(module: fx.GraphModule) -> None:
    """Changes a lowered graph in place: constants of up to :data:`LARGEST` bytes that one delegate alone asks for stand in it."""
    from executorch.exir.lowered_backend_module import LoweredBackendModule

    names = [str(node.target) for node in module.graph.nodes if node.op == "get_attr"]
    held = {name: one for name in names if isinstance(one := getattr(module, name), LoweredBackendModule)}
    named: dict[str, Any] = {
        name: one.named_data_store_output for name, one in held.items() if one.backend_id == BACKEND
    }
    asked = Counter(key for data in named.values() if data is not None for key in data.pte_data)
    for name, data in named.items():
        if data is None:
            continue
        own = {key: bytes(data.buffers[one.buffer_index]) for key, one in data.pte_data.items() if asked[key] == 1}
        inside = {key: value for key, value in own.items() if len(value) <= LARGEST}
        if not inside:
            continue
        before, left = held[name], type(data)(data.buffers, dict(data.pte_data), data.external_data)
        for key in inside:
            del left.pte_data[key]
        after = LoweredBackendModule(
            edge_program=before.original_module,
            backend_id=before.backend_id,
            processed_bytes=_laid_in(before.processed_bytes, inside),
            compile_specs=before.compile_specs,
            named_data_store_output=left if left.pte_data else None,
        )
        after.meta = before.meta
        setattr(module, name, after)


def _laid_in(delegate: bytes, constants: dict[str, bytes]) -> bytes:
    """A delegate's content with these of its constants behind its graph, and without their names."""
    import flatbuffers
    from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader

    header = XNNHeader.from_bytes(delegate[: XNNHeader.EXPECTED_LENGTH])
    schema = _schema()
    first, length = header.flatbuffer_offset, header.flatbuffer_size
    graph = schema.XNNGraphT.InitFromObj(schema.XNNGraph.GetRootAs(delegate[first : first + length], 0))
    kept = bytearray(delegate[header.constant_data_offset :][: header.constant_data_size])
    for one in graph.constantData:
        value = constants.get((one.namedKey or b"").decode())
        if value is not None:
            kept = _padded(kept)
            one.namedKey, one.offset = None, len(kept)
            kept += value
    builder = flatbuffers.Builder(length)
    builder.Finish(graph.Pack(builder), IDENTIFIER)
    content = builder.Output()
    behind_header = len(_padded(bytearray(XNNHeader.EXPECTED_LENGTH)))
    behind_graph = behind_header + len(_padded(content))
    said = XNNHeader(behind_header, len(content), behind_graph, len(kept)).to_bytes()
    return bytes(_padded(bytearray(said)) + _padded(content) + kept)


@cache
def _schema() -> Any:
    """The classes of XNNPACK's graphs, as the compiler that comes with ExecuTorch makes them of its schema: they keep numbers to the bit."""
    from executorch.exir._serialize._flatbuffer import _run_flatc

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "xnnpack.fbs"
        source = (
            resources.files("executorch.backends.xnnpack.serialization")
            .joinpath("schema.fbs")
            .read_text(encoding="utf-8")
        )
        path.write_text(source, encoding="utf-8")
        _run_flatc(["--python", "--gen-onefile", "--gen-object-api", "-o", folder, str(path)])
        spec = importlib.util.spec_from_file_location("xnnpack_schema", path.with_name("xnnpack_generated.py"))
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
    # what makes a union of a table is called by the union's name and defined by one of other capitals
    makers = {name.lower(): one for name, one in vars(made).items() if name.endswith("Creator")}
    for union in re.findall(r"^union (\w+)", source, re.MULTILINE):
        setattr(made, f"{union}Creator", makers[f"{union}Creator".lower()])
    return made


def _padded(content: bytearray) -> bytearray:
    return content + b"\0" * (-len(content) % ALIGNMENT)
