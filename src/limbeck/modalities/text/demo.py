"""What a demo has for models of texts: a field for each text, and what a model says of them. Stands alone"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
import onnxruntime
import tokenizers

from .predict import (
    Metadata,
    Text,
    model_inputs,
    open_model,
    open_tokenizer,
    read_metadata,
    sigmoid,
    softmax,
)

NEEDS = ("numpy", "onnxruntime", "tokenizers")
RUNS = 5  # of which the median time is said
EXCERPT = 200


class Model(NamedTuple):
    """A model that is asked, and what it says of itself."""

    session: onnxruntime.InferenceSession
    tokenizer: tokenizers.Tokenizer
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
    metadata = read_metadata(session, path)
    return Model(session, open_tokenizer(path.parent / metadata.tokenizer, metadata), metadata)


def ask(model: Model, example: Text, runs: int = RUNS) -> Said:
    """The model's answer, and the median of so many runs in ms."""
    inputs_1L = model_inputs(model.tokenizer, [example], model.metadata)
    took, values_1C = [], np.zeros((1, 0))
    for _ in range(runs):
        start = time.perf_counter()
        values_1C = np.asarray(model.session.run(None, inputs_1L)[0])
        took.append(1000 * (time.perf_counter() - start))
    shares_1C = sigmoid(values_1C) if model.metadata.multi_label else softmax(values_1C)
    return Said(model.metadata.classes, shares_1C[0], (), float(np.median(took)))


def fields(model: Model) -> list[Any]:
    """What a person fills."""
    names = model.metadata.pair or ("Your text",)
    return [gr.Textbox(label=name, lines=4, placeholder="Write something") for name in names]


def example_of(values: Sequence[Any]) -> Text | None:
    """What the fields hold, as :func:`ask` takes it; None where one of them holds nothing."""
    texts = [str(value or "") for value in values]
    if not all(text.strip() for text in texts):
        return None
    return texts[0] if len(texts) == 1 else (texts[0], texts[1])


def shelf(examples: Sequence[dict[str, Any]], folder: Path) -> Any:
    """Examples to choose from, each with its caption."""
    del folder
    rows = [[_excerpt(" | ".join(one["texts"])), one["caption"]] for one in examples]
    columns = [gr.Textbox(visible=False, label="text"), gr.Textbox(visible=False, label="what they say")]
    return gr.Dataset(
        components=columns,
        headers=["text", "what they say"],
        samples=rows,
        samples_per_page=len(rows),
        type="index",
        label="",
    )


def values_of(example: dict[str, Any], folder: Path) -> list[Any]:
    """What stands in the fields where it is chosen."""
    del folder
    return list(example["texts"])


def kept(example: Any, folder: Path, number: int) -> tuple[Any, dict[str, Any]]:
    """An example of the data (``limbeck.report.shown``) as :func:`ask` takes it, and as the demo's folder keeps it."""
    del folder, number
    texts = list(example.sides)
    return example_of(texts), {"texts": texts}


def _excerpt(text: str) -> str:
    return text if len(text) <= EXCERPT else text[: EXCERPT - 1] + "…"
