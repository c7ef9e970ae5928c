"""Weights as other programs leave them: which set is read, what is taken off its names, and what is said where it does not fit."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from limbeck.errors import BadInput
from limbeck.models.identity import digest
from limbeck.models.state_file import read_state
from limbeck.models.weights import load_weights

State = dict[str, Tensor]


def net(seed: int, channels: int = 1, classes: int = 4, width: int = 6) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(36 * width, classes)
    )


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor.clone() for name, tensor in state.items()}


RIGHT, OTHER, WIDE = net(1), net(2), net(3, width=8)
EVEN = {"optimizer": {"state": {0: {"momentum": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}, "epoch": 3}
RANDOM = {"rng": {"cpu": torch.zeros(16, dtype=torch.uint8)}}


def compiled_inside(state: State) -> State:
    """As `torch.compile` names the weights of a part that was compiled by itself."""
    return {name.replace("3.", "3._orig_mod."): tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("holds", "asked"),
    [
        (under("_orig_mod.module.", RIGHT.state_dict()), ""),
        (under("module._orig_mod.module.", RIGHT.state_dict()), ""),
        (compiled_inside(RIGHT.state_dict()), ""),
        *(
            (EVEN | RANDOM | {key: RIGHT.state_dict()}, "")
            for key in ("student", "ema", "weights", "model_state_dict", "params")
        ),
        ({"checkpoint": {"model": under("module.", RIGHT.state_dict())}, **EVEN}, ""),
        # Lightning's
        (EVEN | {"state_dict": under("model.", RIGHT.state_dict()), "hyper_parameters": {"lr": 0.1}}, ""),
        (EVEN | {"state_dict": under("model.", RIGHT.state_dict()) | {"criterion.weight": torch.ones(4)}}, ""),
        # two that fit: the one that is asked for
        ({"state_dict": OTHER.state_dict(), "ema": RIGHT.state_dict()}, "ema"),
        ({"state_dict": RIGHT.state_dict(), "ema": OTHER.state_dict()}, "state_dict"),
        (under("module.student.", RIGHT.state_dict()) | under("module.teacher.", OTHER.state_dict()), "student"),
        (under("module.student.", RIGHT.state_dict()) | under("module.teacher.", OTHER.state_dict()), "module.student"),
        (
            {"state_dict": under("student.model.", RIGHT.state_dict()) | under("teacher.model.", OTHER.state_dict())},
            "student.model",
        ),
        ({"nets": {"student": RIGHT.state_dict(), "teacher": OTHER.state_dict()}}, "nets.student"),
        # two of which one fits, and two that are the same
        ({"model": RIGHT.state_dict(), "discriminator": WIDE.state_dict()}, ""),
        ({"model": RIGHT.state_dict(), "ema": RIGHT.state_dict()}, ""),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".ckpt"])
def test_the_set_that_is_meant_is_read(tmp_path: Path, holds: dict[str, Any], asked: str, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    torch.save(holds, path)
    model = net(9)
    load_weights(model, f"{path}#{asked}" if asked else path, "teacher")
    assert digest(model) == digest(RIGHT)


def test_a_safetensors_file_of_two_models_and_a_file_with_a_hash_in_its_name(tmp_path: Path) -> None:
    both = under("student.", RIGHT.state_dict()) | under("teacher.", OTHER.state_dict())
    safetensors.torch.save_file(both, tmp_path / "a#b.safetensors")
    model = net(9)
    load_weights(model, f"{tmp_path / 'a#b.safetensors'}#student", "teacher")
    assert digest(model) == digest(RIGHT)
    # what identifies the teacher are the weights that were taken, whatever lies beside them
    safetensors.torch.save_file(both | under("teacher.", WIDE.state_dict()), tmp_path / "c.safetensors")
    again = net(8)
    load_weights(again, f"{tmp_path / 'c.safetensors'}#student", "teacher")
    assert digest(again) == digest(RIGHT)
    assert set(read_state(f"{tmp_path / 'c.safetensors'}#student")) == set(RIGHT.state_dict())
    safetensors.torch.save_file(RIGHT.state_dict(), tmp_path / "x#y.safetensors")
    load_weights(again, tmp_path / "x#y.safetensors", "teacher")


def said(tmp_path: Path, holds: dict[str, Any], asked: str = "", model: nn.Module | None = None) -> str:
    path = tmp_path / "file.pt"
    torch.save(holds, path)
    model = model or net(9)
    before = digest(model)
    with pytest.raises(BadInput) as caught:
        load_weights(model, f"{path}#{asked}" if asked else path, "teacher")
    assert digest(model) == before
    return str(caught.value)


def test_what_is_doubtful_or_not_there_is_named(tmp_path: Path) -> None:
    both = {"state_dict": RIGHT.state_dict(), "state_dict_ema": OTHER.state_dict()}
    words = said(tmp_path, both)
    assert "several sets of weights, 'state_dict' and 'state_dict_ema'" in words
    assert f"{tmp_path / 'file.pt'}#state_dict" in words
    with pytest.raises(BadInput, match="several sets of weights"):
        read_state(tmp_path / "file.pt")
    pair = under("module.student.", RIGHT.state_dict()) | under("module.teacher.", OTHER.state_dict())
    assert "'student' and 'teacher'" in said(tmp_path, pair)
    assert "Did you mean 'student'?" in said(tmp_path, pair, "studnet")
    assert "'student' and 'teacher'" in said(tmp_path, pair, "studnet")
    nested = {"a": {"student": RIGHT.state_dict()}, "b": {"student": OTHER.state_dict()}}
    assert "Did you mean" in said(tmp_path, nested, "a.studnt")


def test_what_is_taken_and_what_is_left_is_said(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    torch.save({"model": RIGHT.state_dict(), "discriminator": WIDE.state_dict()}, path)
    (note,) = load_weights(net(9), path, "teacher")
    assert "those in 'model' are used; it also holds 'discriminator'" in note
    torch.save({"state_dict": under("model.", RIGHT.state_dict()) | {"loss.weight": torch.ones(4)}}, path)
    (note,) = load_weights(net(9), path, "teacher")
    assert "those in 'model' are used; it also holds 'loss'" in note
    torch.save({"state_dict": under("model.", RIGHT.state_dict())}, path)
    assert load_weights(net(9), path, "teacher") == []


def test_the_same_weights_with_and_without_counts_are_one_set(tmp_path: Path) -> None:
    counted = RIGHT.state_dict()
    bare = {key: tensor for key, tensor in counted.items() if not key.endswith("num_batches_tracked")}
    for holds in ({"ema": bare, "model": counted}, {"model": counted, "ema": bare}):
        torch.save(holds, tmp_path / "file.pt")
        model = net(9)
        load_weights(model, tmp_path / "file.pt", "teacher")
        assert digest(model) == digest(RIGHT)
    halves = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in counted.items()}
    assert "several sets" in said(tmp_path, {"ema": halves, "model": counted})


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("3.weight", lambda w: w.to_sparse(), "'3.weight' is a sparse tensor"),
        ("3.weight", lambda w: w.to("meta"), "'3.weight' is a tensor without values"),
        ("3.weight", lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), "'3.weight' is a quantised tensor"),
        ("3.weight", lambda w: (w * 100).to(torch.int8), "'3.weight' holds int8 in the file and float32 in the model"),
        ("3.bias", lambda w: w > 0, "'3.bias' holds bool in the file and float32"),
        ("0.weight", lambda w: w.to(torch.complex64), "'0.weight' holds complex64 in the file and float32"),
        ("1.running_var", lambda w: w - 1.5, "'1.running_var' holds a negative variance (-0.5)"),
    ],
)
def test_weights_of_another_kind_are_refused_whatever_their_shapes(
    tmp_path: Path, key: str, change: Callable[[Tensor], Tensor], words: str
) -> None:
    holds = RIGHT.state_dict()
    changed = holds | {key: change(holds[key])}
    assert words in said(tmp_path, changed)
    # one that can be used beside one that cannot
    torch.save({"a": changed, "b": holds}, tmp_path / "file.pt")
    model = net(9)
    load_weights(model, tmp_path / "file.pt", "teacher")
    assert digest(model) == digest(RIGHT)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_numbers_of_another_precision_are_taken(tmp_path: Path, kind: torch.dtype) -> None:
    # an average of checkpoints makes a floating-point number of the count of the batches too
    torch.save({key: tensor.to(kind) for key, tensor in RIGHT.state_dict().items()}, tmp_path / "file.pt")
    model = net(9)
    load_weights(model, tmp_path / "file.pt", "teacher")
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, RIGHT.state_dict()[key].to(kind).to(tensor.dtype))


def test_only_channels_or_only_classes_differ(tmp_path: Path) -> None:
    colour = said(tmp_path, net(1, channels=3).state_dict())
    assert "it was made for 3 channels, the images have 1: set data.channels: 3" in colour
    assert "classes" not in colour
    grey = said(tmp_path, net(1).state_dict(), model=net(9, channels=3))
    assert "it was made for 1 channel, the images have 3: set data.channels: 1" in grey
    five = said(tmp_path, net(1, channels=5).state_dict())
    assert "made for 5 channels, the images have 1" in five
    assert "data.channels" not in five
    assert "it answers 1000 classes where 4 are wanted" in said(tmp_path, net(1, classes=1000).state_dict())
    lightning = {"state_dict": under("model.", net(1, channels=3, classes=7).state_dict())}
    both = said(tmp_path, lightning)
    assert "made for 3 channels" in both
    assert "7 classes where 4 are wanted" in both
    assert "(6, 1, 3, 3) in the file and (8, 1, 3, 3)" in said(tmp_path, RIGHT.state_dict(), model=net(9, width=8))
    assert "The file also holds 'b'" in said(tmp_path, {"a": net(1, classes=5).state_dict(), "b": WIDE.state_dict()})


def test_one_output_becomes_the_logit_of_the_second_of_two_classes(tmp_path: Path) -> None:
    one, two = net(1, classes=1).eval(), net(2, classes=2).eval()
    torch.save(one.state_dict(), tmp_path / "one.pt")
    (note,) = load_weights(two, tmp_path / "one.pt", "teacher")
    assert "one output" in note
    images_BCHW = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        logits_B2, logit_B1 = two(images_BCHW), one(images_BCHW)
    torch.testing.assert_close(logits_B2.softmax(1)[:, 1:], logit_B1.sigmoid())
    assert "it answers 1 classes where 3 are wanted" in said(tmp_path, one.state_dict(), model=net(3, classes=3))


def test_a_checkpoint_that_holds_objects_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": RIGHT.state_dict(), "hyper_parameters": Namespace(lr=0.1)}, path)
    with pytest.raises(BadInput) as caught:
        load_weights(net(9), path, "teacher")
    assert "argparse.Namespace" in str(caught.value)
    line = str(caught.value).partition("once: ")[2].removesuffix(".")
    # the line does what it says
    exec(
        line.replace("'last.ckpt'", repr(str(path))).replace("'weights.pt'", repr(str(tmp_path / "w.pt"))),
        {"torch": torch},
    )
    model = net(9)
    load_weights(model, tmp_path / "w.pt", "teacher")
    assert digest(model) == digest(RIGHT)
