"""The gate between PyTorch and the exported model."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck.deploy.parity import require
from limbeck.errors import LimbeckError
from tests.helpers.exported import image_parity, small_network

# Parity


def test_parity_passes_for_the_model_and_fails_for_other_weights(colour):
    model, path = colour
    inputs_BCHW = torch.randn(300, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert len(model.eval()(inputs_BCHW).argmax(1).unique()) > 1  # agreement says something
    model.train()
    parity = image_parity(model, path, inputs_BCHW, max_abs=1e-4, agreement=0.99)
    assert parity["passed"]
    assert parity["n"] == 300
    assert 0 <= parity["max_abs_difference"] < 1e-4
    assert parity["agreement"] >= 0.99
    assert model.training
    require(parity, path, what="images")

    other = image_parity(small_network(3, seed=1), path, inputs_BCHW, max_abs=1e-4, agreement=0.99)
    assert not other["passed"]
    with pytest.raises(LimbeckError, match=r"does not answer as the trained model does, on 300 images"):
        require(other, path, what="images")


def test_each_limit_of_the_parity_gate_holds_by_itself(colour):
    model, path = colour
    moved: Any = small_network(3)
    moved.load_state_dict(model.state_dict())
    inputs_BCHW = torch.randn(64, 3, 12, 12)
    with torch.no_grad():
        moved[-1].bias += 0.5  # the same class everywhere, other logits
    by_difference = image_parity(moved, path, inputs_BCHW, max_abs=0.1, agreement=1.0)
    assert by_difference["agreement"] == 1.0
    assert by_difference["max_abs_difference"] == pytest.approx(0.5, abs=1e-3)
    assert not by_difference["passed"]
    with torch.no_grad():
        moved[-1].bias.copy_(torch.tensor([0, 0, 0, 1e3]))
    by_agreement = image_parity(moved, path, inputs_BCHW, max_abs=1e9, agreement=0.999)
    assert by_agreement["agreement"] < 0.999
    assert not by_agreement["passed"]


def test_a_logit_that_is_not_a_number_never_passes(colour):
    model, path = colour
    broken: Any = small_network(3)
    broken.load_state_dict(model.state_dict())
    with torch.no_grad():
        broken[-1].bias[0] = float("nan")
    parity = image_parity(broken, path, torch.randn(4, 3, 12, 12), max_abs=1e9, agreement=0.0)
    assert not parity["passed"]
    with pytest.raises(LimbeckError, match="not finite"):
        require(parity, path, what="images")
