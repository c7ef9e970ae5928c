"""Fake quantisation against float64 and against files in 8 bits, and what is left of it afterwards."""

import copy

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from limbeck.deploy.formats import FORMATS
from limbeck.deploy.graphs import of_module
from limbeck.interfaces import Exportable, Input
from limbeck.interfaces.exportable import BATCH, LENGTH
from limbeck.models.fake_quantization import MOMENTUM, fake_quantised, rounded_activation, rounded_weight

INT8 = FORMATS["onnx-int8"]


def nothing() -> None:
    raise AssertionError("asked for a calibration that is none")


@pytest.mark.parametrize("shape", [(6, 5), (6, 3, 3, 3), (8, 1, 5)])
@pytest.mark.parametrize("levels", [7, 64, 127])
def test_a_weight_lies_on_its_channels_grid(shape: tuple[int, ...], levels: int) -> None:
    random = np.random.default_rng(levels)
    # a channel's size has no part in how finely it is kept; one of zeros stays zero
    sizes = np.logspace(-4, 2, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    weight = (random.standard_normal(shape) * sizes).astype(np.float32)
    weight[2] = 0
    found = rounded_weight(torch.from_numpy(weight), levels).double().numpy()
    exact = weight.astype(np.float64)
    for channel, row in enumerate(exact):
        step = np.abs(row).max() / levels or 1.0
        places = row / step
        sure = np.abs(places - np.floor(places) - 0.5) > 1e-4  # float32 decides what lies halfway
        np.testing.assert_allclose(found[channel][sure], (np.rint(places) * step)[sure], rtol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(-1.5, 3.0), (0.25, 2.0), (-3.0, -1.0), (0.0, 0.0)])
def test_an_activation_lies_on_a_grid_that_holds_zero(low: float, high: float) -> None:
    values = np.random.default_rng(0).uniform(-4, 4, 2000).astype(np.float32)
    values[0] = 0
    found = rounded_activation(torch.from_numpy(values), torch.tensor(low), torch.tensor(high)).double().numpy()
    assert found[0] == 0
    assert len(np.unique(found)) <= 256
    if low == high:
        return
    least, most = min(low, 0.0), max(high, 0.0)
    step = (most - least) / 255
    zero = np.rint(-least / step)
    places = values.astype(np.float64) / step
    sure = np.abs(places - np.floor(places) - 0.5) > 1e-3
    expected = (np.clip(np.rint(places) + zero, 0, 255) - zero) * step
    np.testing.assert_allclose(found[sure], expected[sure], rtol=1e-5, atol=1e-7)


def test_rounding_has_the_gradient_of_what_was_rounded() -> None:
    values = torch.linspace(-2, 2, 41, requires_grad=True)
    rounded_activation(values, torch.tensor(-1.0), torch.tensor(1.0)).sum().backward()
    assert values.grad is not None
    within = values.detach().abs() <= 1 + 1 / 255
    torch.testing.assert_close(values.grad, within.float())
    weight = torch.randn(4, 9, requires_grad=True)
    (rounded_weight(weight, 7) * 3).sum().backward()
    torch.testing.assert_close(weight.grad, torch.full((4, 9), 3.0))


def convolutions() -> nn.Sequential:
    """Channels of very different size, which a normalisation evens out: it is folded into the file's weights, some of them negative."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 36, 10),
    )  # fmt: skip
    with torch.no_grad():
        for one in model.modules():
            if isinstance(one, nn.Conv2d):
                one.weight.mul_(torch.logspace(-2, 1, len(one.weight)).reshape(-1, 1, 1, 1))
            if isinstance(one, nn.BatchNorm2d):
                one.weight.normal_()
        model.train()(torch.randn(256, 1, 6, 6))
    return model.eval()


def test_a_convolutional_network_answers_as_its_file_in_8_bits(tmp_path) -> None:
    model, images_NCHW = convolutions(), torch.randn(256, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    shape = Input(images_NCHW[:2], (BATCH, 1, 6, 6))
    graph = Exportable("Network", model, {"image": shape}, (BATCH, 10), {"name": "x"})
    given = {"image": images_NCHW.numpy()}
    INT8.write(graph, tmp_path / "x.int8.onnx", [given])
    file = INT8.ask(tmp_path / "x.int8.onnx")(given)[0]
    exact = of_module(graph)(given)[0]
    with (
        fake_quantised(model, levels=INT8.weight_levels, activations="static", calibrate=lambda: model(images_NCHW)),
        torch.no_grad(),
    ):
        ours = model(images_NCHW).numpy()
    off = np.sqrt(((file - exact) ** 2).mean())
    assert off > 0.01
    assert np.sqrt(((file - ours) ** 2).mean()) < off / 2


def test_weights_in_4_bits_are_those_that_are_learnt_with(tmp_path) -> None:
    model, images_NCHW = convolutions(), torch.randn(64, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    small = FORMATS["onnx-int4"]
    shape = Input(images_NCHW[:2], (BATCH, 1, 6, 6))
    graph = Exportable("Network", model, {"image": shape}, (BATCH, 10), {"name": "x"})
    given = {"image": images_NCHW.numpy()}
    small.write(graph, tmp_path / "x.int4.onnx", ())
    file, exact = small.ask(tmp_path / "x.int4.onnx")(given)[0], of_module(graph)(given)[0]
    with fake_quantised(model, levels=small.weight_levels, activations="none", calibrate=nothing), torch.no_grad():
        ours = model(images_NCHW).numpy()
    np.testing.assert_allclose(file, ours, atol=1e-4 * np.abs(exact).max())
    assert np.abs(file - exact).max() > 0.02 * np.abs(exact).max()
    weights = {one.data_type for one in onnx.load(tmp_path / "x.int4.onnx").graph.initializer if len(one.dims) > 1}
    assert weights == {onnx.TensorProto.INT4}


class _Bag(nn.Module):
    """Ids (B, L) to logits: a table, a layer for each position, a mean, and another layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.inner, self.outer = nn.Embedding(40, 16), nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, ids_BL: torch.Tensor) -> torch.Tensor:
        return self.outer(self.inner(self.table(ids_BL)).relu()).mean(1)


