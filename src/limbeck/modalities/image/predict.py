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
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from PIL import Image

from ...models.exported import (
    METADATA_KEY,  # noqa: F401 - which such a module offers
    SCHEMA_VERSION,
    answer_problem,
    answers_of,
    brief,
    dimensions,
    first_line,
    metadata_of,
    names_in,
    open_model,
    printable,
    softmax,
    taken,
    whole,
)
from .picture import MOST_PIXELS, cover, keep, recolour, upright

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


def read_metadata(session: onnxruntime.InferenceSession, path: Path) -> Metadata:
    """What the model says of itself; ``ValueError`` where that is nothing, makes no sense, or its graph contradicts it."""
    return metadata_of(session, path, parse_metadata, _graph_problem, unknown="classes and preprocessing")


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
            f"image {path} cannot be read: it is not an image, or it is damaged ({first_line(error)})."
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
    channels = whole(given, "channels", 3)
    metadata = Metadata(
        name=str(value.get("name", "")),
        classes=() if numbers else names_in(value["classes"], "classes"),
        numbers=_names_and_units(value["numbers"]) if numbers else (),
        rows=_part(given, "rows"),
        columns=_part(given, "columns"),
        channels=channels,
        height=whole(given, "height", MOST_PIXELS),
        width=whole(given, "width", MOST_PIXELS),
        mean=_numbers(given, "mean", channels, -1e6, 1e6),
        std=_numbers(given, "std", channels, 1e-12, 1e6),
        bits=whole(given, "bits", 32) if "bits" in given else 16,
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
        raise ValueError(f"input.background is {brief(ground)}, not 0 to 255")
    return metadata


def _graph_problem(session: onnxruntime.InferenceSession, metadata: Metadata) -> str | None:
    """What the graph takes or answers otherwise than the metadata says."""
    takes = session.get_inputs()
    if len(takes) != 1 or takes[0].type != "tensor(float)" or len(takes[0].shape) != 4:
        return f"takes {taken(session)}; one input of images is needed, tensor(float) (batch, channels, height, width)"
    batch, *sides = takes[0].shape
    if isinstance(batch, int):
        return f"takes exactly {batch} image(s) at a time, where any number is needed"
    said = (metadata.channels, metadata.height, metadata.width)
    if any(isinstance(side, int) and side != want for side, want in zip(sides, said)):
        return (
            f"takes images of {dimensions(sides)} (channels, height, width), but its metadata speaks of "
            f"{dimensions(said)}"
        )
    return answer_problem(session, len(metadata.numbers or metadata.classes))


def _numbers(section: dict[str, Any], name: str, count: int, least: float, most: float) -> tuple[float, ...]:
    values = section[name]
    if not isinstance(values, list) or len(values) != count:
        raise ValueError("input.mean and input.std must have one number a channel")
    if not all(type(value) in (int, float) and least <= value <= most for value in values):
        right = "input.mean must be finite and input.std positive" if name == "std" else f"input.{name} must be finite"
        raise ValueError(f"{right}, from {least:g} to {most:g}")
    return tuple(float(value) for value in values)


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
        raise ValueError(f"input.crop is {brief(crop)}, not a section of rows and columns")
    if (part := crop.get(name)) is None:
        return None
    if (
        not isinstance(part, list)
        or [type(one) for one in part] != [int, int]
        or not 0 <= part[0] < part[1] <= MOST_PIXELS
    ):
        raise ValueError(f"input.crop.{name} is {brief(part)}, not the first that is kept and the first that is not")
    return part[0], part[1]


if __name__ == "__main__":
    sys.exit(main())
