"""An exported model opened, held to what it says of itself, and asked, whatever its examples are. Stands alone; no torch

What the ``predict.py`` of several modalities have in common: written out, each of those holds a copy.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime

from .litert_file import LiteRTFile

METADATA_KEY = "limbeck"
SCHEMA_VERSION = 1

OfModel = TypeVar("OfModel")


def open_model(path: Path, threads: int = 0) -> Any:
    """A CPU session of the model, by default with a thread a core; ``ValueError`` where it is missing or no ONNX model."""
    path = Path(path)
    if path.is_dir():
        inside = min(path.glob("*.onnx"), default=path / "student.onnx")
        raise ValueError(f"model {path} is a folder: give the .onnx file in it, such as {inside}.")
    if not path.is_file():
        raise ValueError(f"model {path} does not exist: give the path of an exported .onnx file.")
    if path.suffix == ".tflite":
        return LiteRTFile(path, threads)
    if path.suffix == ".pte":
        raise ValueError(f"model {path} is for ExecuTorch's runtime alone: give the student's .onnx or .tflite file.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised, and said below
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise ValueError(
            f"model {path} cannot be loaded: it is not an ONNX model, or it is damaged. "
            f"Export or copy it again. (ONNX Runtime says: {first_line(error)})"
        ) from error


def metadata_of(
    session: onnxruntime.InferenceSession,
    path: Path,
    parse: Callable[[dict[str, Any]], OfModel],
    problem: Callable[[onnxruntime.InferenceSession, OfModel], str | None],
    *,
    unknown: str,
) -> OfModel:
    """What the model says of itself, as ``parse`` reads it from a section of fields.

    Raises ``ValueError`` where it says nothing (``unknown`` is what nobody knows then), something that makes no sense, which is when
    ``parse`` raises ``KeyError``, ``TypeError`` or ``ValueError``, or something that its graph contradicts, as ``problem`` says.
    """
    try:
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except UnicodeDecodeError as error:
        raise ValueError(f"model {path} has metadata that is not UTF-8 text: export it again.") from error
    if text is None:
        raise ValueError(
            f"model {path} has no '{METADATA_KEY}' metadata, so its {unknown} are unknown: "
            "use a model that 'limbeck run' wrote."
        )
    try:
        metadata = parse(_fields(text))
    except (KeyError, TypeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(
            f"model {path} has '{METADATA_KEY}' metadata that cannot be used ({why}): export it again."
        ) from error
    if wrong := problem(session, metadata):
        raise ValueError(f"model {path} {wrong}: export it again.")
    return metadata


def _fields(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    if not isinstance(value, dict) or not isinstance(value.get("input", {}), dict):
        raise ValueError("it is no section of fields, or its input is none")
    return value


def names_in(value: Any, what: str, least: int = 1) -> tuple[str, ...]:
    """A list of at least so many names, of metadata; ``ValueError`` where it is none."""
    if not isinstance(value, list) or len(value) < least or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{what} must be a list of names")
    return tuple(value)


def whole(section: dict[str, Any], name: str, most: int) -> int:
    """A whole number from 1 to ``most``, of the metadata's ``input``; ``ValueError`` where it is none."""
    value = section[name]
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"input.{name} is {brief(value)}; it must be a whole number from 1 to {most}")
    return value


def brief(value: Any) -> str:
    """A value as a message shows it, at most 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


def dimensions(shape: Sequence[Any]) -> str:
    """A shape as a message shows it."""
    return "(" + ", ".join(str(side) if isinstance(side, int) else "any" for side in shape) + ")"


def taken(session: onnxruntime.InferenceSession) -> str:
    """What the graph takes, as a message shows it."""
    return ", ".join(f"'{one.name}', {one.type} {dimensions(one.shape)}" for one in session.get_inputs()) or "nothing"


def answer_problem(session: onnxruntime.InferenceSession, named: int, sides: int = 2) -> str | None:
    """What is wrong with what the graph answers, where its metadata names so many classes or numbers, the last of so many dimensions."""
    answer = session.get_outputs()[0]
    if answer.type not in ("tensor(float)", "tensor(float16)", "tensor(double)"):
        return f"answers with {answer.type}, where numbers (batch, {named}) are needed"
    fits = len(answer.shape) == sides and (answer.shape[-1] in (named, None) or not isinstance(answer.shape[-1], int))
    if answer.shape and not fits:
        return f"answers with shape {dimensions(answer.shape)}, but its metadata names {named}"
    return None


def answers_of(
    session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray], shape: tuple[int | None, ...], model: Path
) -> np.ndarray:
    """What the model answers, of that shape (None: of any size). Raises ``ValueError`` where it fails, or not all of it are finite numbers."""
    try:
        logits = np.asarray(session.run(None, inputs)[0])
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise ValueError(f"model {model} fails on its input ({first_line(error)}): export it again.") from error
    if len(logits.shape) != len(shape) or any(right not in (None, size) for right, size in zip(shape, logits.shape)):
        raise ValueError(
            f"{model} answers with shape {logits.shape}, but its metadata names {shape[-1]}: export it again."
        )
    if not np.isfinite(logits).all():
        raise ValueError(
            f"model {model} answers with values that are no finite numbers (NaN or infinity), so they say nothing: its "
            "weights are damaged, or its input is beyond its range."
        )
    return logits


def softmax(logits_BC: np.ndarray) -> np.ndarray:
    """Probabilities (B, C) that sum to 1, in float64."""
    shifted_BC = logits_BC.astype(np.float64)
    shifted_BC -= shifted_BC.max(axis=1, keepdims=True)
    exp_BC = np.exp(shifted_BC)
    return exp_BC / exp_BC.sum(axis=1, keepdims=True)


def printable(text: str) -> str:
    """``text`` on one line, with what cannot be seen (controls, line ends, marks of direction, half characters) escaped.

    A name that comes from a file can then neither steer the terminal nor pass for a line of its own. The two joiners stay,
    which scripts and emoji need.
    """
    unseen = {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\u200c", "\u200d"}
    return "".join(c.encode("unicode_escape").decode() if c in unseen else c for c in text)


def first_line(error: BaseException) -> str:
    """What an error says, or what it is."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
