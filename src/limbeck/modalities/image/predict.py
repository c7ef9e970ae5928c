#!/usr/bin/env python3
"""Classify images, or tell numbers from them, with an exported model: ONNX Runtime, NumPy and Pillow are all it needs.

    pip install onnxruntime numpy pillow
    python predict.py student.onnx shoe.png bag.jpg

The model carries the names of its classes or numbers and its preprocessing in its metadata; nothing else has to be said. (A
LiteRT file, which needs ai-edge-litert, has them beside it in FILE.tflite.json.)
This file stands alone: copy it wherever the model goes.

How an image becomes the model's input, exactly as in training: it is turned as its EXIF orientation says (PNG
files are taken as they are); rows and columns of `input.crop` are kept, all where it says none; of grey with more than 8 bits the upper 8 are kept of those in use (`input.bits` of
the metadata, else 16); transparent places are laid on a grey level (`input.background`; where there is none,
transparency is ignored); it becomes grey (ITU-R 601 luma) or RGB, as the model has it; an image of another size is
scaled until it covers the model's height and width (bicubic, antialiased) and cropped at the centre; values are
divided by 255, the mean is subtracted, and the result is divided by the standard deviation.
"""

from __future__ import annotations

import argparse
import json
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from PIL import Image

from ...models.litert_file import LiteRTFile
from .picture import MOST_PIXELS, cover, keep, recolour, upright

METADATA_KEY = "limbeck"
SCHEMA_VERSION = 1
BATCH = 64
FILES = True  # whether an example on the command line is the name of a file


class Prediction(NamedTuple):
    """An image's most probable classes, best first, with their probabilities; or its numbers: name, value and unit."""

    image: Path
    classes: list[tuple[str, float]]
    numbers: tuple[tuple[str, float, str], ...] = ()


class Metadata(NamedTuple):
    """What an exported model says of itself: what it takes and what its outputs mean."""

    name: str
    classes: tuple[str, ...]
    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bits: int = 16
    background: int | None = None
    numbers: tuple[tuple[str, str], ...] = ()  # name and unit of each; there are no classes then
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None


