"""Contrastive distillation against a naive form with the same negatives; its banks, its draws, what it refuses."""

import math

import numpy as np
import pytest
import torch
import torch.distributed
from torch.testing._internal.distributed.fake_pg import FakeStore

from limbeck.interfaces import Batch, Features, Output, Target
from limbeck.objectives.modules import CRD
from tests.objectives.cases import EXACT, normal

# ids as they come: neither sorted nor next to one another
IDS_N = torch.tensor([907, 3, 44, -5, 2**62, 18, 600, 71, 12, 5000])
TEMPERATURE = 0.2


def batch(ids):
    return Batch(ids=ids, view=torch.zeros_like(ids), inputs=None)


def answers(ids, seed=0, dtype=EXACT):
    ours, theirs = normal(len(ids), 6, seed=seed, dtype=dtype), normal(len(ids), 5, seed=seed + 1, dtype=dtype)
    return Output(features={"fc:in": ours}), Target((Features({"fc:in": theirs}),)), batch(ids)


def crd(dtype=EXACT, ids_N=IDS_N, **settings):
    torch.manual_seed(7)
    objective = CRD("fc:in", "fc:in", **{"dim": 4, "negatives": 5, "temperature": TEMPERATURE} | settings)
    objective.build(*answers(ids_N[:3], dtype=dtype), ids_N)
    return objective


def loss_of(objective, ids, seed=0, draw=11, dtype=EXACT):
    torch.manual_seed(draw)
    (term,) = objective(*answers(ids, seed, dtype)).values()
    return term.total / term.count


class Naive:
    """CRD by the book, one example and one negative at a time, on float64 lists."""

    def __init__(self, objective):
        ids_N = sorted(IDS_N.tolist())
        student, teacher = np.asarray(objective.banks_2ND, dtype=np.float64)
        self.student_bank, self.teacher_bank = (dict(zip(ids_N, bank.copy())) for bank in (student, teacher))
        self.layers = [
            (np.asarray(layer.weight.detach(), np.float64), np.asarray(layer.bias.detach(), np.float64))
            for layer in objective.embed
        ]
        self.z = None
        self.momentum = objective.momentum

    def step(self, ids, negatives, seed):
        output, target, _ = answers(torch.tensor(ids), seed)
        values = (output.features["fc:in"], target.get(Features).values["fc:in"])
        embedded = []
        for features, (weight, bias) in zip(values, self.layers):
            vectors = [weight @ row + bias for row in features.numpy()]
            embedded.append([vector / math.sqrt(math.fsum(vector**2)) for vector in vectors])
        against = self.teacher_bank, self.student_bank  # the student's embedding with the teacher's bank, and so on
        scores = [
            [[math.exp(bank[other] @ own / TEMPERATURE) for other in (here, *others)] for own, here, others in rows]
            for bank, rows in ((bank, list(zip(own, ids, negatives))) for bank, own in zip(against, embedded))
        ]
        if self.z is None:
            self.z = [np.mean(both) * len(IDS_N) for both in scores]
        total, draws = 0.0, len(negatives[0])
        for both, z in zip(scores, self.z):
            for positive, *others in both:
                noise = draws / len(IDS_N)
                total -= math.log(positive / z / (positive / z + noise))
                total -= math.fsum(math.log(noise / (other / z + noise)) for other in others)
        for bank, own in zip((self.student_bank, self.teacher_bank), embedded):
            old = {here: bank[here] for here in ids}
            for here, vector in zip(ids, own):
                mixed = self.momentum * old[here] + (1 - self.momentum) * vector
                bank[here] = mixed / math.sqrt(math.fsum(mixed**2))
        return total / len(ids)


# the two ways of comparing: the rows that were drawn, or all of them, counted
WAYS = pytest.mark.parametrize("gathering", [0, 1e9], ids=["counted", "gathered"])


@WAYS
@pytest.mark.parametrize(("negatives", "momentum"), [(5, 0.5), (12, 0.5), (1, 0.0)])
def test_several_steps_are_the_papers(monkeypatch, gathering, negatives, momentum):
    monkeypatch.setattr("limbeck.objectives.modules.crd.GATHERING", gathering)
    objective = crd(negatives=negatives, momentum=momentum)
    naive = Naive(objective)
    # an example again in the next step; and one twice within a batch
    for step, ids in enumerate(([44, 2**62, -5], [44, 907, 3, 5000], [18, 44, 18], [71])):
        rows_B, _ = objective.rows(torch.tensor(ids))
        torch.manual_seed(step)
        negatives_BK = IDS_N.sort().values[objective.draw(rows_B)].tolist()
        value = loss_of(objective, torch.tensor(ids), seed=step, draw=step).item()
        assert value == pytest.approx(naive.step(ids, negatives_BK, step) * objective.weight, rel=1e-12)
        for bank_ND, known in zip(objective.banks_2ND, (naive.student_bank, naive.teacher_bank)):
            expected = np.stack([known[here] for here in sorted(known)])
            np.testing.assert_allclose(bank_ND.numpy(), expected, rtol=1e-12, atol=1e-14)
    assert objective.log_normalizers_2.exp().tolist() == pytest.approx(naive.z, rel=1e-12)


def test_both_ways_of_comparing_give_the_same_gradient(monkeypatch):
    gradients = []
    for gathering in (0, 1e9):
        monkeypatch.setattr("limbeck.objectives.modules.crd.GATHERING", gathering)
        objective = crd()
        loss_of(objective, IDS_N[:3]).backward()
        gradients.append([parameter.grad for parameter in objective.parameters()])
    for one, other in zip(*gradients):
        torch.testing.assert_close(one, other)
        assert one.abs().sum() > 0


