"""Who is who: probes and digests."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.models.identity import architecture, digest, identity, probe, same_probe
from limbeck.vision.inputs import probe_images
from tests.helpers.networks import made

# Who is who


class Activated(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.inner, self.activation, self.outer = nn.Linear(64, 16), activation, nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.outer(self.activation(self.inner(images_BCHW.flatten(1))))


def test_the_probe_tells_apart_what_the_weights_do_not():
    relu, silu = Activated(nn.ReLU()), Activated(nn.SiLU())
    silu.load_state_dict(relu.state_dict())
    one, other = identity(relu, probe_images(1, 8)), identity(silu, probe_images(1, 8))
    assert one["weights"] == other["weights"]
    assert not same_probe(one["probe"], other["probe"])
    assert len(one["probe"]) == 4 * 10


def test_the_probe_agrees_with_itself_up_to_rounding_only():
    model = made("convnet")
    values = identity(model, probe_images(1, 8))["probe"]
    assert values == identity(model, probe_images(1, 8))["probe"]
    assert same_probe(values, [v * (1 + 1e-5) for v in values])
    assert not same_probe(values, values[:-1])
    assert not same_probe(values, [values[0] + 1.0, *values[1:]])
    assert not same_probe(values, [float("nan"), *values[1:]])
    assert np.allclose(values, probe(model, probe_images(1, 8)).flatten(), rtol=1e-5)


def test_the_digest_sees_names_shapes_dtypes_and_buffers_but_not_memory_layout():
    model = made("convnet")
    before = digest(model)
    assert digest(model.to(memory_format=torch.channels_last)) == before  # pyright: ignore[reportCallIssue]
    model.stem[1].running_mean[0] += 1  # pyright: ignore
    assert digest(model) != before
    one, other = nn.Linear(2, 3), nn.Linear(3, 2)
    nn.init.zeros_(one.weight), nn.init.zeros_(other.weight)
    one.bias = other.bias = None  # pyright: ignore
    assert digest(one) != digest(other)
    assert digest(one) != digest(one.half())


def test_an_architecture_is_all_but_the_values() -> None:
    def net(width: int, act: type[nn.Module], seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, width), act(), nn.Linear(width, 2))

    base = architecture(net(4, nn.ReLU, 0))
    assert architecture(net(4, nn.ReLU, 1)) == base
    assert architecture(net(5, nn.ReLU, 0)) != base
    assert architecture(net(4, nn.GELU, 0)) != base  # which has no weights and takes its time
