"""The two teachers of a training: one answers from a store, the other is asked."""

import pytest
import torch
from torch import nn

from limbeck.errors import BadInput
from limbeck.interfaces import Answers, Batch, DenseLogits, Needs
from limbeck.targets.live_teacher import LiveTeacher
from limbeck.targets.store.store import Store
from limbeck.targets.stored_teacher import StoredTeacher
from tests.helpers.stores import VIEWS, N, logits_of, shuffled_ids

# --- the two teachers


class Task:
    answers = Answers("classes", 5)

    def answer(self, model, batch):
        return model(batch.inputs)


def batch_of(ids_B, view_B, inputs=None):
    return Batch(ids=ids_B, view=view_B, inputs=inputs)


def test_a_stored_teacher_answers_the_view_that_the_epoch_shows(whole):
    teacher = StoredTeacher(Store.open(whole))
    ids_N = shuffled_ids()
    seen = torch.stack([teacher.view_of(ids_N, epoch) for epoch in range(2 * VIEWS)])
    assert torch.equal(seen[:VIEWS].sort(0).values, torch.arange(VIEWS)[:, None].expand(VIEWS, N))
    assert torch.equal(seen[:VIEWS], seen[VIEWS:])
    assert len(seen[0].unique()) == VIEWS  # not all examples show the same view at once
    assert torch.equal(teacher.view_of(ids_N[:4], 1), seen[1, :4])
    answer_BC = teacher(batch_of(ids_N, seen[1]), Needs()).get(DenseLogits).logits
    assert torch.equal(answer_BC, Store.open(whole).gather(ids_N, seen[1]).logits)


def test_an_averaging_teacher_answers_any_view_with_the_mean(whole):
    store = Store.open(whole)
    teacher = StoredTeacher(store, average=True)
    ids_N = shuffled_ids()
    assert teacher.view_of(ids_N, 1000).tolist() == [1000] * N
    answer_BC = teacher(batch_of(ids_N, torch.full((N,), 1000)), Needs()).get(DenseLogits).logits
    mean_BC = sum(logits_of(ids_N, v).softmax(1) for v in range(VIEWS)) / VIEWS
    torch.testing.assert_close(answer_BC.softmax(1), mean_BC, atol=2e-3, rtol=0)
    with pytest.raises(BadInput, match="no soft target for example id 3"):
        teacher(batch_of(torch.tensor([3]), torch.tensor([0])), Needs())


def test_a_teacher_of_examples_as_they_are_answers_any_view_with_the_first(whole):
    store = Store.open(whole)
    teacher = StoredTeacher(store, first=True)
    ids_N = shuffled_ids()
    assert teacher.view_of(ids_N, 1000).tolist() == [1000] * N
    answer_BC = teacher(batch_of(ids_N, torch.full((N,), 1000)), Needs()).get(DenseLogits).logits
    assert torch.equal(answer_BC, store.gather(ids_N, torch.zeros_like(ids_N)).logits)


def test_a_live_teacher_never_changes_even_when_set_to_train():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(5))
    images_BCHW = torch.randn(8, 1, 6, 6)
    model.eval()(images_BCHW)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    teacher = LiveTeacher(model, Task())
    ids_B = torch.arange(8)
    first = teacher(batch_of(ids_B, ids_B * 0, images_BCHW), Needs()).get(DenseLogits).logits
    model.train()
    second = teacher(batch_of(ids_B, ids_B * 0, images_BCHW), Needs()).get(DenseLogits).logits
    model[1].train()
    third = teacher(batch_of(ids_B, ids_B * 0, images_BCHW), Needs()).get(DenseLogits).logits
    assert torch.equal(first, second)
    assert torch.equal(first, third)
    assert not first.requires_grad
    student = torch.zeros(8, 5, requires_grad=True)
    (student * first).sum().backward()  # an answer can take part in the student's backward pass
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert teacher.view_of(ids_B, 7).tolist() == [7] * 8
