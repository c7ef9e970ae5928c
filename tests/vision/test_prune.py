"""Networks made smaller from their own weights: how much stays, what stays, and that it can be built again without them."""

import copy

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("torch_pruning")

from limbeck.errors import BadInput
from limbeck.models.identity import digest
from limbeck.sections.pruned import FEWEST, Pruned
from limbeck.vision.prune import pruned, record_of, share_of_channels
from limbeck.vision.widths import with_widths
from tests.helpers.networks import DIGITS, made

EXAMPLE = torch.linspace(-1, 1, 2 * 8 * 8).reshape(2, 1, 8, 8)


def cut(teacher: nn.Module, criterion: str = "magnitude", *, keep: float = 0.25, seed: int = 0, **more) -> nn.Module:
    wanted = Pruned.model_validate({"keep": keep, "criterion": criterion})
    share = share_of_channels(teacher, wanted, EXAMPLE)
    return pruned(teacher, wanted, EXAMPLE, share=share, seed=seed, **more)


def with_group_norms() -> nn.Module:
    torchvision = pytest.importorskip("torchvision")
    with torch.random.fork_rng(devices=[]):
        model = torchvision.models.resnet18(norm_layer=lambda channels: nn.GroupNorm(8, channels), num_classes=10)
        model.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return model


