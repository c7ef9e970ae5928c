"""Claims about a regression from Python: a person's own teacher and student, labels in units; what is refused."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import limbeck
from limbeck.deploy.formats import cost
from limbeck.deploy.latency import in_turns
from limbeck.modalities.image.array_labels import NumberLabels
from limbeck.modalities.image.arrays import from_arrays
from limbeck.pipeline.diagnose import diagnose
from limbeck.vision.units import DEVIATION, MEAN


class Lean(nn.Module):
    """Answers 90 times how much brighter the left half is, plus 10: the label itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(90.0))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        left, right = (half.mean((1, 2, 3)) for half in images_BCHW.chunk(2, dim=3))
        return (self.scale * (left - right) + 10)[:, None]


class Small(nn.Sequential):
    def __init__(self, numbers: int = 1) -> None:
        super().__init__(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(4, numbers))


def pictures(count: int = 240) -> tuple[np.ndarray, np.ndarray]:
    """Pictures with a left and a right half of different brightness, and the label in degrees."""
    random = np.random.default_rng(0)
    images = random.uniform(0, 0.2, (count, 8, 8)) + np.repeat(random.uniform(0, 0.8, (count, 2)), 4, axis=1)[:, None]
    images = images.astype(np.float32)
    return images, 90 * (images[:, :, :4].mean((1, 2)) - images[:, :, 4:].mean((1, 2))) + 10


