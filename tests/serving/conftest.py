"""Two models, exported once for all tests of serving: exporting takes longer than serving."""

from pathlib import Path

import pytest

from limbeck.modalities.text.export import export_text_onnx, text_metadata
from tests.helpers.exported import COLOUR, export, small_network
from tests.helpers.tiny_text import CLASSES, tiny_classifier, tiny_tokenizer


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network of images."""
    return export(small_network(3), tmp_path_factory.mktemp("model"), COLOUR)


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier of texts with its tokenizer."""
    folder, tokenizer = tmp_path_factory.mktemp("text"), tiny_tokenizer()
    said = text_metadata(name="tiny", classes=CLASSES, vocabulary=len(tokenizer), max_length=16)
    export_text_onnx(tiny_classifier(), tokenizer, folder / "model.onnx", said)
    return folder
