"""One output for two classes, and the last step of an ONNX file undone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor

from limbeck.errors import BadInput
from limbeck.interfaces.modality import Teachers
from limbeck.modalities.image import draft
from limbeck.modalities.image.onnx_file import OnnxModel
from limbeck.modalities.image.recipe import ImageRecipe
from limbeck.modalities.image.teachers import build_teachers
from limbeck.models.inference import ask
from tests.helpers.given_teachers import Says, Sigmoid, SigmoidConfig, onnx_file, pictures, splits_of, teacher_of
from tests.helpers.tiny import recipe

transformers.AutoConfig.register("bert_of_probabilities", SigmoidConfig)


transformers.AutoModelForSequenceClassification.register(SigmoidConfig, Sigmoid)


# --- one output for two classes


def single(last: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda z: last(z[:, 1:2] - z[:, :1])


@pytest.mark.parametrize("shape", [(-1, 1), (-1,)])
def test_a_single_logit_is_that_of_the_second_class(shape: tuple[int, ...]) -> None:
    found = teacher_of(single(lambda z: z.reshape(shape)), classes=2)
    assert any(
        "one output for two classes: it is taken for the logit of 'bee' against 'ant'" in one for one in found.notes
    )
    images_BCHW, labels_B = pictures(40, 2, seed=9)
    logits_B2 = ask(found.model, images_BCHW)
    assert torch.equal(logits_B2.argmax(1), labels_B)
    both_B2 = Says(lambda z: z)(images_BCHW)[:, :2]
    torch.testing.assert_close(logits_B2.softmax(1), both_B2.softmax(1))


def test_a_single_probability_is_refused() -> None:
    with pytest.raises(
        BadInput, match=r"one output for two classes, and it is a probability.*leave out its last sigmoid"
    ):
        teacher_of(single(torch.sigmoid), classes=2)
    with pytest.raises(BadInput, match="answers 1 classes, the data has 3"):
        teacher_of(single(lambda z: z), classes=3)


def of_onnx(path: Path, classes: int) -> Teachers:
    one = recipe(f"teacher={{onnx: {path}, preprocess: {{mean: [0.0], std: [1.0]}}}}")
    assert isinstance(one, ImageRecipe)
    return build_teachers(one, splits_of(classes), trust_code=False)


@pytest.mark.parametrize("steps", [("Sigmoid",), ("Softmax", "Identity"), ("Sigmoid", "Cast", "Identity")])
def test_the_last_step_of_an_onnx_file_is_undone(tmp_path: Path, steps: tuple[str, ...]) -> None:
    images_BCHW, _ = pictures(20)
    raw_BC = OnnxModel(onnx_file(tmp_path / "raw.onnx", 3))(images_BCHW)
    found = of_onnx(onnx_file(tmp_path / "file.onnx", 3, *steps), 3)
    torch.testing.assert_close(found.model(images_BCHW).softmax(1), raw_BC.softmax(1), atol=1e-4, rtol=1e-3)
    assert any("ends in a sigmoid" in one for one in found.notes) == (steps[0] == "Sigmoid")


@pytest.mark.parametrize("steps", [(), ("Sigmoid",)])
def test_an_onnx_file_with_one_output_answers_two_classes(tmp_path: Path, steps: tuple[str, ...]) -> None:
    found = of_onnx(onnx_file(tmp_path / "file.onnx", 1, *steps), 2)
    images_BCHW, labels_B = pictures(20, 2)
    for model in (found.model, copy.deepcopy(found.model)):
        logits_B2 = model(images_BCHW)
        assert torch.equal(logits_B2.argmax(1), labels_B)
        torch.testing.assert_close(logits_B2[:, 0], torch.zeros(20))
    assert any("the logit of 'bee' against 'ant'" in one for one in found.notes)
    data = draft.Found("photos", examples=100, classes=2, channels=1, size=3)
    assert str(tmp_path / "file.onnx") in draft.recipe(str(tmp_path / "file.onnx"), data).text
