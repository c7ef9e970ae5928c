"""Claims about image regression, from a recipe to `limbeck predict`: what it comes to, what is refused, what a draft says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

import limbeck
from limbeck.cli.main import app
from limbeck.data.examples import pooled
from limbeck.deploy.standalone import write_standalone
from limbeck.errors import BadInput
from limbeck.modalities.image.examples import Splits, joined
from limbeck.modalities.image.load import load
from limbeck.modalities.image.networks import network
from limbeck.modalities.image.predict import predict
from limbeck.modalities.image.recipe import NumberData
from limbeck.models.weights import save_weights
from limbeck.pipeline.run import run
from limbeck.recipe import draft
from limbeck.recipe.read import from_dict, read
from limbeck.sections.teacher import Model
from limbeck.targets.codecs import Numbers
from limbeck.targets.find_stores import one_store
from limbeck.targets.store.store import Store
from limbeck.vision.units import DEVIATION, in_units
from tests.modalities.image.test_numbers import CAMERAS, drive

TINY = {
    "task": "image-regression",
    "data": {
        "image": "center",
        "label": "steering",
        "crop": {"rows": [1, 4]},
        "size": [6, 18],
        "unit": "shares of a turn",
    },
    "views": {"flip": True, "flip_turns": "steering"},
    "teacher": {"model": "pilotnet", "width": 6, "train": {"epochs": 1, "batch_size": 16}},
    "targets": {"views": 2},
    "student": {"model": "pilotnet", "width": 3, "hidden": 2},
    "train": {"epochs": 1, "batch_size": 16},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny run with pictures that are not square, further cameras, a crop, a mirror that turns the sign."""
    folder = tmp_path_factory.mktemp("drive")
    (folder / "data").mkdir()
    recipe = {**TINY, "data": {**TINY["data"], "name": drive(folder / "data"), "cameras": CAMERAS}}
    (folder / "drive.yaml").write_text(yaml.safe_dump(recipe))
    done = CliRunner().invoke(app, ["run", str(folder / "drive.yaml"), "--out", str(folder / "run"), "--threads", "1"])
    assert done.exit_code == 0, done.output
    return folder


def test_a_run_says_what_its_numbers_are_and_how_far_off(finished):
    results = json.loads((finished / "run" / "results.json").read_text())
    assert results["answers"] == {"kind": "values", "width": 1, "names": ["steering"]}
    assert results["figures"][0]["name"] == "rmse"
    for role in ("teacher", "student", "baseline"):
        assert results[role]["metrics"]["rmse"]
    assert (finished / "run" / "report.html").is_file()
    card = (finished / "run" / "student" / "README.md").read_text()
    assert "numbers = student(images)" in card
    assert "logits" not in card
    asked = CliRunner().invoke(app, ["targets", "verify", str(finished / "run"), "--replay", "20", "--threads", "1"])
    assert "the largest difference of a number, as a share of that number's size" in " ".join(asked.output.split())


def test_an_ensembles_deviation_is_kept_learnt_from_and_held_against_its_error(tmp_path):
    member = {"model": "convnet", "width": 2, "train": {"epochs": 1}}
    recipe = {
        "task": "image-regression",
        "data": {"name": "digits_turned", "limit": 300},
        "teacher": {"ensemble": [member, member]},
        "student": {"model": "convnet", "width": 1},
        "objective": {"weighted_mse_values": {"tolerance": 5}},
        "train": {"epochs": 1},
    }
    out = tmp_path / "run"
    results = run(from_dict(recipe, "a recipe"), out=out, threads=1)
    for split, rows in results["teacher"]["spread"].items():
        (row,) = rows
        assert (row["number"], sum(part["count"] for part in row["parts"])) == ("angle", results["data"][split])
        assert row["deviation"] > 0
    store = Store.open(one_store(out))
    assert store.codec == Numbers(spread=True)
    assert store.manifest["codec"]["error"]["spread"] > 0
    assert "Does the teacher know when it is off?" in (out / "report.html").read_text()
    asked = CliRunner().invoke(app, ["targets", "verify", str(out), "--replay", "20", "--threads", "1"])
    assert asked.exit_code == 0, asked.output
    with pytest.raises(BadInput, match=r"weighted_mse_values weighs .* there is none: it takes a teacher of several"):
        run(from_dict({**recipe, "teacher": member}, "a recipe"), out=tmp_path / "single")


def test_predict_answers_with_names_and_units_and_stands_alone(finished, tmp_path):
    picture = tmp_path / "frame.png"
    Image.fromarray(np.random.default_rng(7).integers(0, 256, (4, 10), dtype=np.uint8)).save(picture)
    student = str(finished / "run" / "student.onnx")
    told = CliRunner().invoke(app, ["predict", "--json", student, str(picture)])
    (one,) = json.loads(told.output)
    assert [(number["name"], number["unit"]) for number in one["numbers"]] == [("steering", "shares of a turn")]
    script: dict = {"__name__": "predict"}
    exec((finished / "run" / "predict.py").read_text(), script)  # the file that lies beside the model
    (alone,) = script["predict"](Path(student), [picture])
    assert alone.numbers[0][1] == one["numbers"][0]["value"]
    assert script["table"]([alone]).endswith("shares of a turn")
    narrow = tmp_path / "narrow.png"
    Image.new("L", (9, 3)).save(narrow)
    with pytest.raises(ValueError, match="an image is 9x3, and the model sees what lies within 9x4"):
        script["predict"](Path(student), [narrow])