def test_a_network_of_products_answers_as_its_file_in_8_bits(tmp_path) -> None:
    model = _Bag().eval()
    with torch.no_grad():
        model.table.weight.mul_(torch.logspace(-2, 1, 40)[:, None])  # a row's scale is its own
    ids_BL = torch.arange(40).reshape(5, 8)
    graph = Exportable(
        "Bag",
        model,
        {"ids": Input(ids_BL, (BATCH, LENGTH), (0, 40))},
        (BATCH, 4),
        {"name": "x"},
        int8=("MatMul", "Gather"),
    )
    given = {"ids": ids_BL.numpy()}
    INT8.write(graph, tmp_path / "x.int8.onnx", ())
    file = INT8.ask(tmp_path / "x.int8.onnx")(given)[0]
    exact = of_module(graph)(given)[0]
    with fake_quantised(model, levels=INT8.weight_levels, activations="dynamic", calibrate=nothing), torch.no_grad():
        ours = model(ids_BL).numpy()
    off = np.sqrt(((file - exact) ** 2).mean())
    assert off > 1e-3
    assert np.sqrt(((file - ours) ** 2).mean()) < off / 4


def test_ranges_begin_with_all_that_was_seen_and_follow_the_batches_that_are_learnt_from() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    with fake_quantised(
        model, levels=64, activations="static", calibrate=lambda: [model(torch.full((4, 3), x)) for x in (-2.0, 5.0)]
    ):
        state = model.state_dict()
        assert [state[f"0.input_range.{side}"].item() for side in ("low", "high")] == [-2, 5]
        model.eval()(torch.full((4, 3), 100.0))
        assert state["0.input_range.high"].item() == 5
        model.train()(torch.full((4, 3), 100.0))
        assert state["0.input_range.high"].item() == pytest.approx(5 + MOMENTUM * 95)
        assert state["0.input_range.low"].item() == pytest.approx(-2 + MOMENTUM * 102)


def test_afterwards_the_model_is_its_plain_self_with_what_it_learnt(tmp_path) -> None:
    model = convolutions()
    images_NCHW, before = torch.randn(16, 1, 6, 6), copy.deepcopy(model)
    with fake_quantised(model, levels=64, activations="static", calibrate=lambda: model(images_NCHW)):
        assert not torch.equal(model(images_NCHW), before(images_NCHW))
        average = copy.deepcopy(model)  # as a moving average of the weights is one
        torch.testing.assert_close(average(images_NCHW), model(images_NCHW))
        average.load_state_dict(model.state_dict())
    assert repr(model) == repr(before)
    assert {name: value.shape for name, value in model.state_dict().items()} == {
        name: value.shape for name, value in before.state_dict().items()
    }
    assert torch.equal(model(images_NCHW), before(images_NCHW))
    with fake_quantised(model, levels=64, activations="static", calibrate=lambda: model(images_NCHW)):
        model.train()(images_NCHW).square().sum().backward()
        torch.optim.SGD(model.parameters(), lr=0.01).step()
        learnt = dict(model.named_parameters())["0.parametrizations.weight.original"].detach().clone()
    weight = model.state_dict()["0.weight"]
    assert torch.equal(weight, learnt)
    assert not torch.equal(weight, before.state_dict()["0.weight"])
    with pytest.raises(RuntimeError), fake_quantised(model, levels=64, activations="dynamic", calibrate=nothing):
        raise RuntimeError
    assert repr(model) == repr(before)
