"""The objectives on features as modules: adapters that are trained, terms and counts, what is missing."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from limbeck.interfaces import Batch, DenseLogits, Features, Output, Target
from limbeck.objectives import functional
from limbeck.objectives.modules import CRD, RKD, AttentionTransfer, FitNets, ReviewKD, SimilarityPreserving, SimKD
from limbeck.objectives.modules.features import BatchNorm
from limbeck.objectives.modules.review import Fusion
from limbeck.objectives.schedules import Linear, Progress
from tests.objectives.cases import EXACT, normal

EXAMPLES = 8
IDS_N = torch.arange(100, 130)


def features(seed, widths, examples=EXAMPLES, dtype=torch.float32):
    """Three maps of a shrinking network, the last features as a vector, by path."""
    sides = (8, 4, 2)
    maps = {
        f"stages.{i}": normal(examples, width, side, side, seed=seed + i, dtype=dtype).relu()
        for i, (width, side) in enumerate(zip(widths, sides))
    }
    return maps | {"fc:in": maps["stages.2"].mean((2, 3))}


def student(examples=EXAMPLES, seed=0, dtype=torch.float32):
    return Output(features=features(seed, (4, 6, 8), examples, dtype))


def teacher(examples=EXAMPLES, seed=10, dtype=torch.float32):
    return Target((DenseLogits(normal(examples, 3)), Features(features(seed, (5, 7, 9), examples, dtype))))


def batch(examples=EXAMPLES, first=100):
    return Batch(ids=torch.arange(first, first + examples), view=torch.zeros(examples, dtype=torch.int64), inputs=None)


PATHS = ["stages.0", "stages.1", "stages.2"]
MAKERS = {
    "fitnets": lambda: FitNets(student="stages.1", teacher="stages.1"),
    "fitnets, several": lambda: FitNets(student=["stages.0", "fc:in"], teacher=["stages.2", "fc:in"], kernel=3),
    "attention_transfer": lambda: AttentionTransfer(student=PATHS, teacher=PATHS[::-1]),
    "similarity_preserving": lambda: SimilarityPreserving(student="stages.2", teacher="stages.2"),
    "rkd": lambda: RKD(student="stages.2", teacher="fc:in"),
    "simkd": lambda: SimKD(student="stages.2", teacher="stages.1"),
    "crd": lambda: CRD(student="fc:in", teacher="stages.2", negatives=20, dim=16),
    "reviewkd": lambda: ReviewKD(student=[*PATHS, "fc:in"], teacher=[*PATHS, "fc:in"]),
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def built(make):
    torch.manual_seed(3)
    objective = make()
    objective.build(student(), teacher(), batch(), IDS_N)
    return objective


def loss_of(objective, ours, theirs, given=None):
    torch.manual_seed(4)
    return sum(term.total / term.count for term in objective(ours, theirs, given or batch()).values())


@every
def test_terms_and_counts(make):
    objective, given = built(make), batch()
    terms, counts = objective(student(), teacher(), given), objective.counts(given)
    assert list(terms) == list(counts)
    for name, term in terms.items():
        assert int(term.count) == int(counts[name]) == EXAMPLES
        assert term.total.shape == ()
        assert term.total > 0
    assert set(objective.needs.features) <= set(student().features)
    assert objective.needs.target == (Features,)
    assert objective.needs.teacher_features


@every
def test_both_models_take_part_and_only_the_student_learns(make):
    """Bugs 7 and 21."""
    objective, ours, theirs = built(make), student(), teacher()
    said = theirs.get(Features).values
    for value in (*ours.features.values(), *said.values()):
        value.requires_grad_()
    loss = loss_of(objective, ours, theirs)
    loss.backward()
    assert all(value.grad is None for value in said.values())
    for path in objective.needs.features:
        assert ours.features[path].grad.abs().sum() > 0
    assert loss_of(built(make), student(), teacher(seed=20)) != loss


def leaves(tensor):
    """Every tensor with a gradient of its own in the graph of ``tensor``."""
    seen, found, waiting = set(), {}, [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        waiting += [following for following, _ in node.next_functions]
    return list(found.values())


def forgotten(objective):
    """The tensors behind the loss that one step of an optimiser of the objective's parameters leaves as they were."""
    parameters = list(objective.parameters())
    loss = loss_of(objective, student(), teacher())
    behind = leaves(loss) if loss.requires_grad else []
    assert {id(p) for p in parameters} <= {id(leaf) for leaf in behind}  # and none is without effect
    before = [leaf.detach().clone() for leaf in behind]
    if parameters:
        optimizer = torch.optim.SGD(parameters, lr=0.1)
        loss.backward()
        optimizer.step()
    return [leaf for leaf, old in zip(behind, before) if torch.equal(leaf, old)]


