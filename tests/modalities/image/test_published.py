"""What a run of images leaves to be published: a folder with its card, which `limbeck.load` reads."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from huggingface_hub import ModelCard
from sklearn.datasets import load_digits

import limbeck
from limbeck.pipeline.run import distil
from limbeck.vision.convnet import ConvNet
from tests.helpers import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "run"
    distil(tiny.job(out, "train.epochs=1", "baseline.label_smoothing=0"))
    return out


def images() -> torch.Tensor:
    digits: Any = load_digits()
    return torch.from_numpy((digits.images[:20, None] * 15).astype(np.uint8))


def by_onnx(file: Path, student: Any) -> np.ndarray:
    session = onnxruntime.InferenceSession(file)
    seen = student.preprocess(images().float() / 255).numpy()
    return np.asarray(session.run(None, {session.get_inputs()[0].name: seen})[0])


def test_a_loaded_student_answers_what_the_exported_model_does(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run / "student", tmp_path / "copy"))
    for place in (run, run / "student", str(folder)):
        student: Any = limbeck.load(place)
        assert not student.training
        np.testing.assert_allclose(
            student(images()).detach().numpy(), by_onnx(run / "student.onnx", student), atol=1e-4
        )
    assert student.classes == tuple("0123456789")
    assert (folder / "model.onnx").read_bytes() == (run / "student.onnx").read_bytes()
    assert (folder / "model.safetensors").read_bytes() == (run / "student.safetensors").read_bytes()
    assert {path.suffix for path in folder.iterdir()} == {".md", ".json", ".onnx", ".safetensors", ".py"}


def test_the_card_says_what_the_results_say(run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    card: Any = ModelCard.load(run / "student" / "README.md")
    assert card.data.pipeline_tag == "image-classification"
    metrics = card.data.to_dict()["model-index"][0]["results"][0]["metrics"]
    assert metrics[0]["value"] == results["student"]["metrics"]["accuracy"]["mean"]
    (command,) = re.findall(r"\$ python (predict\.py) (model\.onnx) picture\.png", card.text)
    assert all((run / "student" / name).is_file() for name in command)


def test_what_cannot_be_loaded_is_said(run: Path, tmp_path: Path) -> None:
    def refused(place: object, **more: Any) -> str:
        with pytest.raises(limbeck.BadInput) as error:
            limbeck.load(place, **more)  # type: ignore[arg-type]
        return str(error.value)

    assert "there is no folder" in refused(tmp_path / "nowhere" / "at all")
    assert "holds no student" in refused(tmp_path)
    folder = Path(shutil.copytree(run / "student", tmp_path / "student"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"own": True, "model": {"model": "MyNet"}}))
    assert "limbeck.load(..., model=MyNet())" in refused(folder)
    given = ConvNet(classes=10, channels=1, size=8, width=4)
    loaded: Any = limbeck.load(folder, model=given)
    with pytest.raises(
        limbeck.BadInput, match=r"are numpy\.ndarray: a torch\.Tensor \(batch, channels, height, width\)"
    ):
        loaded(images().numpy())
    np.testing.assert_allclose(loaded(images()).detach().numpy(), by_onnx(folder / "model.onnx", loaded), atol=1e-4)
    wider = refused(folder, model=ConvNet(classes=10, channels=1, size=8, width=5))
    assert "do not fit the model: 'stem.0.weight' is (4, 1, 3, 3) in the file and (5, 1, 3, 3)" in wider
    (folder / "config.json").write_text(json.dumps(config | {"model": {"model": "os:abort"}}))
    assert "trust" in refused(folder)
    (folder / "model.safetensors").unlink()
    assert "holds no student" in refused(folder)
