"""What a step does: the same for micro-batches and processes, as a plain loop would, and never past a bad loss."""

import socket

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator

from limbeck.interfaces import Needs, Target
from limbeck.objectives.functional import IGNORED
from limbeck.sections.train import Train
from limbeck.training.loop import Training, fit
from limbeck.training.not_finite import NotFinite
from limbeck.training.optimizer import optimizer_for
from limbeck.training.schedule import learning_rate
from tests.helpers import runs


def assert_close(weights, others, **tolerance):
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, others[name], **({"rtol": 1e-4, "atol": 1e-6} | tolerance), msg=name)


# ------------------------------------------------------------------------------------------------ the same, however cut


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_micro_batches_are_one_batch(optimizer, tmp_path):
    results, labelled = {}, {}
    for micro in (1, 2, 4):
        plan = Train(epochs=1, batch_size=45, micro_batches=micro, optimizer=optimizer, clip_norm=0.5)
        run = runs.training(tmp_path / str(micro), plan, unlabelled=90)
        batches = [run.source.next(0, run.model, part, micro) for part in range(micro)]
        labelled[micro] = [int((batch.labels != IGNORED).sum()) for batch in batches]
        results[micro] = runs.finish(run)
    assert len(set(labelled[4])) > 1  # otherwise a mean of means would do as well
    assert sum(labelled[4]) == labelled[1][0] < 40
    for micro in (2, 4):
        assert_close(results[micro][0], results[1][0])
        assert results[micro][1][0]["train_loss"] == pytest.approx(results[1][1][0]["train_loss"], rel=1e-5)


