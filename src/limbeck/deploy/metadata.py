"""What an exported file says of itself: the key under which it says it, and the version of what it says. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

METADATA_KEY = "limbeck"
SCHEMA_VERSION = 1

# Of ONNX's ModelProto (onnx/onnx.proto): `metadata_props`, entries of a key and a value.
_METADATA, _KEY, _VALUE = 14, 1, 2
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # how protobuf writes a field


def task_of(path: Path) -> str | None:
    """The task that an exported model's metadata names; None where it names none, or the file is no exported model."""
    task = said_by(path).get("task")
    return task if isinstance(task, str) else None


def beside_file(path: Path) -> Path:
    """Where a file of another format than ONNX has what it says of itself: beside it, as JSON."""
    return path.with_name(f"{path.name}.json")


def said_by(path: Path) -> dict[str, Any]:
    """What an exported model's metadata say; empty where they say nothing, or the file is no exported model.

    Only the metadata are read, whatever the size of the graph: nothing is imported for it.
    """
    try:
        if path.suffix != ".onnx" and beside_file(path).is_file():
            said = json.loads(beside_file(path).read_text(encoding="utf-8"))
            return said if isinstance(said, dict) else {}
        with open(path, "rb") as file:
            entries = [dict(_fields(entry)) for number, entry in _of_file(file) if number == _METADATA]
        said = json.loads(next(one[_VALUE] for one in entries if one.get(_KEY) == METADATA_KEY.encode()))
    except (OSError, ValueError, LookupError, TypeError, StopIteration, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _of_file(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The metadata of a model in a file; its other fields are passed over."""
    while (tag := _number(file)) is not None:
        number, kind = tag >> 3, tag & 7
        if kind == _LENGTH:
            size = _number(file) or 0
            if number == _METADATA:
                yield number, file.read(size)
            else:
                file.seek(size, 1)
        elif kind == _VARINT:
            _number(file)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            file.seek(8 if kind == _EIGHT_BYTES else 4, 1)
        else:
            raise ValueError(f"protobuf has no fields of kind {kind}")


def _fields(entry: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of an entry of the metadata."""
    from io import BytesIO

    file = BytesIO(entry)
    while (tag := _number(file)) is not None:
        yield tag >> 3, file.read(_number(file) or 0)


def _number(file: BinaryIO) -> int | None:
    """The next whole number, seven bits a byte, the lowest first; None at the end."""
    value = shift = 0
    while byte := file.read(1):
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
        shift += 7
        if shift > 63:
            break
    if shift:
        raise ValueError("no protobuf number")
    return None
