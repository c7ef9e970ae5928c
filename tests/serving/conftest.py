"""Two models, exported once for all tests of serving, since exporting takes longer than serving; and pages of them in the browser."""

from pathlib import Path

import pytest

from limbeck.errors import BadInput
from limbeck.modalities.text.export import export_text_onnx, text_metadata
from limbeck.serving.browser import write_page
from tests.helpers.exported import COLOUR, export, small_network
from tests.helpers.tiny_text import CLASSES, tiny_classifier, tiny_tokenizer


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network of images, whose classes have hostile names."""
    return export(small_network(3), tmp_path_factory.mktemp("model"), COLOUR)


@pytest.fixture(scope="session")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier of texts with its tokenizer."""
    folder, tokenizer = tmp_path_factory.mktemp("text"), tiny_tokenizer()
    said = text_metadata(name="tiny", classes=CLASSES, vocabulary=len(tokenizer), max_length=16)
    export_text_onnx(tiny_classifier(), tokenizer, folder / "model.onnx", said)
    return folder


@pytest.fixture(scope="session")
def pictures(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the network of images."""
    return page_of(model, tmp_path_factory.mktemp("pictures") / "page")


@pytest.fixture(scope="session")
def texts(text_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the classifier of texts."""
    return page_of(text_folder / "model.onnx", tmp_path_factory.mktemp("texts") / "page")


def page_of(model: Path, folder: Path) -> Path:
    """Skips a test that cannot have the libraries."""
    try:
        write_page(model, folder)
    except BadInput as error:
        if "cannot be fetched" not in str(error):
            raise
        pytest.skip(f"npm's registry is out of reach: {error}")
    return folder