NETWORKS = {
    **{name: lambda name=name: made(name) for name in ("wrn_10_1", "convnet", "mobile", "pilotnet")},
    "timm": lambda: made("timm/mobilenetv3_small_050"),
    "group norms": with_group_norms,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_stays_is_counted_whole_and_built_again_without_the_teacher(name: str) -> None:
    if name == "timm":
        pytest.importorskip("timm")
    # frozen, as a teacher is: the library would prune nothing of it, and not say so
    teacher = NETWORKS[name]().requires_grad_(False).train()
    before, random = digest(teacher), torch.get_rng_state()
    student = cut(teacher)
    assert digest(teacher) == before
    assert teacher.training
    assert torch.equal(torch.get_rng_state(), random)

    left, whole = (sum(one.numel() for one in model.parameters()) for model in (student, teacher))
    assert FEWEST * 0.25 * whole <= left <= 0.25 * whole
    assert all(one.requires_grad for one in student.parameters())
    assert student.eval()(EXAMPLE).shape == (2, DIGITS.classes)
    record = record_of(copy.deepcopy(student))
    assert record is not None
    assert (record.before, record.after) == (whole, left)
    state = student.state_dict()
    again = with_widths(NETWORKS[name](), record.widths, state, "here")
    again.load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(again.eval()(EXAMPLE), student(EXAMPLE))


def of_a_stage(weigh) -> Tensor:
    """What the 16 channels of wrn_10_1's first stage weigh, by whatever makes or reads them, in float64."""
    rows = ["conv1", "block1.layer.0.conv2"]
    columns = ["block1.layer.0.conv1", "block2.layer.0.conv1", "block2.layer.0.convShortcut"]
    return sum(weigh(name, (1, 2, 3)) for name in rows) + sum(weigh(name, (0, 2, 3)) for name in columns)


def stayed(teacher: nn.Module, student: nn.Module, name: str) -> list[int]:
    """Which output channels of a layer a student has, told by the sums of what comes before all inputs that it kept."""
    (whole, left) = (dict(model.named_modules())[name].weight.detach() for model in (teacher, student))
    assert whole.shape[1] == left.shape[1]
    return [next(k for k, row in enumerate(whole) if torch.equal(row, kept)) for kept in left]


def test_magnitude_keeps_the_channels_whose_squared_weights_are_largest_all_layers_that_share_them_counted() -> None:
    teacher = made("wrn_10_1")
    with torch.no_grad():
        for module in teacher.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(torch.linspace(-2, 2, module.num_features))
    parts = dict(teacher.named_modules())
    energy = of_a_stage(lambda name, over: parts[name].weight.detach().double().square().sum(over))
    energy += sum(
        parts[name].weight.detach().double().square() for name in ("block1.layer.0.bn1", "block2.layer.0.bn1")
    )
    student = cut(teacher)
    kept = dict(student.named_modules())["conv1"].out_channels
    assert 0 < kept < 16
    assert stayed(teacher, student, "conv1") == sorted(energy.argsort(descending=True)[:kept].tolist())
    # and every weight that stays is the teacher's
    rows = stayed(teacher, student, "conv1")
    assert torch.equal(
        dict(student.named_modules())["block1.layer.0.bn1"].weight, parts["block1.layer.0.bn1"].weight[rows]
    )
    assert torch.equal(dict(student.named_modules())["fc"].bias, parts["fc"].bias)


def test_taylor_keeps_the_channels_whose_weights_times_gradients_are_largest() -> None:
    teacher, labels = made("wrn_10_1"), torch.tensor([3, 7])

    def gradients(model: nn.Module) -> None:
        nn.functional.cross_entropy(model(EXAMPLE), labels).backward()

    exact = copy.deepcopy(teacher).double().eval()
    nn.functional.cross_entropy(exact(EXAMPLE.double()), labels).backward()
    parts = dict(exact.named_modules())

    def weigh(name: str, over: tuple[int, ...]) -> Tensor:
        return (parts[name].weight * parts[name].weight.grad).detach().abs().sum(over)

    student = cut(teacher, "taylor", gradients=gradients)
    kept = dict(student.named_modules())["conv1"].out_channels
    wanted = sorted(of_a_stage(weigh).argsort(descending=True)[:kept].tolist())
    assert stayed(teacher, student, "conv1") == wanted
    assert wanted != stayed(teacher, cut(teacher), "conv1")
    assert all(one.grad is None for one in student.parameters())


def test_chance_keeps_other_channels_with_another_seed_and_the_same_number() -> None:
    teacher = made("wrn_10_1")
    one, again, other = (cut(teacher, "random", seed=seed) for seed in (1, 1, 2))
    assert digest(one) == digest(again) != digest(other)
    assert record_of(one) == record_of(other)


def test_where_groups_of_channels_leave_no_such_share_the_sentence_names_those_that_there_are() -> None:
    torch.manual_seed(0)
    teacher = nn.Sequential(
        *(nn.Conv2d(1, 24, 3), nn.GroupNorm(8, 24), nn.ReLU(), nn.Conv2d(24, 24, 3), nn.GroupNorm(8, 24), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)),
    )
    with pytest.raises(BadInput, match="in whole steps of their groups") as caught:
        cut(teacher, keep=0.8)
    named = [float(word.rstrip(".")) for word in str(caught.value).split("are ")[-1].split(". ")[0].split(" and ")]
    assert named
    for keep in named:
        student = cut(teacher, keep=keep)
        assert student[0].out_channels in (8, 16)
        assert sum(one.numel() for one in student.parameters()) <= keep * sum(
            one.numel() for one in teacher.parameters()
        )


class Looks(nn.Module):
    """Shapes that are written down beside the layers: three heads of 8."""

    def __init__(self) -> None:
        super().__init__()
        self.within, self.answer = nn.Linear(64, 24), nn.Linear(24, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.answer(self.within(images_BCHW.flatten(1)).reshape(-1, 3, 8).softmax(1).flatten(1))


@pytest.mark.parametrize(
    ("teacher", "says"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "can be taken out"),
        (Looks(), "cannot be pruned"),
    ],
)
def test_what_cannot_be_pruned_is_refused_with_what_to_do(teacher: nn.Module, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        cut(teacher)
    assert "student.pruned" in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"conv1": {"training": 1}}, {"conv1": {"out_channels": -4}}, {"none": {"x": 1}}, {"conv1": 3}]
)
def test_widths_from_elsewhere_set_nothing_but_widths(wrong: dict) -> None:
    with pytest.raises(BadInput, match="no width of such a network"):
        with_widths(made("wrn_10_1"), wrong, {}, "config.json")