def test_a_teacher_of_ones_own_teaches_numbers_in_their_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very lines of docs/python.md."""
    monkeypatch.chdir(tmp_path)
    images, angles = pictures()
    names: dict[str, Any] = {"limbeck": limbeck, "my_angle_model": Lean(), "MySmallModel": Small}
    names |= {"images": torch.from_numpy(images)[:, None], "angles": angles}
    page = (Path(__file__).parents[3] / "docs" / "python.md").read_text(encoding="utf-8")
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "image-regression" in code)
    exec(code, names)
    result: Any = names["result"]
    results = result.results
    assert (results["answers"]["names"], results["data"]["unit"]) == (["angle"], ["degrees"])
    assert results["teacher"]["metrics"]["rmse"]["mean"] < 1e-3
    assert result.metrics["rmse"] < angles.std() / 3  # far nearer than always answering the mean
    state = result.student.model.state_dict()
    assert abs(state[MEAN].item() - angles.mean()) < angles.std() / 4
    assert state[DEVIATION].item() == pytest.approx(angles.std(), rel=0.2)
    # what a person asks is what is deployed, in degrees
    answers = result.student(names["images"])
    assert answers.std().item() == pytest.approx(angles.std(), rel=0.3)
    session = onnxruntime.InferenceSession(result.export("onnx"))
    asked = {session.get_inputs()[0].name: result.student.preprocess(names["images"]).numpy()}
    np.testing.assert_allclose(session.run(None, asked)[0], answers.detach().numpy(), atol=1e-3)  # pyright: ignore[reportArgumentType, reportCallIssue]
    loaded: Any = limbeck.load(tmp_path / "runs" / "angle", model=Small())
    torch.testing.assert_close(loaded(names["images"]), answers)
    said, step = diagnose(tmp_path / "runs" / "angle")
    assert "° (RMSE) on" in said or "degrees (RMSE) on" in said
    assert step is None or ("limbeck.distill" in step and "recipe.yaml" not in step)  # there is no recipe to run
    (tmp_path / "runs" / "angle" / "results.json").unlink()
    with pytest.raises(limbeck.BadInput, match=r"made by limbeck\.distill, .*: make the same call again"):
        diagnose(tmp_path / "runs" / "angle")


def test_several_numbers_of_a_data_set_and_a_student_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "in_turns", partial(in_turns, seconds=0.2))  # how fast it is is no claim here
    images, angles = pictures(120)
    items = [(image, (angle, 1000 + angle)) for image, angle in zip(images, angles.tolist(), strict=True)]
    student = Small(2)
    result = limbeck.distill(
        task="image-regression",
        teacher=Small(2),
        student=student,
        train=items,
        numbers=["near", "far"],
        train_plan=limbeck.Train(epochs=1, learning_rate=1e-9),
        formats=["onnx-int8"],
        out=tmp_path / "run",
    )
    small = result.results["formats"]["files"]["onnx-int8"]
    assert result.export("onnx-int8").stat().st_size == small["bytes"]
    assert small["metrics"]["mae"] == pytest.approx(small["metrics_float32"]["mae"], rel=0.05)
    with pytest.raises(limbeck.BadInput, match="'executorch': there is no such file; there is onnx-int8, onnx"):
        result.export("executorch")
    assert [row["number"] for row in result.results["student"]["per_number"]] == ["near", "far"]
    assert MEAN not in result.student.model.state_dict()  # type: ignore[union-attr]
    shown = torch.from_numpy(images)[:3, None]
    model: Any = result.student
    torch.testing.assert_close(model(shown), student(model.preprocess(shown)), atol=1e-4, rtol=0)


def of_numbers(labels: Any, **named: Any) -> Any:
    return from_arrays((pictures(60)[0], labels), numbers=NumberLabels(**named))


def test_one_number_and_a_column_of_it_are_the_same_data() -> None:
    angles = pictures(60)[1]
    plain, column = of_numbers(angles), of_numbers(torch.from_numpy(angles)[:, None])
    assert plain.fingerprint == column.fingerprint
    assert (plain.numbers, plain.classes, plain.answers.kind) == (("number",), (), "values")
    coarse = torch.from_numpy(angles).bfloat16()  # a type that NumPy has not
    for given in (coarse, [*coarse]):
        assert torch.equal(NumberLabels().of_array(given, "train"), coarse.float()[:, None])
    assert of_numbers(np.stack([angles, -angles], axis=1)).numbers == ("number[0]", "number[1]")


@pytest.mark.parametrize(
    ("labels", "named", "sentence"),
    [
        (np.zeros((60, 2, 2)), {}, r"the labels of train are float64 of shape \(60, 2, 2\): they must be numbers, \(N,\) or"),
        (np.array(["a"] * 60), {}, "they must be numbers"),
        (np.where(np.arange(60) == 7, np.nan, 1.0), {}, "split 'train', row 7: the label is nan: it must be a finite number"),
        (np.ones(60), {}, "'number' is 1 in every example"),
        (np.arange(60.0), {"names": ["a", "b"]}, "numbers names a, b, and a label has 1"),
        (np.arange(60.0), {"unit": ["m", "s"]}, "unit: 2 were given for 1 numbers"),
        (np.arange(59.0), {}, "60 images and 59 labels"),
        ([[1.0, 2.0], *[[1.0]] * 59], {}, r"the labels of train are object of shape \(60,\): they must be numbers"),
        (np.arange(60.0), {"names": 3}, "numbers is 3: give a word, or a list of them"),
        (np.arange(60.0), {"names": [1]}, r"numbers is \[1\]: give a word"),
        (np.arange(60.0), {"unit": 1.5}, "unit is 1.5: give a word"),
    ],
)  # fmt: skip
def test_labels_that_are_no_numbers_are_refused(labels, named, sentence) -> None:
    with pytest.raises(limbeck.BadInput, match=sentence):
        of_numbers(labels, **named)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"task": "image-classification", "unit": "degrees"}, "unit is not for task: image-classification"),
        ({"classes": ["a"]}, "classes is not for task: image-regression; name the numbers"),
        ({"views": limbeck.Views(flip=True)}, "a mirror image may have another number"),
        ({"objective": limbeck.KD()}, "kd reads an answer as one class of several"),
        ({"objective": limbeck.WeightedMSEValues()}, "weighs the teacher's numbers by their deviation, and there is none"),
        ({"train": (pictures(60)[0], np.ones(60))}, r"there is nothing to learn\.$"),
        ({"student": lambda: None}, r"student is a function that made nothing.*: it must return a torch module"),
        ({"task": "image-classification"}, r"one integer from 0 for each image\. Numbers .* task='image-regression'"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_numbers_is_said(changes, sentence, tmp_path) -> None:
    given = {"task": "image-regression", "teacher": Lean(), "student": Small, "train": pictures(60)}
    with pytest.raises(limbeck.BadInput, match=sentence):
        limbeck.distill(**{**given, "out": tmp_path / "run", **changes})
    assert not (tmp_path / "run").exists()
