"""What a demo has for models of images: a place for a picture, and what a model says of it. Stands alone"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import onnxruntime
from PIL import Image

from .predict import Metadata, open_model, preprocess, read_image, read_metadata, softmax

NEEDS = ("numpy", "onnxruntime", "pillow")
# Pillow reads many more, some by starting programs (EPS): not what strangers send.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF")
RUNS = 5  # of which the median time is said


class Model(NamedTuple):
    """A model that is asked, and what it says of itself."""

    session: onnxruntime.InferenceSession
    metadata: Metadata


class Said(NamedTuple):
    """What a model says of one example: by name a probability, or a number with its unit; and how long it took."""

    names: tuple[str, ...]
    values_C: np.ndarray
    units: tuple[str, ...]  # none where the values are probabilities
    ms: float


def opened(path: Path) -> Model:
    """``ValueError``, with a sentence, where it cannot be used."""
    session = open_model(path)
    return Model(session, read_metadata(session, path))


def ask(model: Model, example: Path | Image.Image, runs: int = RUNS) -> Said:
    """The model's answer, and the median of so many runs in ms. ``ValueError`` where the example cannot be read."""
    image = example if isinstance(example, Image.Image) else read(example)
    name = model.session.get_inputs()[0].name
    inputs_1CHW = {name: preprocess(image, model.metadata)[None]}
    took, values_1C = [], np.zeros((1, 0))
    for _ in range(runs):
        start = time.perf_counter()
        values_1C = np.asarray(model.session.run(None, inputs_1CHW)[0])
        took.append(1000 * (time.perf_counter() - start))
    ms = float(np.median(took))
    if numbers := model.metadata.numbers:
        return Said(tuple(name for name, _ in numbers), values_1C[0], tuple(unit for _, unit in numbers), ms)
    return Said(model.metadata.classes, softmax(values_1C)[0], (), ms)


def read(path: Path) -> Image.Image:
    """An upload as a picture; ``ValueError`` where it is none, or in a format that is not taken."""
    try:
        with Image.open(path, formats=FORMATS):
            pass
    except Exception:  # of a damaged file Pillow's readers raise whatever they come upon
        raise ValueError(f"{path.name} is not an image, or it is damaged: {', '.join(FORMATS[:5])} are read.") from None
    try:
        return read_image(path)
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), path.name)) from None


def fields(model: Model) -> list[Any]:
    """What a person fills."""
    del model
    picture = gr.Image(label="Your image", sources=["upload", "clipboard"], height=300, buttons=[], elem_id="picture")
    # The file as it is: what is wrong with it is said by `read`. (Of a subclass Gradio would write a .pyi beside this file.)
    picture.preprocess = lambda payload: payload and payload.path
    return [picture]


def example_of(values: Sequence[Any]) -> Path | None:
    """What the fields hold, as :func:`ask` takes it; None where they hold nothing."""
    return Path(values[0]) if values[0] else None


def shelf(examples: Sequence[dict[str, Any]], folder: Path) -> Any:
    """Examples to choose from, each with its caption."""
    shown = [(str(folder / one["file"]), one["caption"]) for one in examples]
    return gr.Gallery(
        shown,
        columns=6,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        show_label=False,
        buttons=[],
        elem_id="shelf",
    )


def values_of(example: dict[str, Any], folder: Path) -> list[Any]:
    """What stands in the fields where it is chosen."""
    return [str(folder / example["file"])]


def kept(example: Any, folder: Path, number: int) -> tuple[Any, dict[str, Any]]:
    """An example of the data (``limbeck.report.shown``) as :func:`ask` takes it, and as the demo's folder keeps it."""
    pixels_HWC = example.pixels_HWC
    image = Image.fromarray(pixels_HWC[:, :, 0] if pixels_HWC.shape[2] == 1 else pixels_HWC)
    name = f"examples/{number}.png"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    image.save(folder / name)
    return image, {"file": name}
