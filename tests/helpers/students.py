"""Folders of untrained students, as runs publish them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from limbeck.files import write_json
from limbeck.modalities.image.export import export_onnx, image_metadata
from limbeck.modalities.text.export import export_text_onnx, text_metadata
from limbeck.models.weights import save_weights
from limbeck.nlp.folder import save_folder
from limbeck.vision.convnet import ConvNet
from tests.helpers import tiny_text

NAMES = ["ant", "bee", "cat"]


def image_student(folder: Path) -> None:
    torch.manual_seed(0)
    model = ConvNet(classes=3, channels=1, size=8, width=4).eval()
    form: Any = {"channels": 1, "height": 8, "width": 8, "mean": (0.3,), "std": (0.35,)}
    folder.mkdir()
    export_onnx(model, folder / "model.onnx", image_metadata(name="tiny", classes=NAMES, **form))
    save_weights(model, folder / "model.safetensors")
    write_json(folder / "config.json", {"model": {"model": "convnet", "width": 4}, "own": False, "alone": True})
    Image.new("L", (8, 8), 90).save(folder / "one.png")


def text_student(folder: Path) -> None:
    model, tokenizer = tiny_text.tiny_classifier("bert", NAMES, num_hidden_layers=1), tiny_text.tiny_tokenizer()
    save_folder(model, tokenizer, folder)
    about = text_metadata(name="tiny", classes=NAMES, vocabulary=len(tokenizer), max_length=24)
    export_text_onnx(model, tokenizer, folder / "model.onnx", about)


STUDENTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "image": (image_student, "one.png"),
    "text": (text_student, "the film is good"),
}