def test_the_script_beside_a_model_imports_nothing_from_beside_it(tmp_path):
    write_standalone("limbeck.modalities.image.predict", tmp_path / "predict.py")
    text = (tmp_path / "predict.py").read_text()
    assert "from .picture" not in text
    assert text.count("from __future__") == 1
    assert "def cover(" in text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"views": {"flip": True}}, "views.flip: a mirror image may have another number"),
        ({"views": {"flip_turns": ["steering"]}}, "views.flip_turns: nothing is mirrored without views.flip: true"),
        ({"views": {"flip": True, "flip_turns": ""}}, "flip_turns holds an empty name"),
        ({"views": {"flip": True, "flip_turns": ["a", "a"]}}, "flip_turns names 'a' twice"),
        ({"views": {"cutmix": 1.0}}, "views.cutmix: a picture with a piece of another has neither's number"),
        ({"data": {"name": "digits_turned"}, "views": {"affine": {"degrees": 5}}}, "changes the very angle"),
        ({"objective": {"kd": {}}}, "kd reads an answer as one class of several"),
        ({"targets": {"codec": "int8"}}, "targets.codec: a teacher's numbers are kept in float32 or float16"),
        (
            {"views": TINY["views"], "targets": {"average": True}},
            "targets.average: a mean over the views would be of numbers of both signs",
        ),
        (
            {"views": {"mixup": 1.0}, "targets": {"average": True}},
            "targets.average: a mean over the views would be of mixup",
        ),
        ({"baseline": {"label_smoothing": 0.1}}, "baseline.label_smoothing: numbers are not smoothed"),
        (
            {"teacher": {"ensemble": [TINY["teacher"], TINY["teacher"]], "combine": "confidence"}},
            "teacher.combine: 'confidence'",
        ),
        ({"student": {"model": "pilotnet", "hiden": 3}}, "pilotnet has no knob 'hiden'"),
        (
            {"task": "image-classification", "data": {"name": "digits"}, "views": TINY["views"], "targets": {}},
            "views.flip_turns: a class has no sign",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(changed, said):
    with pytest.raises(BadInput) as caught:
        from_dict({**TINY, "data": {**TINY["data"], "name": "x"}, "views": {}, **changed}, "a recipe")
    assert said in str(caught.value)


def test_a_turned_number_that_is_none_of_the_datas_is_named(tmp_path):
    recipe = {
        **TINY,
        "data": {**TINY["data"], "name": drive(tmp_path)},
        "views": {"flip": True, "flip_turns": "stering"},
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    with pytest.raises(BadInput) as caught:
        run(read(tmp_path / "r.yaml"), out=tmp_path / "run")
    assert "views.flip_turns: 'stering' is no number of the data's. Did you mean 'steering'?" in str(caught.value)


def test_an_optimiser_is_adamw_where_none_is_named():
    recipe = from_dict({**TINY, "data": {**TINY["data"], "name": "x"}}, "a recipe")
    assert (recipe.train.optimizer, recipe.teacher.train.optimizer) == ("adamw", "adamw")
    said = from_dict({**TINY, "data": {**TINY["data"], "name": "x"}, "train": {"optimizer": "sgd"}}, "a recipe")
    assert said.train.optimizer == "sgd"


@pytest.fixture
def splits(tmp_path) -> Splits:
    return load(NumberData.model_validate({"name": drive(tmp_path), "image": "center", "label": "steering"}))


def test_a_fresh_network_answers_about_the_mean_of_the_labels_and_as_far_off_as_they_are(splits):
    model = network(Model.model_validate({"model": "pilotnet", "width": 6}), splits, trust_code=False, seed=0)
    answers = model.eval()(torch.randn(64, 1, 4, 10))
    assert splits.train.labels is not None
    plain = in_units(torch.nn.Identity(), (2.0,), (10.0,))
    assert plain(torch.tensor([[0.0], [1.0]])).tolist() == [[2.0], [12.0]]
    assert abs(answers.mean() - splits.train.labels.mean()) < 2 * splits.train.labels.std()


def test_weights_of_ours_say_their_unit_and_those_from_elsewhere_are_taken_as_they_are(splits, tmp_path):
    section = Model.model_validate({"model": "pilotnet", "width": 3})
    ours = network(section, splits, trust_code=False, seed=0)
    save_weights(ours, tmp_path / "ours.safetensors")
    plain = network(section, splits, trust_code=False, seed=1, trained=False)
    save_weights(plain, tmp_path / "plain.safetensors")
    images = torch.randn(3, 1, 4, 10)
    for file, model in (("ours", ours), ("plain", plain)):
        again = network(
            section.model_copy(update={"weights": str(tmp_path / f"{file}.safetensors")}),
            splits,
            trust_code=False,
            seed=2,
        )
        assert torch.equal(again.eval()(images), model.eval()(images))
        assert (DEVIATION in again.state_dict()) == (file == "ours")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"name": "digits", "limit": 300}, "was made for task: image-regression, and the data has classes"),
        ({"name": "digits_turned", "limit": 300}, "answers steering, and the data's numbers are angle"),
    ],
    ids=["classes", "another number"],
)
def test_a_regressions_file_teaches_nothing_else(finished, tmp_path, data, said):
    numbers = data["name"] == "digits_turned"
    recipe = {
        "task": "image-regression" if numbers else "image-classification",
        "data": data,
        "teacher": {"onnx": str(finished / "run" / "teacher.onnx")},
        "student": {"model": "convnet", "width": 2},
    }
    with pytest.raises(BadInput) as caught:
        run(from_dict(recipe, "a recipe"), out=tmp_path / "run")
    assert said in str(caught.value)