def test_two_processes_are_one(tmp_path):
    options = {"plan": Train(epochs=1, batch_size=45, micro_batches=2, clip_norm=0.5), "unlabelled": 90}
    alone, history = runs.finish(runs.training(tmp_path / "alone", **options))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = [
        runs.FRESH.Process(target=runs.train_as_one_of, args=(rank, 2, port, tmp_path, options)) for rank in range(2)
    ]
    for process in together:
        process.start()
    for process in together:
        process.join(120)
        assert process.exitcode == 0
    for rank in range(2):
        result = torch.load(tmp_path / f"result-{rank}.pt", weights_only=True)
        assert_close(result["weights"], alone)
        for name, value in history[0].items():
            assert result["history"][0][name] == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_plain_loop_gets_the_same_weights(optimizer, tmp_path):
    plan = Train(epochs=2, batch_size=50, optimizer=optimizer, weight_decay=0.01)
    run = runs.training(tmp_path, plan, unlabelled=60)
    weights, _ = runs.finish(run)

    other = runs.training(tmp_path, plan, unlabelled=60)
    model = other.model
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.01},
        {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    kinds = {"sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}), "adamw": (torch.optim.AdamW, {})}
    kind, options = kinds[optimizer]
    plain = kind(groups, lr=0.0, **options)
    steps = other.source.steps_per_epoch()
    for step in range(2 * steps):
        batch = other.source.next(step, model)
        for group in plain.param_groups:
            group["lr"] = learning_rate(plan, step, steps)
        student, teacher = model(batch.inputs), other.teacher.model(batch.inputs)
        kl = F.kl_div(F.log_softmax(student / 4, 1), F.softmax(teacher / 4, 1), reduction="batchmean")
        loss = 0.9 * 16 * kl + 0.1 * F.cross_entropy(student, batch.labels, ignore_index=IGNORED)
        plain.zero_grad()
        loss.backward()
        plain.step()
    assert_close(weights, model.state_dict())


def test_the_average_of_the_weights_is_what_is_kept(tmp_path):
    seen = []
    plan = Train(epochs=1, batch_size=80, ema=0.7)
    watch = lambda step, student: seen.append({k: v.clone() for k, v in student.state_dict().items()})  # noqa: E731
    kept, _ = runs.finish(runs.training(tmp_path / "ema", plan, watch=watch))
    last, _ = runs.finish(runs.training(tmp_path / "last", plan.model_copy(update={"ema": 0.0})))
    average = seen[0]
    for weights in [*seen[1:], last]:
        average = {name: 0.7 * value + 0.3 * weights[name] for name, value in average.items()}
    assert_close(kept, average)
    with pytest.raises(AssertionError):
        assert_close(kept, last)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_that_of_the_plan(precision, tmp_path):
    run = runs.training(tmp_path, Train(epochs=1, batch_size=80, precision=precision))
    kinds = set()
    run.model[-1].register_forward_hook(lambda module, given, answer: kinds.add((module.training, answer.dtype)))
    weights, history = runs.finish(run)
    assert kinds == {(True, getattr(torch, precision)), (False, torch.float32)}
    assert all(value.dtype == torch.float32 for value in weights.values())
    assert history[0]["train_loss"] < 10


# ------------------------------------------------------------------------------------------------ teacher and student


def test_the_teacher_is_not_touched(tmp_path):
    modes = []
    run = runs.training(
        tmp_path,
        Train(epochs=2, batch_size=60, weight_decay=0.1),
        student="convnet",
        watch=lambda step, student: modes.append(student.training),
    )
    teacher = run.teacher.model
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    student_before = {name: value.clone() for name, value in run.model.state_dict().items()}
    teacher.train()  # as a wrapper's train() would
    runs.finish(run)
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None and p.requires_grad for p in teacher.parameters())
    # the student, in contrast, learns and is in training mode at every step, after validation too
    assert len(modes) == 8
    assert all(modes)
    assert all(not torch.equal(value, student_before[name]) for name, value in run.model.state_dict().items())
    # the bug told apart: a teacher left in training mode does move
    with torch.no_grad():
        teacher.train()(run.source.next(0, run.model).inputs)
    assert any(not torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_only_the_student_and_the_objective_are_optimised(tmp_path):
    run = runs.training(tmp_path, Train())
    optimizer = optimizer_for([run.model, run.objective], run.plan)
    optimised = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert optimised == {id(p) for p in run.model.parameters()}
    assert not optimised & {id(p) for p in run.teacher.model.parameters()}
    for group in optimizer.param_groups:
        assert group["weight_decay"] == (5e-4 if group["params"][0].dim() > 1 else 0)


# ------------------------------------------------------------------------------------------------ not a number


class Saying:
    """The teacher, with ``value`` for the logits of one example (or, without an id, for one class)."""

    def __init__(self, teacher, value, example=None):
        self.teacher, self.value, self.example = teacher, value, example

    def __call__(self, batch, needs: Needs) -> Target:
        target = self.teacher(batch, needs)
        logits = target.columns[0].logits
        if self.example is None:
            logits[:, 3] = self.value
        else:
            logits[batch.ids == self.example] = self.value
        return target


def replaced(run, **changes):
    return Training(**{**vars(run), **changes})


@pytest.mark.parametrize(
    "plan", [{"optimizer": "sgd"}, {"optimizer": "sgd", "momentum": 0}, {"optimizer": "adamw"}], ids=str
)
@pytest.mark.parametrize("bad_step", [0, 2])
def test_a_teacher_that_says_nan(plan, bad_step, tmp_path):
    before = {}

    def watch(step, student):
        if step == bad_step and not before:
            before.update({name: value.clone() for name, value in student.state_dict().items()})

    run = runs.training(tmp_path, Train(epochs=1, batch_size=40, warmup_epochs=0, **plan), watch=watch)
    example = int(run.source.next(bad_step, run.model).ids[7])
    before.clear()
    run = replaced(run, teacher=Saying(run.teacher, float("nan"), example))
    assert bad_step < run.source.steps_per_epoch() - 2
    with pytest.raises(NotFinite, match=rf"step {bad_step} \(epoch 1\).*teacher's own answer.*example {example}\."):
        fit(run, Accelerator(cpu=True))
    # steps went by between the bad one and its discovery; none of them moved anything
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_absurd_learning_rate(optimizer, tmp_path):
    # beyond what a recipe allows, so that the loop has something to find
    plan = Train(epochs=3, batch_size=40, optimizer=optimizer, warmup_epochs=0).model_copy(
        update={"learning_rate": 1e25}
    )
    with pytest.raises(NotFinite, match=r"step \d+ .*learning rate is too high"):
        fit(runs.training(tmp_path, plan, distil=False), Accelerator(cpu=True))


def test_a_teacher_may_rule_a_class_out(tmp_path):
    run = runs.training(tmp_path, Train(epochs=1, batch_size=40))
    weights, history = runs.finish(replaced(run, teacher=Saying(run.teacher, -torch.inf)))
    assert all(value.isfinite().all() for value in weights.values())
    assert history[0]["train_loss"] < 100
