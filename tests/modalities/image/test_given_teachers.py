"""Teachers that come ready-made and could be read wrongly: probabilities, answers by the batch, preprocessing, heads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import safetensors.torch
import torch
import transformers
from onnx import helper
from torch import Tensor, nn

import limbeck
from limbeck.errors import BadInput
from limbeck.modalities.image.recipe import Data, ImageRecipe, Student, TeacherSection
from limbeck.modalities.image.teachers import build_teachers
from limbeck.objectives.modules import KD
from limbeck.pipeline.job import job_from_models
from limbeck.sections.train import Train
from limbeck.vision.sections import Preprocess
from tests.helpers.given_teachers import NAMES, Says, Sigmoid, SigmoidConfig, onnx_file, pictures, splits_of, teacher_of
from tests.helpers.tiny import recipe

# --- probabilities


def test_a_module_that_ends_in_softmax_is_refused_with_the_line_that_mends_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the teacher answers with probabilities.*leave out its last softmax"):
        teacher_of(lambda z: z.softmax(1))
    with pytest.raises(BadInput, match="answers with probabilities"):  # in half precision a sum is not quite 1
        teacher_of(lambda z: z.softmax(1).to(torch.bfloat16))
    with pytest.raises(BadInput, match="the teacher answers with probabilities"):
        limbeck.distill(
            teacher=Says(lambda z: z.softmax(1)), student=Says(lambda z: z), train=pictures(60), out=tmp_path / "never"
        )
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    "last",
    [
        lambda z: z,
        lambda z: z.log_softmax(1),  # known up to a constant
        lambda z: z.softmax(1) + 0.1,  # in range, and no distribution: a doubt, below
        lambda z: 0.001 * z,  # very unsure, and in range
        lambda z: z - z.mean(1, keepdim=True) + 1 / 3,  # sums to 1, and out of range
    ],
)
def test_logits_are_welcome_whatever_they_look_like(last: Callable[[Tensor], Tensor]) -> None:
    assert teacher_of(last).model is not None


def test_a_sigmoid_for_each_class_is_doubted_and_a_fresh_one_is_not() -> None:
    (note,) = teacher_of(torch.sigmoid).notes
    assert "lies in 0 to 1: where it ends in a sigmoid" in note
    assert teacher_of(torch.sigmoid, train=Train()).notes == ()


def test_a_student_that_ends_in_softmax_is_refused_too() -> None:
    one = ImageRecipe(data=Data(name="python"), teacher=TeacherSection(model="mine"), student=Student(model="mine"))
    splits = splits_of()
    with pytest.raises(BadInput, match="the student answers with probabilities"):
        job_from_models(
            one, splits, out=Path("never"), teacher=Says(lambda z: z), student=lambda _: Says(lambda z: z.softmax(1)),
            objective=KD, device="cpu",
        )  # fmt: skip


# --- answers that are no function of the image


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (lambda z: z + torch.randn_like(z), r"answers the same image in two ways.*differ by up to"),
        (lambda z: nn.functional.dropout(z, 0.5, training=True), "answers the same image in two ways"),
        (lambda z: (z + 5 * torch.randn_like(z)).to(torch.bfloat16), "answers the same image in two ways"),
        (lambda z: z - z.mean(0), "depends on the other images of its batch"),
        (lambda z: z / z.abs().max(), "depends on the other images"),
        (lambda z: z.squeeze(0), r"batch of one image with the shape \(3,\); \(1, 3\) is wanted"),
        (
            lambda z: nn.functional.batch_norm(z, None, None, training=True),
            "fails on a batch of one image: Expected more",
        ),
    ],
)
def test_an_answer_depends_on_the_image_alone(last: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        teacher_of(last)


def by_batch(z: Tensor, share: float) -> Tensor:
    """With a rounding that is another one in each size of batch."""
    return z + share * (z.max() - z.min()) * (-1) ** len(z)


@pytest.mark.parametrize(
    "last",
    [
        torch.zeros_like,
        lambda z: 1e4 + 1e-3 * z,
        lambda z: z.half(),
        lambda z: 100 + z.to(torch.bfloat16),
        lambda z: by_batch(z, 0.01),
    ],
)
def test_rounding_is_no_dependence(last: Callable[[Tensor], Tensor]) -> None:
    teacher_of(last)


transformers.AutoConfig.register("bert_of_probabilities", SigmoidConfig)


transformers.AutoModelForSequenceClassification.register(SigmoidConfig, Sigmoid)


# --- preprocessing


@pytest.mark.parametrize(
    ("preprocess", "said"),
    [
        (
            "{mean: [0.5, 0.5], std: [0.5, 0.5]}",
            "teacher.preprocess.mean holds 2 values, and the images have 3 channels",
        ),
        ("{std: [0.5]}", "teacher.preprocess.std holds 1 value, and the images have 3 channels"),
    ],
)
def test_values_that_are_not_one_for_each_channel_are_refused(preprocess: str, said: str) -> None:
    one = recipe(f"teacher={{model: convnet, width: 4, train: {{}}, preprocess: {preprocess}}}")
    assert isinstance(one, ImageRecipe)
    with pytest.raises(BadInput, match=said):
        build_teachers(one, splits_of(channels=3), trust_code=False)


def test_figures_on_a_scale_of_0_to_255_are_refused_wherever_they_are_given(tmp_path: Path) -> None:
    for section in ("{model: resnet20, train: {}, preprocess: %s}", "{onnx: t.onnx, preprocess: %s}"):
        with pytest.raises(BadInput, match=r"preprocess.std: 58.4 was given.*divide by 255.*0.229") as caught:
            recipe("teacher=" + section % "{mean: [123.675, 116.28, 103.53], std: [58.4, 57.1, 57.4]}")
        assert "[0.485, 0.456, 0.406]" in str(caught.value)
    with pytest.raises(BadInput, match="divide by 255"):
        Preprocess(mean=(127.5,))
    about = {"classes": list(NAMES), "input": {"mean": [127.5], "std": [64.0], "height": 3, "width": 3, "channels": 1}}
    proto = onnx.load(onnx_file(tmp_path / "t.onnx", 3))
    helper.set_model_props(proto, {"limbeck": json.dumps(about)})
    onnx.save(proto, tmp_path / "t.onnx")
    one = recipe(f"teacher={{onnx: {tmp_path / 't.onnx'}}}")
    assert isinstance(one, ImageRecipe)
    with pytest.raises(BadInput, match=r"what the file says of its input cannot be used.*divide by 255"):
        build_teachers(one, splits_of(), trust_code=False)


# --- timm's published weights


def test_timms_published_head_is_used_where_it_fits_and_a_random_one_is_refused(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(5)
    published = timm.create_model("test_resnet", num_classes=3, in_chans=3)
    safetensors.torch.save_file(published.state_dict(), tmp_path / "p.safetensors")
    known = f"pretrained: true, pretrained_cfg_overlay: {{file: {tmp_path / 'p.safetensors'}, num_classes: 3}}"

    def built(classes: int, more: str = "") -> nn.Module:
        one = recipe(f"teacher={{model: timm/test_resnet, {known}{more}}}")
        assert isinstance(one, ImageRecipe)
        return build_teachers(one, splits_of(classes, channels=3), trust_code=False).model

    for name, tensor in built(3).state_dict().items():
        assert torch.equal(tensor, published.state_dict()[name])
    with pytest.raises(
        BadInput, match=r"weights of timm/test_resnet know 3 classes and the data has 2.*give teacher.train"
    ):
        built(2)
    assert built(2, ", train: {}").state_dict()["fc.weight"].shape[0] == 2
    one = recipe("teacher={model: timm/test_resnet.r160_in1k, pretrained: true}")
    assert isinstance(one, ImageRecipe)
    with pytest.raises(BadInput, match="know 1000 classes and the data has 3"):
        build_teachers(one, splits_of(3, channels=3), trust_code=False)