def test_a_transfer_set_has_no_numbers(splits: Splits):
    unlabelled = replace(splits.validation, labels=None, groups=None)
    pool = pooled(replace(splits, transfer=unlabelled), "cpu", joined)
    assert splits.train.labels is not None
    assert pool.labels is not None
    count = len(splits.train)
    assert torch.equal(pool.labels[:count], splits.train.labels)
    assert len(pool) == count + len(unlabelled)
    assert pool.labels[count:].isnan().all()


def test_a_draft_of_numbers_is_a_right_recipe(tmp_path):
    drafted = draft.write(
        teacher="pilotnet",
        data=drive(tmp_path, 60),
        student=None,
        out=tmp_path / "r.yaml",
        task="image-regression",
        overrides=["data.label=steering", "data.image=center"],
    )
    recipe = from_dict(yaml.safe_load(drafted.text), "the draft")
    assert recipe.task == "image-regression"
    assert "of each: steering" in drafted.text
    assert recipe.student.model == "pilotnet"
    assert recipe.views.shift == 0
    assert any("every shift, crop and mirror image" in one for one in drafted.said)


def test_a_draft_says_how_several_numbers_are_named(tmp_path):
    folder = tmp_path / "blobs"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"{number}.png")
    rows = [f"{number}.png,{number / 3},{number / 7}" for number in range(40)]
    (folder / "metadata.csv").write_text("\n".join(["file_name,x,y", *rows]))

    def refused(data: Path, task: str | None, *overrides: str) -> str:
        with pytest.raises(BadInput) as error:
            draft.write(
                teacher="pilotnet",
                data=str(data),
                student=None,
                out=tmp_path / "r.yaml",
                task=task,
                overrides=overrides,
            )
        return str(error.value)

    said = refused(folder, "image-regression")
    assert "Here: --set data.label=COLUMN, or --set 'data.label=[COLUMN, COLUMN]'." in said
    assert "with --task image-regression it is right" in refused(folder, None, "data.label=[x, y]")
    assert "--task" not in refused(folder, None, "data.lable=x")
    said = refused(folder / "metadata.csv", "image-regression", "data.label=[x, y]")
    assert "whose other columns hold its numbers" in said
    assert "class" not in said


def test_a_draft_warns_of_networks_that_forget_places(tmp_path):
    drafted = draft.write(
        teacher="resnet20",
        data="digits_turned",
        student="convnet",
        out=tmp_path / "r.yaml",
        task="image-regression",
        overrides=[],
    )
    assert "Beware: teacher resnet20 and student convnet average their last maps" in drafted.text


def test_a_single_number_is_too_few_to_learn_from():
    data = NumberData.model_validate({"name": "digits_turned", "limit": 1})
    with pytest.raises(BadInput, match=r"one example, left after data\.limit: 1: numbers are learnt from at"):
        load(data)


def test_a_loaded_student_answers_what_predict_says_of_pictures_of_any_size(finished, tmp_path):
    student: Any = limbeck.load(finished / "run")
    for height, width, channels in ((4, 10, 1), (6, 18, 1), (9, 31, 3), (40, 20, 1)):
        shape = (height, width, channels) if channels == 3 else (height, width)
        pixels = np.random.default_rng(height).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "picture.png")
        (said,) = predict(finished / "run" / "student.onnx", [tmp_path / "picture.png"])
        image_BCHW = torch.from_numpy(pixels).reshape(1, height, width, channels).permute(0, 3, 1, 2)
        assert student(image_BCHW).item() == pytest.approx(said.numbers[0][1], abs=1e-4)
        assert torch.equal(student(image_BCHW.long()), student(image_BCHW))
        with pytest.raises(
            BadInput, match=rf"are {channels}x3x{width} .* takes 1x6x18\. Give pictures as whole numbers"
        ):
            student(image_BCHW / 255)
    with pytest.raises(
        BadInput, match=r"3 high and 10 wide, .* \(data.crop of its recipe\) that reaches to row 4 and col"
    ):
        student(torch.zeros(1, 1, 3, 10, dtype=torch.uint8))
    with pytest.raises(BadInput, match="run from 0 to 256: whole numbers must lie in 0 to 255"):
        student(torch.tensor([0, 256]).expand(1, 1, 4, 2))
