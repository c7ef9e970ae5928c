"""Claims about class weights: the weighted mean is the standard one, however a batch is cut, and baselines have it too."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data.examples import HeldOut
from limbeck.errors import BadInput
from limbeck.interfaces import Batch, Output, Target
from limbeck.modalities.image.examples import Examples, Splits
from limbeck.modalities.text.examples import TextSplits
from limbeck.objectives import functional
from limbeck.objectives.functional import common
from limbeck.objectives.modules import BinaryCrossEntropy, CrossEntropy
from limbeck.pipeline.objective import class_weights_of, objective_of, supervised
from limbeck.sections.objective import Objective
from tests.helpers import textual, tiny
from tests.objectives.cases import EXACT, IGNORED, normal


def batch_of(labels, start=0):
    ids = torch.arange(start, start + len(labels))
    return Batch(ids=ids, view=torch.zeros_like(ids), inputs=None, labels=labels)


def log_softmax(row):
    top = max(row)
    return [value - top - math.log(math.fsum(math.exp(other - top) for other in row)) for value in row]


def by_hand(logits, labels, weights, smoothing):
    """Sum of w l over sum of w, from the definition; labels are class ids or probabilities."""
    total, whole = [], []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        shares = label if isinstance(label, list) else [float(label == c) for c in range(len(row))]
        if label == IGNORED or sum(shares) == 0:
            continue
        logs, classes = log_softmax(row), len(row)
        for share, weight, log_q in zip(shares, weights, logs, strict=True):
            total.append(-weight * ((1 - smoothing) * share + smoothing / classes) * log_q)
            whole.append(weight * share)
    return math.fsum(total) / math.fsum(whole) if whole else 0.0


@settings(deadline=None)
@given(st.data())
def test_the_loops_quotient_is_the_weighted_mean_however_a_batch_is_cut(data):
    count, classes = data.draw(st.integers(1, 12)), data.draw(st.integers(2, 5))
    weights = data.draw(st.lists(st.floats(1e-3, 1e3), min_size=classes, max_size=classes))
    weights = torch.tensor(weights).tolist()  # as float32 has them
    smoothing = data.draw(st.sampled_from([0.0, 0.2]))
    seed = data.draw(st.integers(0, 99))
    logits = normal(count, classes, seed=seed, scale=3.0)
    if data.draw(st.booleans()):
        labels = normal(count, classes, seed=seed + 1, scale=3.0).softmax(dim=1)
    else:
        labels = torch.tensor(
            data.draw(st.lists(st.sampled_from([IGNORED, *range(classes)]), min_size=count, max_size=count))
        )
    objective = CrossEntropy(label_smoothing=smoothing, class_weights=weights)
    cut = data.draw(st.integers(0, count))
    student = logits.clone().requires_grad_()
    parts = [slice(0, cut), slice(cut, count)]
    terms = [objective(Output(logits=student[at]), Target(), batch_of(labels[at])) for at in parts]
    counts = [objective.counts(batch_of(labels[at]))["cross_entropy"] for at in parts]
    for term, before in zip(terms, counts, strict=True):
        assert term["cross_entropy"].count == before
    whole = sum(float(n) for n in counts)
    loss = sum(term["cross_entropy"].total for term in terms) / (whole or 1.0)
    expected = by_hand(logits, labels, weights, smoothing)
    assert loss.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    given_weights = torch.tensor(weights, dtype=EXACT)
    value = functional.cross_entropy(student, labels=labels, label_smoothing=smoothing, class_weights=given_weights)
    assert value.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)
    if not labels.is_floating_point() and (labels != IGNORED).any():
        torchs = F.cross_entropy(student, labels, given_weights, ignore_index=IGNORED, label_smoothing=smoothing)
        assert torchs.item() == pytest.approx(expected, rel=1e-10)
        ours, theirs = (torch.autograd.grad(x, student, retain_graph=True)[0] for x in (value, torchs))
        torch.testing.assert_close(ours, theirs)


def test_many_logits_at_once_and_a_class_ruled_out(monkeypatch):
    student, labels = normal(40, 5, seed=1), torch.arange(40) % 4
    student[:, 4] = -math.inf
    weights = torch.tensor([1.0, 2.0, 4.0, 0.5, 7.0], dtype=EXACT)

    def both(logits):
        logits = logits.clone().requires_grad_()
        value = functional.cross_entropy(logits, labels=labels, class_weights=weights)
        return value.detach(), torch.autograd.grad(value, logits)[0]

    value, slope = both(student)
    assert value.item() == pytest.approx(by_hand(student[:, :4], labels, weights.tolist()[:4], 0.0), rel=1e-12)
    monkeypatch.setattr(common, "WHOLE", 0)
    monkeypatch.setitem(common.CHUNK, "cpu", 14)
    in_chunks = both(student)
    torch.testing.assert_close(in_chunks[0], value)
    torch.testing.assert_close(in_chunks[1], slope)
    assert slope.isfinite().all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_yes_weighs_more_than_a_no(smoothing):
    logits, labels = normal(6, 3, seed=1), (normal(6, 3, seed=2) > 0).double()
    weights = torch.tensor([1.0, 5.0, 0.25], dtype=EXACT)
    smoothed = (1 - smoothing) * labels + smoothing / 2
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    value = functional.binary_cross_entropy(ours, labels=labels, label_smoothing=smoothing, class_weights=weights)
    expected = F.binary_cross_entropy_with_logits(theirs, smoothed, pos_weight=weights, reduction="sum") / 6
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value, ours)[0], torch.autograd.grad(expected, theirs)[0])
    objective = BinaryCrossEntropy(class_weights=weights.tolist(), label_smoothing=smoothing)
    term = objective(Output(logits=logits), Target(), batch_of(labels))["binary_cross_entropy"]
    torch.testing.assert_close(term.total / term.count, expected.detach())


def run_with(labels, *classes):
    """The splits of a run whose training labels these are."""
    labels = torch.tensor(labels)
    if labels.dim() == 1:
        images = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
        some, how = Examples(images, labels, torch.arange(len(labels))), {"mean": (0.0,), "std": (1.0,)}
        kind = Splits
    else:
        some = dataclasses.replace(textual.examples(len(labels)), labels=labels.float())
        how, kind = {"vocabulary": textual.VOCABULARY}, TextSplits
    test = HeldOut(lambda notes: some)
    names = {"transfer": None, "classes": classes, "fingerprint": "", "labelled": ""}
    return kind(train=some, validation=some, test=test, **names, **how)


def objective(splits, name="cross_entropy", **term):
    return objective_of(Objective.model_validate({name: term}), splits)


def test_balanced_named_and_listed_weights_of_a_recipe():
    splits = run_with([0, 0, 0, 0, 0, 0, 1, 1, 1, 2], "a", "b", "c")
    assert class_weights_of(objective(splits, class_weights="balanced")) == pytest.approx(
        (10 / 18, 10 / 9, 10 / 3), rel=1e-5
    )
    assert class_weights_of(objective(splits, class_weights={"c": 3})) == (1.0, 1.0, 3.0)
    assert class_weights_of(objective(splits, class_weights=[1, 2, 3])) == (1.0, 2.0, 3.0)
    assert class_weights_of(objective(splits)) is None
    several = run_with([[1, 0], [0, 0], [0, 0], [1, 0], [1, 1]], "a", "b")
    weights = class_weights_of(objective(several, "binary_cross_entropy", class_weights="balanced"))
    assert weights == pytest.approx((2 / 3, 4.0), rel=1e-5)
    with pytest.raises(BadInput, match=r"objective\.cross_entropy\.class_weights: 'cc' is no class"):
        objective(splits, class_weights={"cc": 3})
    with pytest.raises(BadInput, match=r"2 values were given for 3 classes \(a, b, c\)"):
        objective(splits, class_weights=[1, 2])


def test_what_names_a_stage_changes_only_where_there_are_weights():
    splits = run_with([0, 1], "a", "b")
    assert repr(objective(splits)) == repr(objective_of(Objective.model_validate({"cross_entropy": {}})))
    assert "class_weights" not in repr(objective(splits))
    assert "class_weights=(1, 3)" in repr(objective(splits, class_weights=[1, 3]))
    assert repr(supervised(splits.answers)) == repr(CrossEntropy())
    assert "class_weights=(1, 3)" in repr(supervised(splits.answers, 0.1, (1.0, 3.0)))


@pytest.mark.parametrize("wrong", ["balanced", [], [1.0, 0.0], [1.0, math.nan]])
def test_weights_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="class_weights must be"):
        CrossEntropy(class_weights=wrong)


def test_the_baselines_of_a_student_whose_labels_are_weighted_are_too(tmp_path):
    def trained(out, *overrides):
        _, store, members = tiny.train(tiny.job(tmp_path / out, "train.epochs=1", *overrides))
        assert store is None
        return {name: member.model.state_dict() for name, member in members.items()}

    def same(one, other):
        return all(torch.equal(one[name], other[name]) for name in one)

    plain = trained("plain", "objective={cross_entropy: {}}")
    weights = "objective={cross_entropy: {class_weights: {'3': 20}}}"
    weighted = trained("weighted", weights)
    assert same(weighted["student"], weighted["baseline"])
    assert not same(weighted["baseline"], plain["baseline"])
    assert not same(weighted["smoothed"], plain["smoothed"])