@every
def test_every_adapter_learns(make):
    """Bug 22: in the first step every parameter changes."""
    objective = built(make)
    assert not forgotten(objective)
    assert bool(list(objective.parameters())) == isinstance(objective, FitNets | SimKD | CRD | ReviewKD)


def test_an_adapter_in_a_plain_list_does_not_learn():
    class Listed(FitNets):
        def build(self, *given):
            super().build(*given)
            self.kept = list(self.regressors)  # the buggy form
            self._modules.pop("regressors")
            object.__setattr__(self, "regressors", self.kept)

    assert len(forgotten(built(lambda: Listed(student="stages.1", teacher="stages.1")))) == 3


@every
def test_one_micro_batch_or_several(make):
    """Bug 15; objectives that compare examples say so."""
    objective = built(make).eval()  # batch norm with its running statistics: it compares examples too
    parts = [(0, 3), (3, 8)]

    def cut(low, high):
        ours = Output(features={path: value[low:high] for path, value in student().features.items()})
        theirs = Features({path: value[low:high] for path, value in teacher().get(Features).values.items()})
        return objective(ours, Target((theirs,)), batch(high - low, 100 + low))

    whole = objective(student(), teacher(), batch())
    pieces = [cut(low, high) for low, high in parts]
    for name, term in whole.items():
        together = sum(piece[name].total for piece in pieces)
        if objective.relational:
            assert not torch.isclose(together, term.total)
        else:
            torch.testing.assert_close(together, term.total)


@every
def test_a_single_example_and_bad_numbers(make):
    objective = built(make)
    ours = student(1)
    for value in ours.features.values():
        value.requires_grad_()
    loss = loss_of(objective, ours, teacher(1), batch(1))
    assert loss.isfinite()
    if loss.requires_grad:
        loss.backward()
        assert all(value.grad is None or value.grad.isfinite().all() for value in ours.features.values())
    bad = student()
    for value in bad.features.values():
        value[2].view(-1)[0] = math.nan
    assert loss_of(objective, bad, teacher()).isnan()


@every
def test_narrow_features_under_autocast(make):
    objective = built(make).eval()
    narrow = Output(features={path: value.bfloat16() for path, value in student().features.items()})
    said = Features({path: value.bfloat16() for path, value in teacher().get(Features).values.items()})
    wide = Output(features={path: value.float() for path, value in narrow.features.items()})
    with torch.autocast("cpu", torch.bfloat16):
        value = loss_of(objective, narrow, Target((said,)))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss_of(objective, wide, Target((said,))).item(), rel=0.02)


@every
def test_weights_and_warm_up(make):
    objective = built(make).eval()
    plain, objective.weight = loss_of(objective, student(), teacher()) / objective.weight, Linear(0.0, 3.0, epochs=2)
    for step, factor in ((0, 0.0), (5, 1.5), (10, 3.0), (99, 3.0)):
        objective.at(Progress(step, steps_per_epoch=5, total_steps=100))
        torch.testing.assert_close(loss_of(objective, student(), teacher()), factor * plain)


@every
def test_adapters_go_through_a_state_dict(make):
    objective, again = built(make), make()
    forgotten(objective)  # a step, so that statistics and parameters are no longer the first ones
    torch.manual_seed(9)
    again.build(student(), teacher(), batch(), IDS_N)
    again.load_state_dict(objective.state_dict())
    assert loss_of(again, student(), teacher()) == loss_of(objective, student(), teacher())


