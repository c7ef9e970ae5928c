"""Features are the tensors that modules deal in, and a model that was looked into is as it was."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from limbeck.models.capture import LISTED, Capture
from limbeck.sections.teacher import Model
from limbeck.vision.build import build


def convnet():
    section = Model.model_validate({"model": "convnet", "width": 4, "depth": 1})
    return build(section, classes=10, channels=1, size=8, trust_code=False, seed=0)


def hooks_of(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_forward_hooks_with_kwargs")
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


IMAGES = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
PATHS = ("stages.0", "stages.1.0.relu:in", "fc:in")


class Odd(nn.Module):
    """Calls ``shared`` twice, ``named`` by keyword, never ``idle``; ``pair`` gives a tuple and ``words`` no tensor."""

    def __init__(self):
        super().__init__()
        self.shared, self.named, self.idle = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.pair, self.words, self.none = Giving(lambda x: (2 * x, x)), Giving(lambda x: "words"), Giving(lambda: None)
        self.alias = self.shared
        self.before, self.inplace = nn.Linear(3, 3), nn.ReLU(inplace=True)

    def forward(self, x):
        self.words(x)
        self.none()
        self.inplace(self.before(x))
        return self.pair(self.named(input=self.shared(self.shared(x))))[0]


class Giving(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, *given):
        return self.answer(*given)


# ------------------------------------------------------------------------------------------------ what is captured


def test_the_very_tensors_by_path_with_their_graph():
    model = convnet().eval()
    first, second = model.stages[0], model.stages[1]
    with Capture(model, PATHS) as features:
        logits = model(IMAGES)
    assert tuple(features) == PATHS
    maps = first(model.stem(IMAGES))
    torch.testing.assert_close(features["stages.0"], maps)
    block = second[0]
    torch.testing.assert_close(features["stages.1.0.relu:in"], block.bn(block.pointwise(block.depthwise(maps))))
    torch.testing.assert_close(features["fc:in"], second(maps).mean((2, 3)))
    torch.testing.assert_close(model.fc(features["fc:in"]), logits)
    (gradient,) = torch.autograd.grad(features["stages.0"].sum(), model.stem[0].weight, retain_graph=True)
    assert gradient.abs().sum() > 0
    # the logits were computed from these very tensors, and not from copies of them
    assert torch.autograd.grad(logits.sum(), features["stages.0"])[0].abs().sum() > 0


def test_odd_modules_have_a_rule():
    model, x = Odd(), torch.randn(2, 3)
    with Capture(model, ["shared", "shared:in", "alias", "named:in", "pair", "pair:in"]) as features:
        model(x)
    once = model.shared(x)
    twice = model.shared(once)
    for path, value in {"shared": twice, "alias": twice, "shared:in": once, "named:in": twice}.items():
        torch.testing.assert_close(features[path], value)  # the last call counts
    torch.testing.assert_close(features["pair"], 2 * features["pair:in"])


def test_each_pass_gives_its_own():
    model = convnet().eval()
    capture = Capture(model, ["fc:in"])
    with capture as first:
        model(IMAGES)
    kept = first["fc:in"].clone()
    with capture as second:
        model(1 - IMAGES)
    assert torch.equal(first["fc:in"], kept)
    assert not torch.equal(second["fc:in"], kept)
    with Capture(model, ()) as none:
        model(IMAGES)
    assert none == {}


# ------------------------------------------------------------------------------------------------ what is left behind


def test_nothing_is_left_on_the_model(tmp_path):
    model = convnet().eval()
    keys, graph = list(model.state_dict()), str(torch.export.export(model, (IMAGES,)).graph)
    with Capture(model, PATHS):
        assert hooks_of(model) > 0
        model(IMAGES)
    assert hooks_of(model) == 0
    assert list(model.state_dict()) == keys
    assert str(torch.export.export(model, (IMAGES,)).graph) == graph
    assert hooks_of(copy.deepcopy(model)) == 0
    with pytest.raises(RuntimeError, match="channels"), Capture(model, PATHS):
        model(torch.zeros(1, 3, 8, 8))
    assert hooks_of(model) == 0
    with pytest.raises(ValueError), Capture(model, PATHS):
        pass
    assert hooks_of(model) == 0


# ------------------------------------------------------------------------------------------------ what is refused


def test_an_unknown_path_names_those_that_there_are():
    model = convnet()
    with pytest.raises(ValueError, match=r"no module at 'stages\.9'.*Did you mean 'stages\.\d'.*There are: .*\bfc\b"):
        Capture(model, ["fc", "stages.9"])
    assert hooks_of(model) == 0
    with pytest.raises(ValueError, match=r"no module at 'stagez:in'.* Did you mean 'stages'"):
        Capture(model, ["stagez:in"])
    for path in ("", ":in", "fc.weight", "fc:out"):
        with pytest.raises(ValueError, match=f"no module at '{path}'"):
            Capture(model, [path])
    with pytest.raises(ValueError, match="Linear has no inner modules"):
        Capture(nn.Linear(2, 2), ["fc"])
    many = nn.Sequential(*(nn.Sequential(nn.Identity()) for _ in range(LISTED)))
    with pytest.raises(ValueError, match=rf"There are: 0, 1, .* and {LISTED} more\.$"):
        Capture(many, ["head"])


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("idle", "'idle' was not called"),
        ("idle:in", "'idle:in' was not called"),
        ("words", "'words' gives a str"),
        ("none:in", "'none:in' is given no tensor"),
        ("before", "'before' are overwritten in place"),
        ("inplace:in", "'inplace:in' are overwritten in place"),
    ],
)
@pytest.mark.parametrize("grad", [True, False])
def test_what_has_no_features_is_said(path, message, grad):
    model = Odd()
    with torch.set_grad_enabled(grad), pytest.raises(ValueError, match=message), Capture(model, [path]):
        model(torch.randn(2, 3))
    assert hooks_of(model) == 0
    # the module behind it gives what stays
    with Capture(model, ["inplace"]) as features:
        model(torch.randn(2, 3))
    assert (features["inplace"] >= 0).all()


# ------------------------------------------------------------------------------------------------ within wrappers


def gradients_with(capture, model, inputs):
    with capture as features:
        logits = model(inputs)
    (logits.square().sum() + sum(value.square().sum() for value in features.values())).backward()
    return features, {name.rpartition("module.")[2]: p.grad for name, p in model.named_parameters()}


def test_a_compiled_model_gives_the_same_and_is_compiled_once():
    graphs = []

    def backend(graph, examples):
        graphs.append(graph)
        return graph.forward

    model = convnet()
    compiled = torch.compile(copy.deepcopy(model), backend=backend)
    capture = Capture(compiled, PATHS)
    for _ in range(3):
        features, gradients = gradients_with(capture, compiled, IMAGES)
        expected, others = gradients_with(Capture(model, PATHS), model, IMAGES)
        torch.testing.assert_close(features, expected)
        for name, value in others.items():
            torch.testing.assert_close(gradients[f"_orig_mod.{name}"], value)
    assert len(graphs) == 1
    assert hooks_of(compiled) == 0


def test_within_distributed_data_parallel():
    model = convnet()
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(copy.deepcopy(model))
        features, gradients = gradients_with(Capture(wrapped, PATHS), wrapped, IMAGES)
    finally:
        torch.distributed.destroy_process_group()
    expected, others = gradients_with(Capture(model, PATHS), model, IMAGES)
    torch.testing.assert_close(features, expected)
    torch.testing.assert_close(gradients, others)