@WAYS
def test_the_gradient_is_that_of_the_banks_before_they_changed(monkeypatch, gathering):
    monkeypatch.setattr("limbeck.objectives.modules.crd.GATHERING", gathering)
    objective = crd().eval()  # banks stay
    objective.log_normalizers_2.zero_()
    still = loss_of(objective, IDS_N[:4])
    expected = torch.autograd.grad(still, list(objective.parameters()))
    before = objective.banks_2ND.clone()
    objective.train()
    loss = loss_of(objective, IDS_N[:4])
    assert not torch.equal(objective.banks_2ND, before)
    assert loss == still
    for one, other in zip(torch.autograd.grad(loss, list(objective.parameters())), expected):
        assert torch.equal(one, other)


def test_gradients_are_those_of_the_formula():
    objective = crd().eval()
    objective.log_normalizers_2.fill_(1.0)
    _, target, given = answers(IDS_N[:3])

    def value(features):
        torch.manual_seed(5)
        return objective(Output(features={"fc:in": features}), target, given)["crd"].total

    assert torch.autograd.gradcheck(value, normal(3, 6).requires_grad_())


def test_draws_are_even_and_never_the_positive():
    objective = crd(negatives=16384)
    rows_B = torch.arange(10)
    torch.manual_seed(0)
    drawn = torch.cat([objective.draw(rows_B) for _ in range(3000)], dim=1)
    assert objective.draw(rows_B).shape == (10, 9)  # no more than there are others
    counts = torch.stack([row.bincount(minlength=10) for row in drawn])
    assert (counts.diagonal() == 0).all()
    others = counts[~torch.eye(10, dtype=torch.bool)].double()
    # each is binomial with mean 3000 and deviation 52
    assert (others - 3000).abs().max() < 5 * 52
    torch.manual_seed(0)
    assert torch.equal(objective.draw(rows_B), drawn[:, :9])


def test_only_training_writes():
    objective = crd().eval()
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    value = loss_of(objective, IDS_N[:4])
    assert all(torch.equal(now, before[name]) for name, now in objective.state_dict().items())
    objective.train()
    assert loss_of(objective, IDS_N[:4]) == value
    assert objective.log_normalizers_2.isfinite().all()


@pytest.mark.parametrize("steps_before", [0, 2])
def test_a_run_that_is_taken_up_again_goes_on_bit_for_bit(steps_before):
    def step(objective, number):
        value = loss_of(objective, IDS_N[number : number + 4], seed=number, draw=number, dtype=torch.float32)
        objective.zero_grad()
        value.backward()
        with torch.no_grad():
            for parameter in objective.parameters():
                parameter -= 0.1 * parameter.grad
        return value

    whole, first = crd(torch.float32), crd(torch.float32)
    for number in range(steps_before):
        assert step(whole, number) == step(first, number)
    again = crd(torch.float32)
    loss_of(again, IDS_N[5:8], dtype=torch.float32)  # has normalisers and rows of its own
    again.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    for number in range(steps_before, steps_before + 3):
        assert step(whole, number) == step(again, number)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert {"banks_2ND", "ids_N", "log_normalizers_2"} < set(whole.state_dict())


def test_a_small_temperature_does_not_overflow():
    objective = crd(torch.float32, temperature=1e-3)
    loss = loss_of(objective, IDS_N, dtype=torch.float32)
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in objective.parameters())


def test_an_example_without_features_has_a_finite_gradient():
    objective = crd(torch.float32)
    with torch.no_grad():
        for layer in objective.embed:
            layer.bias.zero_()
    output, target, given = answers(IDS_N[:2], dtype=torch.float32)
    output.features["fc:in"][0] = 0  # its embedding is 0 and has no direction
    value = objective(output, target, given)["crd"].total
    value.backward()
    assert value.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in objective.parameters())
    assert objective.banks_2ND.isfinite().all()


def test_an_unknown_example_is_named():
    objective = crd()
    before = objective.banks_2ND.clone()
    for stranger in (-6, 4, 2**62 + 1):
        with pytest.raises(ValueError, match=f"example {stranger} is not among the 10 training examples"):
            loss_of(objective, torch.tensor([44, stranger]))
    assert torch.equal(objective.banks_2ND, before)


def test_an_unknown_example_is_found_before_training():
    objective = CRD("fc:in", "fc:in")
    with pytest.raises(ValueError, match="example 4 is not among the 10 training examples"):
        objective.build(*answers(torch.tensor([44, 4])), IDS_N)
    assert not len(objective.embed)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: crd(temperature=0), "temperature"),
        (lambda: crd(negatives=0), "at least one negative"),
        (lambda: crd(dim=0), "dimension"),
        (lambda: crd(momentum=1), "never learns"),
        (lambda: crd(ids_N=torch.tensor([5])), "at least 2"),
        (lambda: crd(ids_N=torch.tensor([5, 6, 5])), "same id"),
    ],
)
def test_wrong_settings_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_several_processes_are_refused():
    objective = crd()
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        with pytest.raises(ValueError, match="2 processes would each keep another"):
            crd()
        with pytest.raises(ValueError, match="one process"):
            loss_of(objective, IDS_N[:2])
    finally:
        torch.distributed.destroy_process_group()
    assert loss_of(objective, IDS_N[:2]).isfinite()
