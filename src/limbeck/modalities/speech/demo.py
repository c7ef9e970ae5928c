"""What a demo has for classifiers of sounds: a place for a recording, and what a model says of it. Stands alone"""

from __future__ import annotations

import time
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import onnxruntime

from .predict import Metadata, open_model, read_metadata, read_sound, said_in, softmax, window

NEEDS = ("numpy", "onnxruntime")
RUNS = 5  # of which the median time is said


class Model(NamedTuple):
    """A model that is asked, and what it says of itself."""

    session: onnxruntime.InferenceSession
    metadata: Metadata
    samples: int | None  # of the window; None: any number


class Said(NamedTuple):
    """What a model says of one example: by name a probability, or a number with its unit; and how long it took."""

    names: tuple[str, ...]
    values_C: np.ndarray
    units: tuple[str, ...]  # none where the values are probabilities
    ms: float


def opened(path: Path) -> Model:
    """``ValueError``, with a sentence, where it cannot be used."""
    session = open_model(path)
    metadata = read_metadata(session, path)
    return Model(session, metadata, metadata.samples)


def ask(model: Model, example: Path, runs: int = RUNS) -> Said:
    """The model's answer, and the median of so many runs in ms. ``ValueError`` where the example cannot be read."""
    try:
        heard = read_sound(example, model.metadata.rate)
    except ValueError as error:
        raise ValueError(str(error).replace(str(example), example.name)) from None
    metadata = model.metadata
    given = heard if model.samples is None else window(heard, model.samples)
    inputs = {model.session.get_inputs()[0].name: given[None]}
    took, values_1C = [], np.zeros((1, 0))
    for _ in range(runs):
        start = time.perf_counter()
        values_1C = np.asarray(model.session.run(None, inputs)[0])
        took.append(1000 * (time.perf_counter() - start))
    ms = float(np.median(took))
    if metadata.writes:
        # what is said, and how probable its symbols are one by one
        best = softmax(values_1C[0]).max(axis=1)
        return Said(
            (said_in(values_1C[0], metadata, 1, 0)[0][0] or "(nothing)",),
            np.array([float(np.exp(np.log(best).mean()))]),
            (),
            ms,
        )
    return Said(metadata.classes, softmax(values_1C)[0], (), ms)


def fields(model: Model) -> list[Any]:
    """What a person fills."""
    del model
    sound = gr.Audio(label="Your recording (WAV)", sources=["upload", "microphone"], type="filepath", format="wav")
    # The file as it is: what is wrong with it is said by `ask`. (Of a subclass Gradio would write a .pyi beside this file.)
    sound.preprocess = lambda payload: payload and payload.path
    return [sound]


def example_of(values: Sequence[Any]) -> Path | None:
    """What the fields hold, as :func:`ask` takes it; None where they hold nothing."""
    return Path(values[0]) if values[0] else None


def shelf(examples: Sequence[dict[str, Any]], folder: Path) -> Any:
    """Examples to choose from, each with its label and what both say: transcripts are too long for one line."""
    del folder
    rows = [[f"{one['seconds']:.1f} s", *one["parts"]] for one in examples]
    headers = ["clip", "label", "teacher", "student"]
    return gr.Dataset(
        components=[gr.Textbox(visible=False, label=name) for name in headers],
        headers=headers,
        samples=rows,
        samples_per_page=len(rows),
        type="index",
        label="",
    )


def values_of(example: dict[str, Any], folder: Path) -> list[Any]:
    """What stands in the fields where it is chosen."""
    return [str(folder / example["file"])]


def kept(example: Any, folder: Path, number: int) -> tuple[Any, dict[str, Any]]:
    """An example of the data (``limbeck.report.shown``) as :func:`ask` takes it, and as the demo's folder keeps it."""
    name = f"examples/{number}.wav"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(folder / name), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(example.rate)
        file.writeframes((np.clip(example.samples_S, -1, 1) * 32767).round().astype("<i2").tobytes())
    return folder / name, {"file": name, "seconds": len(example.samples_S) / example.rate}
