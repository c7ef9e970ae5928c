"""Networks: what the literature says of their sizes, and what a wrong name or knob gets."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from limbeck.models.identity import digest
from limbeck.vision.build import check_fits
from limbeck.vision.convnet import ConvNet
from tests.helpers.networks import CIFAR, DIGITS, made, refusal

FASHION = SimpleNamespace(classes=10, channels=1, size=28)


def parameters(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


# Sizes


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("resnet20", 278_324),
        ("resnet32", 472_756),
        ("resnet56", 861_620),
        ("resnet110", 1_736_564),
        ("resnet8x4", 1_233_540),
        ("resnet32x4", 7_433_860),
        ("wrn_16_2", 703_284),
        ("wrn_40_1", 569_780),
        ("wrn_40_2", 2_255_156),
    ],
)
def test_parameter_counts_are_the_published_ones_of_cifar_100(name: str, published: int):
    assert parameters(made(name, CIFAR)) == published


def test_the_students_of_the_published_recipes_are_small_enough():
    assert parameters(made("convnet", DIGITS, width=8)) <= 5_000
    assert parameters(made("convnet", FASHION, width=16)) <= 30_000


def test_each_knob_of_the_convnet_makes_it_larger():
    small = parameters(made("convnet", FASHION, width=8, depth=2, kernel=3))
    assert parameters(made("convnet", FASHION, width=12, depth=2, kernel=3)) > small
    assert parameters(made("convnet", FASHION, width=8, depth=3, kernel=3)) > small
    assert parameters(made("convnet", FASHION, width=8, depth=2, kernel=5)) > small


@pytest.mark.parametrize("name", ["convnet", "mobile", "resnet8", "resnet8x4", "wrn_10_1", "wrn_16_2"])
@pytest.mark.parametrize("data", [DIGITS, FASHION, SimpleNamespace(classes=7, channels=3, size=65)])
def test_every_parameter_gets_a_gradient_and_every_image_its_logits(name: str, data: SimpleNamespace):
    model = made(name, data)
    logits_BC = model(torch.rand(3, data.channels, data.size, data.size))
    assert logits_BC.shape == (3, data.classes)
    nn.functional.cross_entropy(logits_BC, torch.tensor([0, 1, 2])).backward()
    assert all(w.grad is not None and bool(w.grad.any()) for w in model.parameters() if w.dim() > 1)


@pytest.mark.parametrize("size", [4, 8, 28, 32, 64, 96, 224])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_the_convnet_works_at_every_size_of_image(size: int, kernel: int):
    model = ConvNet(5, 3, size, width=4, depth=1, kernel=kernel).eval()
    maps_BCHW = model.stages(model.stem(torch.zeros(1, 3, size, size)))
    assert 1 <= maps_BCHW.shape[-1] <= 14
    assert model(torch.zeros(1, 3, size, size)).shape == (1, 5)


# Initialisation


def test_the_seed_alone_decides_the_initial_weights():
    torch.manual_seed(1)
    first = digest(made("convnet", seed=3))
    torch.manual_seed(2)
    assert digest(made("convnet", seed=3)) == first
    assert digest(made("convnet", seed=4)) != first


def test_building_leaves_the_random_state_of_torch_as_it_was():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    made("wrn_10_1")
    made("timm/resnet10t", FASHION)
    assert torch.equal(torch.random.get_rng_state(), before)


# Names and knobs


def test_an_unknown_name_gets_a_suggestion():
    assert "Did you mean 'resnet20'?" in refusal("resent20")
    assert "Did you mean 'convnet'?" in refusal("convent")
    assert "6n + 4" in refusal("wrn_17_2")
    assert "6n + 2" in refusal("resnet18")


@pytest.mark.parametrize(
    ("knob", "value", "right"),
    [
        ("width", 0, "from 1 to"),
        ("width", 8.0, "whole number"),
        ("width", True, "whole number"),
        ("width", "8", "whole number"),
        ("depth", 99, "from 1 to"),
        ("kernel", 4, "3, 5, 7"),
    ],
)
def test_a_knob_out_of_range_is_named_with_what_would_be_right(knob: str, value: object, right: str):
    message = refusal("convnet", **{knob: value})
    assert knob in message
    assert repr(value) in message
    assert right in message


def test_an_unknown_knob_is_named_with_the_known_ones():
    assert "'widht'; it has width, depth, kernel" in refusal("convnet", widht=8)
    assert "resnet20 has no knobs" in refusal("resnet20", width=8)


# timm
def test_timm_models_take_the_classes_and_channels_of_the_data():
    model = made("timm/resnet10t", FASHION)
    check_fits(model, **vars(FASHION), name="teacher")


def test_wrong_names_and_knobs_of_timm_are_refused_in_a_sentence():
    assert "Did you mean 'timm/resnet18'?" in refusal("timm/resnet_18")
    assert "no_such_knob" in refusal("timm/resnet10t", no_such_knob=1)
    assert "true or false" in refusal("timm/resnet10t", pretrained="yes")