@every
def test_what_was_not_captured_is_named(make):
    objective = built(make)
    few = {path: value for path, value in student().features.items() if path not in objective.needs.features}
    with pytest.raises(KeyError, match=f"student's features hold none of '{objective.student[0]}'.*captured"):
        objective(Output(features={**few, "other": torch.zeros(1)}), teacher(), batch())
    with pytest.raises(KeyError, match=r"teacher's features hold none of .*captured: 'other'"):
        objective(student(), Target((Features({"other": torch.zeros(1)}),)), batch())
    with pytest.raises(KeyError, match=r"needs Features.*DenseLogits"):
        objective(student(), Target((DenseLogits(normal(8, 3)),)), batch())
    if list(objective.parameters()):
        with pytest.raises(ValueError, match="build"):
            make()(student(), teacher(), batch())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FitNets(student=["a", "b"], teacher=["a"]), "2 and 1"),
        (lambda: AttentionTransfer(student=[], teacher=[]), "at least one"),
        (lambda: FitNets("a", "b", kernel=2), "odd"),
        (lambda: AttentionTransfer("a", "b", power=0), "power"),
        (lambda: RKD("a", "b", distance=0, angle=0), "asks nothing"),
        (lambda: RKD("a", "b", angle=-1), "negative"),
        (lambda: SimKD("a", "b", factor=0), "factor"),
        (lambda: ReviewKD("a", "b", weight=-1), "negative"),
    ],
)
def test_wrong_settings_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# --------------------------------------------------------------------------------------------------- one by one


def test_rkd_is_two_terms():
    ours, theirs = student().features["stages.2"], teacher().get(Features).values["fc:in"]
    terms = built(MAKERS["rkd"])(student(), teacher(), batch())
    pair = ours.mean((2, 3)), theirs
    torch.testing.assert_close(terms["rkd_distance"].total / EXAMPLES, 25 * functional.rkd_distance(*pair))
    torch.testing.assert_close(terms["rkd_angle"].total / EXAMPLES, 50 * functional.rkd_angle(*pair))
    only = built(lambda: RKD("stages.2", "fc:in", angle=0))
    assert list(only(student(), teacher(), batch())) == list(only.counts(batch())) == ["rkd_distance"]


def normalised(maps, layer):
    """Batch norm in training, from its definition."""
    mean, variance = maps.mean((0, 2, 3), keepdims=True), maps.var((0, 2, 3), keepdims=True)
    scale, shift = (np.asarray(x.detach()).reshape(1, -1, 1, 1) for x in (layer.weight, layer.bias))
    return (maps - mean) / np.sqrt(variance + layer.eps) * scale + shift


def convolved(maps, layer):
    """A convolution that keeps the size, place by place."""
    weight = np.asarray(layer.weight.detach())
    around = weight.shape[-1] // 2
    padded = np.pad(maps, ((0, 0), (0, 0), (around, around), (around, around)))
    out = np.zeros((len(maps), len(weight), *maps.shape[2:]))
    for y in range(maps.shape[2]):
        for x in range(maps.shape[3]):
            window = padded[:, :, y : y + weight.shape[2], x : x + weight.shape[3]]
            out[:, :, y, x] = np.einsum("bchw,ochw->bo", window, weight)
    return out if layer.bias is None else out + np.asarray(layer.bias.detach()).reshape(1, -1, 1, 1)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_regressor_has_the_teachers_non_linearity(sign):
    objective = FitNets(student="stages.0", teacher="stages.1", weight=100)
    ours, theirs = student(dtype=EXACT), teacher(dtype=EXACT)
    theirs.get(Features).values["stages.1"][0, 0, 0, 0] *= sign
    theirs.get(Features).values["stages.1"][0, 0, 0, 0] += sign
    objective.build(ours, theirs, batch(), IDS_N)
    conv, norm = objective.regressors[0][:2]
    # 8x8 of the student against 4x4 of the teacher: averaged by twos
    small = np.asarray(ours.features["stages.0"]).reshape(8, 4, 4, 2, 4, 2).mean((3, 5))
    answer = normalised(convolved(small, conv), norm)
    answer = np.maximum(answer, 0) if sign > 0 else answer
    expected = 100 * ((answer - np.asarray(theirs.get(Features).values["stages.1"])) ** 2).mean()
    assert loss_of(objective, ours, theirs).item() == pytest.approx(expected, rel=1e-9)


