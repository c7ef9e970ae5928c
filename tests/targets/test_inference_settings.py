"""How a teacher is asked: worked out and not timed, the same answers however many at a time, no precision unmeasured."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from limbeck.targets import inference_settings as asking
from limbeck.targets.inference_settings import AUTO_BOUND, Asked, Manner, answers_error, examples_at_a_time, manner_of
from limbeck.vision.convnet import ConvNet


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return ConvNet(10, 1, 8, width=4).eval()


@settings(max_examples=20, deadline=None)
@given(at_a_time=st.integers(1, 40), count=st.integers(1, 40))
def test_answers_do_not_depend_on_how_many_are_asked_at_a_time(model: nn.Module, at_a_time: int, count: int) -> None:
    images_BCHW = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected_BC = model(images_BCHW)
    found_BC = Asked(model, Manner(at_a_time, "float32"))(images_BCHW)
    assert found_BC.shape == (count, 10)
    torch.testing.assert_close(found_BC, expected_BC, atol=1e-5, rtol=1e-5)


def test_the_number_asked_at_a_time_follows_from_shapes(model: nn.Module) -> None:
    small, large = (examples_at_a_time(model, torch.rand(3, 1, side, side)) for side in (8, 512))
    assert small == 512  # as many as there may be
    assert large == 16  # as few
    wide = ConvNet(10, 3, 32, width=32)
    widths = {asking.bytes_at_widest(wide, torch.rand(1, 3, 32, 32)) for _ in range(3)}
    assert len(widths) == 1  # whatever else the machine does
    (width,) = widths
    number = examples_at_a_time(wide, torch.rand(1, 3, 32, 32))
    assert number & (number - 1) == 0
    assert number * width <= asking.CPU_BYTES * torch.get_num_threads() < 2 * number * width
    assert not any(module._forward_hooks for module in wide.modules())


@pytest.mark.parametrize(
    ("bias_C", "taken"),
    [
        (torch.arange(10.0), "bfloat16"),  # classes far apart
        (torch.full((10,), 1000.0), "float32"),  # a bfloat16 near 1000 is a multiple of 4: what sets them apart is lost
    ],
)
def test_auto_takes_a_narrower_precision_only_where_the_answers_stay(monkeypatch, bias_C, taken: str) -> None:
    monkeypatch.setattr(asking, "fast_precisions", lambda device: ["bfloat16"])  # as a newer processor has
    torch.manual_seed(0)
    layer, sample_BCHW = nn.Linear(64, 10), torch.rand(64, 1, 8, 8)
    layer.bias.data = 30 * bias_C if taken == "bfloat16" else bias_C
    model = nn.Sequential(nn.Flatten(), layer)
    manner = manner_of(model, sample_BCHW, precision="auto")
    assert manner.precision == taken
    found = answers_error(
        Asked(model, Manner(64, "float32"))(sample_BCHW), Asked(model, Manner(64, "bfloat16"))(sample_BCHW)
    )
    if taken == "float32":
        assert found["mean_kl"] > AUTO_BOUND
        assert manner.error is None
    else:
        assert dict(manner.error or {}) == found
        assert found["mean_kl"] < AUTO_BOUND


def test_auto_is_float32_where_nothing_is_faster_and_a_named_precision_is_measured(monkeypatch, model) -> None:
    monkeypatch.setattr(asking, "fast_precisions", lambda device: [])
    sample_BCHW = torch.rand(16, 1, 8, 8)
    assert manner_of(model, sample_BCHW, precision="auto").precision == "float32"
    named = manner_of(model, sample_BCHW, precision="bfloat16")
    assert named.precision == "bfloat16"
    assert named.error is not None
    assert 0 < named.error["mean_kl"] < 0.01


def test_what_is_not_finite_is_as_far_away_as_can_be() -> None:
    exact_BC = torch.tensor([[1.0, 2.0], [0.0, 3.0]])
    found = answers_error(exact_BC, torch.tensor([[1.0, float("nan")], [0.0, 3.0]]))
    assert found["mean_kl"] > 1e300
    assert answers_error(exact_BC, exact_BC)["max_kl"] == 0


def test_without_a_compiler_the_teacher_is_asked_as_it_is(monkeypatch, model: nn.Module, capsys) -> None:
    def broken(module: nn.Module, **options: object):
        def call(images_BCHW: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no C++ compiler was found")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    images_BCHW = torch.rand(8, 1, 8, 8)
    found_BC = Asked(model, Manner(4, "float32", compile=True))(images_BCHW)
    torch.testing.assert_close(found_BC, Asked(model, Manner(4, "float32"))(images_BCHW), atol=0, rtol=0)
    assert "no C++ compiler was found" in capsys.readouterr().err