def predict(model: Path, images: Sequence[Path | str], top: int = 3) -> list[Prediction]:
    """The ``top`` most probable classes, or the numbers, of every image, which are files.

    Raises ``ValueError``, with a sentence, for a model or an image that is missing or cannot be used.
    """
    if top < 1:
        raise ValueError(f"top is {top}; at least 1 class can be asked for.")
    session = open_model(model)
    metadata = read_metadata(session, model)
    name = session.get_inputs()[0].name
    predictions = []
    batch = max(1, min(BATCH, MOST_PIXELS // (metadata.height * metadata.width)))
    for start in range(0, len(images), batch):
        some = [Path(image) for image in images[start : start + batch]]
        inputs_BCHW = np.stack([preprocess(read_image(image), metadata) for image in some])
        width = len(metadata.numbers or metadata.classes)
        logits_BC = answers_of(session, {name: inputs_BCHW}, (len(some), width), model)
        if metadata.numbers:
            for image, values_D in zip(some, logits_BC):
                said = tuple((name, float(value), unit) for (name, unit), value in zip(metadata.numbers, values_D))
                predictions.append(Prediction(image, [], said))
            continue
        for image, probabilities_C in zip(some, softmax(logits_BC)):
            best = np.argsort(-probabilities_C, kind="stable")[:top]
            predictions.append(Prediction(image, [(metadata.classes[c], float(probabilities_C[c])) for c in best]))
    return predictions


def open_model(path: Path, threads: int = 0) -> Any:
    """A CPU session of the model, by default with a thread a core; ``ValueError`` where it is missing or no ONNX model."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"model {path} is a folder: give the .onnx file in it, such as {path / 'student.onnx'}.")
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
            f"Export or copy it again. (ONNX Runtime says: {_first_line(error)})"
        ) from error


def read_metadata(session: onnxruntime.InferenceSession, path: Path) -> Metadata:
    """What the model says of itself.

    ``ValueError`` where it says nothing, something that makes no sense, or something that its graph contradicts.
    """
    text = _metadata_text(session, path)
    if text is None:
        raise ValueError(
            f"model {path} has no '{METADATA_KEY}' metadata, so its classes and preprocessing are unknown: "
            "use a model that 'limbeck run' wrote."
        )
    try:
        metadata = parse_metadata(_json(text))
    except (KeyError, TypeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(
            f"model {path} has '{METADATA_KEY}' metadata that cannot be used ({why}): export it again."
        ) from error
    if problem := _graph_problem(session, metadata):
        raise ValueError(f"model {path} {problem}: export it again.")
    return metadata


def read_image(path: Path) -> Image.Image:
    """The (first) picture of an image file, upright; ``ValueError`` where it is missing or cannot be read."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"image {path} does not exist.")
    try:
        with Image.open(path) as image:
            return upright(image)
    # Pillow's readers raise these, and SyntaxError, for files that are broken in various ways.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"image {path} cannot be read: it is not an image, or it is damaged ({_first_line(error)})."
        ) from error


def preprocess(image: Image.Image, metadata: Metadata) -> np.ndarray:
    """The model's input for one picture: float32 (channels, height, width), normalised."""
    image = keep(image, metadata.rows, metadata.columns)
    image = cover(
        recolour(image, metadata.channels, metadata.bits, metadata.background), metadata.height, metadata.width
    )
    pixels_HWC = np.asarray(image, dtype=np.float32).reshape(metadata.height, metadata.width, metadata.channels)
    mean_C, std_C = np.array(metadata.mean, np.float32), np.array(metadata.std, np.float32)
    return np.ascontiguousarray(((pixels_HWC / np.float32(255) - mean_C) / std_C).transpose(2, 0, 1))


def softmax(logits_BC: np.ndarray) -> np.ndarray:
    """Probabilities (B, C), in float64."""
    shifted_BC = logits_BC.astype(np.float64)
    shifted_BC -= shifted_BC.max(axis=1, keepdims=True)
    exp_BC = np.exp(shifted_BC)
    return exp_BC / exp_BC.sum(axis=1, keepdims=True)


def table(predictions: Sequence[Prediction]) -> str:
    """The predictions for a person to read, one image a block; names cannot steer the terminal."""
    lines = []
    for prediction in predictions:
        lines.append(printable(str(prediction.image)))
        lines += [f"  {probability:7.2%}  {printable(name)}" for name, probability in prediction.classes]
        lines += [
            f"  {printable(name)}  {value:.6g}{unit and ' ' + printable(unit)}"
            for name, value, unit in prediction.numbers
        ]
    return "\n".join(lines)


def plain(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The predictions as JSON can say them."""
    return [
        {
            "image": str(image),
            "numbers": [{"name": name, "value": value, "unit": unit} for name, value, unit in numbers],
        }
        if numbers
        else {"image": str(image), "top": [{"class": name, "probability": share} for name, share in classes]}
        for image, classes, numbers in predictions
    ]


def printable(text: str) -> str:
    """``text`` on one line, with what cannot be seen (controls, line ends, marks of direction, half characters) escaped.

    A name that comes from a file can then neither steer the terminal nor pass for a line of its own. The two joiners stay,
    which scripts and emoji need.
    """
    return "".join(c if _is_seen(c) else c.encode("unicode_escape").decode() for c in text)


def _is_seen(character: str) -> bool:
    unseen = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return unicodedata.category(character) not in unseen or character in "\u200c\u200d"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: prints each image's classes or numbers; 2 where the model or an image cannot be used."""
    parser = argparse.ArgumentParser(
        description="Classify images, or tell numbers from them, with an exported model.",
        epilog="example: python %(prog)s student.onnx shoe.png bag.jpg --top 5",
    )
    parser.add_argument("model", type=Path, help="the exported .onnx file")
    parser.add_argument("images", type=Path, nargs="+", help="image files (PNG, JPEG, ...)")
    parser.add_argument("--top", type=int, default=3, help="of classes, how many to name, best first (default: 3)")
    given = parser.parse_args(arguments)
    try:
        print(table(predict(given.model, given.images, given.top)))
    except ValueError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    return 0


def parse_metadata(value: dict[str, Any]) -> Metadata:
    """What a file says of itself; ``KeyError``, ``TypeError`` or ``ValueError`` where it makes no sense."""
    if value["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema_version is {value['schema_version']!r}, this program reads {SCHEMA_VERSION}")
    if value["task"] not in ("image-classification", "image-regression"):
        raise ValueError(f"task is {value['task']!r}, this program does image-classification and image-regression")
    numbers = value["task"] == "image-regression"
    given = value["input"]
    if given["scale"] != "0-1":
        raise ValueError(f"input.scale is {given['scale']!r}, this program knows 0-1")
    channels = _whole(given, "channels", 3)
    metadata = Metadata(
        name=str(value.get("name", "")),
        classes=() if numbers else _classes(value["classes"]),
        numbers=_names_and_units(value["numbers"]) if numbers else (),
        rows=_part(given, "rows"),
        columns=_part(given, "columns"),
        channels=channels,
        height=_whole(given, "height", MOST_PIXELS),
        width=_whole(given, "width", MOST_PIXELS),
        mean=_numbers(given, "mean", channels, -1e6, 1e6),
        std=_numbers(given, "std", channels, 1e-12, 1e6),
        bits=_whole(given, "bits", 32) if "bits" in given else 16,
        background=given.get("background"),
    )
    if channels == 2:
        raise ValueError("input.channels is 2, not 1 or 3")
    if metadata.height * metadata.width > MOST_PIXELS:
        raise ValueError(
            f"input.height and input.width are {metadata.height} and {metadata.width}, more than {MOST_PIXELS} pixels"
        )
    if metadata.bits < 8:
        raise ValueError(f"input.bits is {metadata.bits}, not 8 to 32")
    ground = metadata.background
    if ground is not None and (type(ground) is not int or not 0 <= ground <= 255):
        raise ValueError(f"input.background is {_brief(ground)}, not 0 to 255")
    return metadata


def _graph_problem(session: onnxruntime.InferenceSession, metadata: Metadata) -> str | None:
    """What the graph takes or answers otherwise than the metadata says."""
    takes = session.get_inputs()
    if len(takes) != 1 or takes[0].type != "tensor(float)" or len(takes[0].shape) != 4:
        what = ", ".join(f"'{one.name}', {one.type} {_dimensions(one.shape)}" for one in takes) or "nothing"
        return f"takes {what}; one input of images is needed, tensor(float) (batch, channels, height, width)"
    batch, *sides = takes[0].shape
    if isinstance(batch, int):
        return f"takes exactly {batch} image(s) at a time, where any number is needed"
    said = (metadata.channels, metadata.height, metadata.width)
    if any(isinstance(side, int) and side != want for side, want in zip(sides, said)):
        return (
            f"takes images of {_dimensions(sides)} (channels, height, width), but its metadata speaks of "
            f"{_dimensions(said)}"
        )
    return _answer_problem(session, len(metadata.numbers or metadata.classes))


def _numbers(section: dict[str, Any], name: str, count: int, least: float, most: float) -> tuple[float, ...]:
    values = section[name]
    if not isinstance(values, list) or len(values) != count:
        raise ValueError("input.mean and input.std must have one number a channel")
    if not all(type(value) in (int, float) and least <= value <= most for value in values):
        right = "input.mean must be finite and input.std positive" if name == "std" else f"input.{name} must be finite"
        raise ValueError(f"{right}, from {least:g} to {most:g}")
    return tuple(float(value) for value in values)


def _metadata_text(session: onnxruntime.InferenceSession, path: Path) -> str | None:
    try:
        return session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except UnicodeDecodeError as error:
        raise ValueError(f"model {path} has metadata that is not UTF-8 text: export it again.") from error


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    if not isinstance(value, dict) or not isinstance(value.get("input", {}), dict):
        raise ValueError("it is no section of fields, or its input is none")
    return value


def _classes(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError("classes must be a list of names")
    return tuple(value)


def _names_and_units(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise ValueError("numbers must be a list of names with units")
    said = tuple((one["name"], one.get("unit", "")) for one in value)
    if not all(isinstance(text, str) for one in said for text in one):
        raise ValueError("a number's name and unit must be texts")
    return said


def _part(given: dict[str, Any], name: str) -> tuple[int, int] | None:
    crop = given.get("crop", {})
    if not isinstance(crop, dict):
        raise ValueError(f"input.crop is {_brief(crop)}, not a section of rows and columns")
    if (part := crop.get(name)) is None:
        return None
    if (
        not isinstance(part, list)
        or [type(one) for one in part] != [int, int]
        or not 0 <= part[0] < part[1] <= MOST_PIXELS
    ):
        raise ValueError(f"input.crop.{name} is {_brief(part)}, not the first that is kept and the first that is not")
    return part[0], part[1]


def _whole(section: dict[str, Any], name: str, most: int) -> int:
    value = section[name]
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"input.{name} is {_brief(value)}; it must be a whole number from 1 to {most}")
    return value


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _dimensions(shape: Sequence[Any]) -> str:
    return "(" + ", ".join(str(side) if isinstance(side, int) else "any" for side in shape) + ")"


def _answer_problem(session: onnxruntime.InferenceSession, classes: int) -> str | None:
    """What is wrong with what the graph answers, where its metadata names so many classes or numbers."""
    answer = session.get_outputs()[0]
    if answer.type not in ("tensor(float)", "tensor(float16)", "tensor(double)"):
        return f"answers with {answer.type}, where numbers (batch, {classes}) are needed"
    if answer.shape and (
        len(answer.shape) != 2 or (answer.shape[1] not in (classes, None) and isinstance(answer.shape[1], int))
    ):
        return f"answers with shape {_dimensions(answer.shape)}, but its metadata names {classes}"
    return None


def answers_of(
    session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray], shape: tuple[int, int], model: Path
) -> np.ndarray:
    """What the model answers, (B, classes). Raises ``ValueError`` where it fails, or not all of it are finite numbers."""
    try:
        logits_BC = np.asarray(session.run(None, inputs)[0])
    except Exception as error:  # ONNX Runtime's exceptions have no base of their own
        raise ValueError(f"model {model} fails on its input ({_first_line(error)}): export it again.") from error
    if logits_BC.shape != shape:
        raise ValueError(
            f"{model} answers with shape {logits_BC.shape}, but its metadata names {shape[1]}: export it again."
        )
    if not np.isfinite(logits_BC).all():
        raise ValueError(
            f"model {model} answers with values that are no finite numbers (NaN or infinity), so they say nothing: its "
            "weights are damaged, or its input is beyond its range."
        )
    return logits_BC


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


if __name__ == "__main__":
    sys.exit(main())