def test_fusion_is_the_papers():
    fusion = Fusion(4, 3, 5, deepest=False).double()
    maps_BCHW, deeper_BMHW = normal(2, 4, 6, 6, seed=1), normal(2, 3, 3, 3, seed=2)
    answer, fused = fusion(maps_BCHW, deeper_BMHW, torch.Size((4, 4)))
    own = normalised(convolved(maps_BCHW.numpy(), fusion.narrow[0]), fusion.narrow[1])
    deeper = deeper_BMHW.numpy().repeat(2, 2).repeat(2, 3)
    scores = convolved(np.concatenate([own, deeper], 1), fusion.attention)
    attention = 1 / (1 + np.exp(-scores))
    mixed = own * attention[:, :1] + deeper * attention[:, 1:]
    nearest = [0, 1, 3, 4]  # floor(i * 6 / 4)
    mixed = mixed[:, :, nearest][:, :, :, nearest]
    np.testing.assert_allclose(fused.detach(), mixed, rtol=1e-9, atol=1e-12)
    wide = normalised(convolved(mixed, fusion.widen[0]), fusion.widen[1])
    np.testing.assert_allclose(answer.detach(), wide, rtol=1e-9, atol=1e-12)


def test_review_goes_from_deep_to_shallow():
    objective = built(MAKERS["reviewkd"])
    ours, theirs = student(), teacher().get(Features).values
    as_maps = {path: value if value.dim() == 4 else value[:, :, None, None] for path, value in ours.features.items()}
    expected, deeper = 0.0, None
    for path, fusion in reversed(list(zip([*PATHS, "fc:in"], objective.fusions))):
        assert (fusion.attention is None) == (path == "fc:in")
        target = theirs[path] if theirs[path].dim() == 4 else theirs[path][:, :, None, None]
        answer, deeper = fusion(as_maps[path], deeper, target.shape[2:])
        expected += 5 * functional.review_hcl(answer, target)
    torch.testing.assert_close(loss_of(objective, ours, teacher()), expected)


def test_simkd_deploys_the_body_the_projector_and_the_teachers_classifier():
    body, classifier = nn.Conv2d(2, 8, 3, stride=2, padding=1), nn.Linear(7, 3)
    images_BCHW = normal(EXAMPLES, 2, 16, 16, dtype=torch.float32)
    maps_BCHW = body(images_BCHW)
    objective = SimKD(student="body", teacher="stages.1")
    ours = Output(features={"body": maps_BCHW.detach()})
    objective.build(ours, teacher(), batch(), IDS_N)
    assert loss_of(objective, ours, teacher()) > 0  # and batch norm has seen a batch
    model = objective.deployed(body, classifier)
    averaged_BCHW = maps_BCHW.view(EXAMPLES, 8, 4, 2, 4, 2).mean((3, 5))  # the teacher's map is 4x4, the student's 8x8
    expected = classifier(objective.projector(averaged_BCHW).mean((2, 3)))
    torch.testing.assert_close(model(images_BCHW), expected)
    assert {id(p) for part in (body, objective, classifier) for p in part.parameters()} == {
        id(p) for p in model.parameters()
    }
    exported = torch.export.export(model, (images_BCHW,)).module()
    torch.testing.assert_close(exported(images_BCHW), expected)


def test_simkd_and_vectors():
    with pytest.raises(ValueError, match="no map"):
        built(lambda: SimKD(student="fc:in", teacher="stages.2"))
    tokens, objective = Output(features={"x": torch.zeros(2, 3, 4)}), FitNets("x", "fc:in")
    with pytest.raises(ValueError, match="neither maps"):
        objective.build(tokens, teacher(), batch(), IDS_N)


def test_batch_norm_of_one_value_takes_what_it_knows():
    norm = BatchNorm(3)
    many = norm(normal(4, 3, 2, 2, dtype=torch.float32))
    torch.testing.assert_close(many.mean((0, 2, 3)), torch.zeros(3), atol=1e-6, rtol=0)
    one = normal(1, 3, 1, 1, dtype=torch.float32)
    mean, variance = norm.running_mean.clone(), norm.running_var.clone()
    expected = (one - mean.view(1, 3, 1, 1)) / (variance.view(1, 3, 1, 1) + norm.eps).sqrt()
    torch.testing.assert_close(norm(one), expected)
    assert torch.equal(norm.running_mean, mean)
