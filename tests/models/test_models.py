"""Models: what the literature says of their sizes, what a wrong name, knob or file gets, and who is who."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from limbeck.errors import BadInput
from limbeck.models.asking import untouched
from limbeck.models.build import build, check_fits
from limbeck.models.convnet import ConvNet
from limbeck.models.identity import digest, identity, probe, probe_images, same_probe
from limbeck.models.state_file import read_state
from limbeck.models.weights import load_weights, save_weights
from limbeck.recipe import Model

DIGITS = SimpleNamespace(classes=10, channels=1, size=8)
FASHION = SimpleNamespace(classes=10, channels=1, size=28)
CIFAR = SimpleNamespace(classes=100, channels=3, size=32)


def made(name: str, data: SimpleNamespace = DIGITS, seed: int = 0, trust_code: bool = False, **knobs) -> nn.Module:
    return build(Model(model=name, **knobs), **vars(data), trust_code=trust_code, seed=seed)


def parameters(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def refusal(name: str, **knobs) -> str:
    with pytest.raises(BadInput) as caught:
        made(name, **knobs)
    return str(caught.value)


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


@pytest.mark.parametrize("name", ["convnet", "resnet8", "resnet8x4", "wrn_10_1", "wrn_16_2"])
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


# A person's own code


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_nets_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "from pathlib import Path\n"
        "from torch import nn\n"
        "Path(__file__).with_name('ran').touch()\n"
        "def net(num_classes, in_chans, hidden=4):\n"
        "    return nn.Sequential(nn.Flatten(), nn.LazyLinear(hidden), nn.Linear(hidden, num_classes))\n"
        "def plain(classes, channels, size):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))\n"
        "def number():\n    return 3\n"
        "def broken(classes):\n    raise ValueError('no such luck')\n"
        "value = 7\n"
    )
    monkeypatch.chdir(tmp_path)
    return name


def test_code_is_not_even_imported_without_trust(own_module: str):
    message = refusal(f"{own_module}:plain")
    assert "--trust-code" in message
    assert not Path("ran").exists()


def test_trusted_code_is_called_with_the_facts_it_asks_for_and_its_knobs(own_module: str):
    check_fits(made(f"{own_module}:plain", trust_code=True), **vars(DIGITS), name="student")
    assert made(f"{own_module}:net", trust_code=True, hidden=6)[2].in_features == 6


def test_trusted_code_that_makes_no_model_is_refused_in_a_sentence(own_module: str):
    def said(tail: str, **knobs) -> str:
        return refusal(f"{own_module}:{tail}", trust_code=True, **knobs)

    assert "no 'plian'" in said("plian")
    assert "Did you mean 'plain'?" in said("plian")
    assert "returned a int" in said("number")
    assert "cannot be called" in said("value")
    assert "no such luck" in said("broken")
    assert "wide" in said("plain", wide=2)
    assert "there is no module 'no_such_module_here'" in refusal("no_such_module_here:net", trust_code=True)


# Fitting the data


class Asked(nn.Module):
    """Answers whatever it is given to answer, and counts its calls in a buffer."""

    def __init__(self, answer: object) -> None:
        super().__init__()
        self.answer = answer
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images_BCHW: Tensor) -> object:
        self.calls += 1
        return self.answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (torch.zeros(2, 100), "the teacher answers 100 classes, the data has 10"),
        (torch.zeros(2, 10, 4, 4), "(2, 10, 4, 4)"),
        ((torch.zeros(2, 3), torch.zeros(2, 10)), "answers with a tuple"),
        ((torch.zeros(2, 3), torch.zeros(2, 10)), "return self.model(images)[1]"),
        ([torch.zeros(2, 10)], "return self.model(images)[0]"),
        ({"loss": None, "logits": torch.zeros(2, 10)}, "return self.model(images)['logits']"),
        (SimpleNamespace(logits=torch.zeros(2, 10)), "return self.model(images).logits"),
        ({"boxes": torch.zeros(2, 4)}, "a tensor of logits (images, classes)."),
        (
            torch.zeros(2, 10, dtype=torch.complex64),
            "answers with complex64 numbers; logits are floating-point numbers",
        ),
        (torch.full((2, 10), float("nan")), "NaN"),
    ],
)
def test_a_model_whose_answers_do_not_fit_is_refused(answer: object, said: str):
    with pytest.raises(BadInput) as caught:
        check_fits(Asked(answer), **vars(DIGITS), name="teacher")
    assert said in str(caught.value)


def test_a_model_that_fails_on_the_shape_is_refused_with_its_own_words():
    with pytest.raises(BadInput, match=r"the student fails on .* 1x8x8 .*3 channels"):
        check_fits(made("resnet8", CIFAR), **vars(DIGITS), name="student")


def test_asking_leaves_modes_and_buffers_as_they_were():
    model = nn.Sequential(made("convnet"), Asked(torch.zeros(2, 10)), nn.Dropout()).train()
    model[0].stem.eval()
    before = digest(model)
    modes = [module.training for module in model.modules()]
    check_fits(model, **vars(DIGITS), name="student")
    assert digest(model) == before
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(RuntimeError), untouched(model):
        model(torch.zeros(1))
    assert [module.training for module in model.modules()] == modes


# Weights


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pth", "th", "bin"])
def test_weights_survive_the_way_to_the_file_and_back(tmp_path: Path, suffix: str):
    model, path = made("convnet", seed=1).train(), tmp_path / f"weights.{suffix}"
    model(torch.rand(4, 1, 8, 8))
    if suffix == "safetensors":
        save_weights(model.to(memory_format=torch.channels_last), path)  # pyright: ignore[reportCallIssue]
    else:
        torch.save({"epoch": 3, "model": {f"module.{k}": v for k, v in model.state_dict().items()}}, path)
    other = made("convnet", seed=2, weights=str(path))
    assert digest(other) == digest(model)


def test_a_tensor_with_two_names_is_stored_once_and_found_under_both(tmp_path: Path):
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    model[1].weight = model[0].weight
    save_weights(model, tmp_path / "tied.safetensors")
    assert (tmp_path / "tied.safetensors").stat().st_size < 1.5 * 64 * 64 * 4
    assert set(read_state(tmp_path / "tied.safetensors")) == set(model.state_dict())
    other = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    load_weights(other, tmp_path / "tied.safetensors", "teacher")
    assert digest(other) == digest(model)


class Runs:
    """Unpickled, it would leave a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path, legacy: bool):
    path, mark = tmp_path / "teacher.pt", tmp_path / "ran"
    if legacy:
        path.write_bytes(pickle.dumps({"state_dict": Runs(mark)}))
    else:
        torch.save({"state_dict": Runs(mark)}, path)
    with pytest.raises(BadInput, match=r"not loaded.*safetensors"):
        read_state(path)
    assert not mark.exists()


