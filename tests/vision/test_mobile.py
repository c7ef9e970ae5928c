"""Inverted residuals, and pictures that the student itself makes smaller."""

from __future__ import annotations

from types import SimpleNamespace

import onnxruntime
import pytest
import torch
from torch import nn

from limbeck.models.identity import digest
from limbeck.vision.convnet import ConvNet
from limbeck.vision.mobile import InvertedResidual, MobileNet
from tests.helpers.exported import COLOUR, HOSTILE, export
from tests.helpers.networks import DIGITS, made, refusal

FASHION = SimpleNamespace(classes=10, channels=1, size=28)
FAMILIES = {"convnet": ConvNet, "mobile": MobileNet}


def parameters(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def test_a_block_has_the_sizes_of_the_paper() -> None:
    """Table 1: k to k' channels, expansion t, stride s; weights without biases, and BN behind each convolution."""
    k, after, t = 24, 32, 6
    block = InvertedResidual(k, after, t, kernel=3, stride=2)
    convolutions = k * t * k + 9 * t * k + t * k * after
    assert parameters(block) == convolutions + 2 * (t * k + t * k + after)
    assert block(torch.rand(2, k, 14, 14)).shape == (2, after, 7, 7)
    assert not block.residual


def test_the_shortcut_joins_the_narrow_ends_and_nothing_is_cut_off_there() -> None:
    block = InvertedResidual(4, 4, 2, kernel=3, stride=1).eval()
    maps_BCHW = torch.randn(1, 4, 5, 5)
    nn.init.zeros_(block.project[0].weight)  # pyright: ignore[reportArgumentType, reportIndexIssue]
    assert torch.equal(block(maps_BCHW), maps_BCHW)


@pytest.mark.parametrize("size", [4, 8, 28, 32, 64, 96, 224])
@pytest.mark.parametrize("knobs", [{}, {"kernel": 7, "expand": 1, "depth": 1, "width": 1}])
def test_it_works_at_every_size_of_image(size: int, knobs: dict[str, int]) -> None:
    model = MobileNet(5, 3, size, **knobs).eval()
    assert 1 <= model.stages(model.stem(torch.zeros(1, 3, size, size))).shape[-1] <= 14
    assert model(torch.zeros(1, 3, size, size)).shape == (1, 5)


def test_each_knob_makes_it_larger_but_for_the_picture_s_size() -> None:
    usual = {"width": 8, "depth": 2, "expand": 2, "kernel": 3}
    small = parameters(MobileNet(10, 1, 28, **usual))
    for knob, value in {"width": 12, "depth": 3, "expand": 4, "kernel": 5}.items():
        assert parameters(MobileNet(10, 1, 28, **{**usual, knob: value})) > small


@pytest.mark.parametrize("family", FAMILIES)
def test_a_smaller_picture_is_the_mean_of_its_squares(family: str) -> None:
    given = FAMILIES[family](10, 1, 57, width=4, downscale=2).eval()
    plain = FAMILIES[family](10, 1, 28, width=4).eval()
    plain.load_state_dict(given.state_dict())
    images_BCHW = torch.rand(2, 1, 57, 57)
    averaged_BCHW = images_BCHW[:, :, :56, :56].unflatten(3, (28, 2)).unflatten(2, (28, 2)).mean((3, 5))
    torch.testing.assert_close(given(images_BCHW), plain(averaged_BCHW))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_that_takes_pictures_as_they_are_has_no_part_more(family: str) -> None:
    as_before, said, smaller = made(family), made(family, downscale=1), made(family, downscale=2)
    assert repr(said) == repr(as_before)
    assert digest(said) == digest(as_before)
    assert "smaller" not in repr(as_before)
    assert repr(smaller) != repr(as_before), "by which its architecture is told apart"
    assert list(smaller.state_dict()) == list(as_before.state_dict())


def test_a_picture_of_which_nothing_would_be_left_is_refused() -> None:
    assert made("mobile", DIGITS, downscale=4)(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    assert "downscale is 3; it must be one of 1, 2, 4" in refusal("mobile", downscale=3)
    with pytest.raises(Exception, match="leaves less than 2 pixels of a side of 6"):
        made("convnet", SimpleNamespace(classes=2, channels=1, size=6), downscale=4)


@pytest.mark.parametrize(("family", "downscale"), [("mobile", 1), ("mobile", 4), ("convnet", 2)])
def test_the_exported_file_answers_as_the_module_does(family: str, downscale: int, tmp_path) -> None:
    side = COLOUR["height"]
    model = made(family, SimpleNamespace(classes=len(HOSTILE), channels=3, size=side), downscale=downscale).eval()
    path = export(model, tmp_path, COLOUR)
    images_BCHW = torch.rand(5, 3, side, side)
    (answers,) = onnxruntime.InferenceSession(str(path)).run(None, {"image": images_BCHW.numpy()})
    torch.testing.assert_close(torch.from_numpy(answers), model(images_BCHW).detach(), rtol=1e-4, atol=1e-5)
