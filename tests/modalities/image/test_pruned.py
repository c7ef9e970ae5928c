"""A student that is its teacher, pruned: refused where it cannot be, resumed, exported, and loaded without its teacher."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

pytest.importorskip("torch_pruning")

import limbeck
from limbeck.modalities.image.load import load
from limbeck.modalities.image.pruned import CALIBRATION, calibrate
from limbeck.models.weights import tensors_of
from limbeck.pipeline.run import distil
from limbeck.randomness import order
from limbeck.recipe import read as recipe_file
from limbeck.vision.inputs import Normalisation
from limbeck.vision.prune import record_of
from tests.helpers import tiny
from tests.helpers.networks import made
from tests.helpers.recipes import GOOD, complaint
from tests.helpers.runs import killed

TEACHER = "teacher={model: wrn_10_1, train: {epochs: 1, batch_size: 50}}"
PRUNED = "student={pruned: {keep: 0.3}}"


def test_it_is_named_by_how_it_is_pruned_and_other_recipes_stay_as_they_were() -> None:
    read = recipe_file.from_dict({**GOOD, "student": {"pruned": {"keep": 0.5}}})
    assert read.student.model == "pruned"
    assert read.student.knobs == {"pruned": {"keep": 0.5, "criterion": "magnitude"}}
    assert recipe_file.from_dict(read.model_dump(mode="json")) == read
    assert recipe_file.from_dict({**GOOD, "student": {"model": "pruned"}}).student.pruned.keep == 0.25
    assert recipe_file.from_dict(GOOD).model_dump(mode="json")["student"] == {
        "model": "convnet",
        "weights": None,
        "width": 8,
    }


@pytest.mark.parametrize(
    ("student", "says"),
    [
        ({"pruned": {"keep": 1.5}}, "student.pruned.keep"),
        ({"pruned": {"keep": 0}}, "student.pruned.keep"),
        ({"pruned": {"criterion": "size"}}, "student.pruned.criterion"),
        ({"model": "convnet", "pruned": {}}, "leave out one of the two"),
        ({"pruned": {}, "weights": "a.safetensors"}, "leave out weights"),
        ({"pruned": {}, "width": 4}, "no knob 'width'"),
        ({}, "student.model"),
    ],
)
def test_fields_that_make_no_student_are_refused(student: dict, says: str) -> None:
    assert says in complaint({**GOOD, "student": student})


def test_an_onnx_file_shows_no_layers_to_take_out() -> None:
    assert "name a teacher by its model" in complaint(
        {**GOOD, "teacher": {"onnx": "a.onnx"}, "student": {"pruned": {}}}
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pruned") / "run"
    distil(tiny.job(out, TEACHER, PRUNED, "baseline.label_smoothing=0"))
    return out


def test_the_exported_student_and_the_loaded_one_answer_alike_with_no_teacher_at_hand(
    run: Path, tmp_path: Path
) -> None:
    results = json.loads((run / "results.json").read_text())
    assert results["student"]["parameters"] <= 0.3 * results["teacher"]["parameters"]
    assert any("pruned" in note for note in results["data"]["notes"])
    folder = Path(shutil.copytree(run / "student", tmp_path / "alone"))
    student: Any = limbeck.load(folder)
    images = torch.randint(0, 256, (20, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    seen = student.preprocess(images.float() / 255).numpy()
    found = np.asarray(session.run(None, {session.get_inputs()[0].name: seen})[0])
    np.testing.assert_allclose(student(images).detach().numpy(), found, atol=1e-4)
    assert sum(one.numel() for one in student.parameters()) == results["student"]["parameters"]
    assert "limbeck.load" in (folder / "README.md").read_text()


def test_student_and_baseline_begin_with_the_weights_of_the_trained_teacher(run: Path) -> None:
    again = tiny.job(run, TEACHER, PRUNED, "baseline.label_smoothing=0")
    teacher, _, trained = tiny.train(again)  # all of it is finished
    student = again.student(0)
    assert torch.equal(student.fc.bias, teacher.model.fc.bias)
    record = record_of(student)
    assert record is not None
    assert {name: value.shape for name, value in tensors_of(trained["student"].model).items()} == {
        name: value.shape for name, value in tensors_of(student).items()
    }
    for name in ("student", "baseline"):
        said = json.loads((tiny.folder_of(run, name) / "ingredients.json").read_text())
        assert "start" in said["ingredients"] if "ingredients" in said else "start" in said


def test_the_loss_that_taylor_goes_by_is_that_of_training_examples_which_the_seed_names() -> None:
    splits = load(tiny.recipe("data.limit=400").data)
    found = []
    for seed in (1, 1, 2):
        model = made("wrn_10_1").eval()
        calibrate(model, splits, None, seed)
        found.append(model.fc.bias.grad)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    # the gradient by the last bias: the mean over the examples of what is said less what is right
    model = made("wrn_10_1").double().eval()
    chosen = order(1, 0, splits.train.ids)[:CALIBRATION]
    with torch.no_grad():
        seen = Normalisation(splits.mean, splits.std)(splits.train.images[chosen].double() / 255)
        said = model(seen).softmax(1)
    assert splits.train.labels is not None
    right = torch.nn.functional.one_hot(splits.train.labels[chosen], 10)
    torch.testing.assert_close(found[0].double(), (said - right).mean(0), rtol=1e-4, atol=1e-6)


def test_killed_while_it_trains_it_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    said = (TEACHER, "student={pruned: {keep: 0.3, criterion: taylor}}", "train.epochs=4", "baseline.label_smoothing=0")
    assert killed(tiny.train_and_die, tmp_path / "killed", said, "student")
    assert (tiny.folder_of(tmp_path / "killed", "student") / "checkpoint.pt").exists()
    for out in ("killed", "whole"):
        tiny.train(tiny.job(tmp_path / out, *said))
    for arm in ("student", "baseline"):
        files = [tiny.folder_of(tmp_path / out, arm) / "model.safetensors" for out in ("killed", "whole")]
        assert files[0].parent.name == files[1].parent.name
        assert tiny.digest(files[0]) == tiny.digest(files[1])