def _fails(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_state(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_files_that_are_not_whole_are_refused_in_a_sentence(tmp_path: Path):
    assert "does not exist" in _fails(tmp_path / "none.safetensors")
    assert "is a folder" in _fails(tmp_path)
    whole = safetensors.torch.save({"w": torch.zeros(100)})
    chance = random.Random(0)
    torch.save({"w": torch.zeros(100)}, tmp_path / "whole.pt")
    archive = (tmp_path / "whole.pt").read_bytes()
    for length in (0, 5, 40, len(whole) - 1):
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        assert "not a whole safetensors file" in _fails(tmp_path / "cut.safetensors")
    for length in (0, 5, 200, len(archive) - 10):
        (tmp_path / "cut.pt").write_bytes(archive[:length])
        _fails(tmp_path / "cut.pt")
    (tmp_path / "noise.pt").write_bytes(chance.randbytes(300))
    _fails(tmp_path / "noise.pt")
    (tmp_path / "weights.onnx").write_bytes(b"")
    assert "neither" in _fails(tmp_path / "weights.onnx")


def test_a_file_that_holds_no_state_dict_is_refused(tmp_path: Path):
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    assert "not a state dict" in _fails(tmp_path / "tensor.pt")
    torch.save({"epoch": 3, "best": 0.5}, tmp_path / "facts.pt")
    assert "'epoch' is a int" in _fails(tmp_path / "facts.pt")


def test_weights_that_do_not_fit_are_named(tmp_path: Path):
    path = tmp_path / "w.safetensors"

    def said(state: dict[str, Tensor]) -> str:
        safetensors.torch.save_file(state, path)
        model = made("convnet", width=8)
        before = digest(model)
        with pytest.raises(BadInput) as caught:
            load_weights(model, path, "teacher")
        assert digest(model) == before
        return str(caught.value)

    state = {k: v.clone() for k, v in made("convnet", width=8).state_dict().items()}
    assert "lacks 'fc.bias'" in said({k: v for k, v in state.items() if k != "fc.bias"})
    assert "has no 'extra'" in said({**state, "extra": torch.zeros(1)})
    assert "(4, 1, 3, 3) in the file and (8, 1, 3, 3)" in said(
        {k: v.clone() for k, v in made("convnet", width=4).state_dict().items()}
    )
    many = SimpleNamespace(classes=100, channels=1, size=8)
    assert "it answers 100 classes where 10 are wanted" in said(
        {k: v.clone() for k, v in made("convnet", many, width=8).state_dict().items()}
    )


def test_weights_from_before_batches_were_counted_still_load(tmp_path: Path):
    model = made("resnet8", seed=1)
    old = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    safetensors.torch.save_file(old, tmp_path / "old.safetensors")
    other = made("resnet8", seed=2, weights=str(tmp_path / "old.safetensors"))
    assert digest(other) == digest(model)


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
