"""Objectives on features: what they make from the shapes is trained, saved and left behind; the teacher stays as it was."""

import copy
import dataclasses
import os
import signal
import socket

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import nn

from limbeck import Targets, Train, distill
from limbeck.errors import BadInput
from limbeck.interfaces import Features, Needs, Target, Term
from limbeck.objectives.modules import KD, CrossEntropy, Objective
from limbeck.objectives.modules.base import examples
from limbeck.pipeline.students import member_stage, the_arms
from limbeck.pipeline.targets import the_targets
from limbeck.pipeline.teacher import the_teacher
from limbeck.randomness import torch_seed
from limbeck.training import checkpoint, loop
from limbeck.training.dry_run import has_to_build
from limbeck.training.not_finite import NotFinite
from limbeck.training.schedule import learning_rate
from tests.helpers import runs


class Hint(Objective):
    """Squared distance of the student's features, through a linear adapter, to the teacher's (FitNets, 2014)."""

    def __init__(self, student="5:in", teacher="fc:in", weight=1.0):
        super().__init__(weight)
        self.student, self.teacher = student, teacher
        self.needs = Needs(target=(Features,), features=(student,), teacher_features=(teacher,))
        self.name = "hint"

    def build(self, student, target, batch, ids_N):
        shapes = [each.flatten(1).shape[1] for each in self.pair(student, target)]
        self.adapter = nn.Linear(*shapes)
        self.first = self.adapter.weight.detach().clone()
        self.seen = ids_N.tolist()

    def forward(self, student, target, batch):
        own, wanted = self.pair(student, target)
        total = (self.adapter(own.flatten(1)) - wanted.flatten(1)).float().square().mean(1).sum()
        return {"hint": Term(self.scheduled(self.weight) * total, examples(batch))}

    def counts(self, batch):
        return {"hint": examples(batch)}

    def pair(self, student, target):
        assert set(student.features) == {self.student}
        assert set(target.get(Features).values) == {self.teacher}
        return student.features[self.student], target.get(Features).values[self.teacher]


class Remembering(Hint):
    """As :class:`Hint`, and the student's last features of each example are kept and approached as well."""

    def build(self, student, target, batch, ids_N):
        super().build(student, target, batch, ids_N)
        self.rows = {number: row for row, number in enumerate(ids_N.tolist())}
        self.register_buffer("bank", torch.randn(len(ids_N), self.adapter.in_features))

    def forward(self, student, target, batch):
        own, _ = self.pair(student, target)
        rows = [self.rows[number] for number in batch.ids.tolist()]
        total = (own.flatten(1) - self.bank[rows]).square().mean(1).sum()
        self.bank[rows] = own.detach().flatten(1)
        return {**super().forward(student, target, batch), "bank": Term(0.1 * total, examples(batch))}

    def counts(self, batch):
        return {**super().counts(batch), "bank": examples(batch)}


OBJECTIVES = {
    "hint": Hint,
    "hint-of-convnet": lambda: 20 * Hint("fc:in") + 0.9 * KD(temperature=4) + 0.1 * CrossEntropy(),
    "remembering": lambda: Remembering() + 0.1 * CrossEntropy(),
}


def training(folder, plan, objective="hint", **options):
    run = runs.training(folder, plan, **options)
    objective = OBJECTIVES[objective]() if isinstance(objective, str) else objective
    return dataclasses.replace(run, objective=objective, ids_N=run.task.pool.ids)


def finish(run):
    """The student's weights and the objective's, and the history."""
    weights, history = runs.finish(run)
    own = {f"objective.{name}": value.clone() for name, value in run.objective.state_dict().items()}
    return weights | own, history


def assert_close(weights, others):
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        torch.testing.assert_close(value, others[name], rtol=1e-4, atol=1e-6, msg=name)


# ------------------------------------------------------------------------------------------------ what a step does


def test_a_plain_loop_gets_the_same_weights_and_adapter(tmp_path):
    plan = Train(epochs=2, batch_size=50, weight_decay=0.01, clip_norm=0.3)
    weights, _ = finish(training(tmp_path, plan, "hint-of-convnet", student="convnet"))

    other = runs.training(tmp_path, plan, student="convnet")
    model, teacher = other.model, other.teacher.model
    pooled = lambda net, x: net.stages(net.stem(x)).mean((2, 3))  # noqa: E731
    torch.manual_seed(torch_seed(0, "objective"))
    adapter = nn.Linear(model.fc.in_features, teacher.fc.in_features)
    parameters = [*model.parameters(), *adapter.parameters()]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.01},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9, nesterov=True)
    steps, clipped = other.source.steps_per_epoch(), 0
    for step in range(2 * steps):
        batch = other.source.next(step, model)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(plan, step, steps)
        own, wanted = pooled(model.train(), batch.inputs), pooled(teacher.eval(), batch.inputs)
        student, answer = model.fc(own), teacher.fc(wanted)
        kl = F.kl_div(F.log_softmax(student / 4, 1), F.softmax(answer / 4, 1), reduction="batchmean")
        loss = 0.9 * 16 * kl + 0.1 * F.cross_entropy(student, batch.labels) + 20 * F.mse_loss(adapter(own), wanted)
        optimizer.zero_grad()
        loss.backward()
        # the adapter's part of the norm counts
        within = nn.utils.clip_grad_norm_(model.parameters(), torch.inf)
        whole = nn.utils.clip_grad_norm_(parameters, 0.3)
        clipped += bool(within < 0.99 * whole and whole > 0.3)
        optimizer.step()
    assert clipped > 0
    expected = model.state_dict() | {f"objective.parts.0.adapter.{k}": v for k, v in adapter.state_dict().items()}
    assert_close(weights, expected)


def test_however_cut_it_is_one_batch(tmp_path):
    """The head stands behind the features and outside the loss; it takes part in none of the processes' gradients."""
    plans = {micro: Train(epochs=1, batch_size=45, micro_batches=micro, clip_norm=0.5) for micro in (1, 2, 4)}
    whole, history = finish(training(tmp_path / "whole", plans[1]))
    for micro in (2, 4):
        weights, other = finish(training(tmp_path / str(micro), plans[micro]))
        assert_close(weights, whole)
        assert other[0]["train_loss"] == pytest.approx(history[0]["train_loss"], rel=1e-5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = [
        runs.FRESH.Process(target=train_as_one_of_two, args=(rank, port, tmp_path, plans[2])) for rank in range(2)
    ]
    for process in together:
        process.start()
    for process in together:
        process.join(120)
        assert process.exitcode == 0
    for rank in range(2):
        assert_close(torch.load(tmp_path / f"result-{rank}.pt", weights_only=True), whole)


def train_as_one_of_two(rank, port, folder, plan):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    weights, _ = finish(training(folder / str(rank), plan))
    assert torch.distributed.get_world_size() == 2
    torch.save(weights, folder / f"result-{rank}.pt")
    torch.distributed.destroy_process_group()


class Loose(Hint):
    """Bug 22: what it trains stands in a plain list, where no optimiser finds it."""

    def build(self, student, target, batch, ids_N):
        super().build(student, target, batch, ids_N)
        self.kept = [self.adapter]
        del self.adapter

    def __getattr__(self, name):
        return self.__dict__["kept"][0] if name == "adapter" and "kept" in self.__dict__ else super().__getattr__(name)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_adapter_has_changed_after_one_step(precision, tmp_path):
    plan = Train(epochs=1, batch_size=240, warmup_epochs=0, precision=precision)
    for kind, learns in ((Hint, True), (Loose, False)):
        run = training(tmp_path / kind.__name__, plan, kind())
        runs.finish(run)
        assert run.source.steps_per_epoch() == 1
        assert run.objective.adapter.weight.dtype == torch.float32
        assert torch.equal(run.objective.adapter.weight, run.objective.first) is not learns


def test_the_objective_is_told_how_far_the_run_is(tmp_path):
    class Told(Hint):
        def at(self, progress):
            super().at(progress)
            told.append((progress.step, progress.steps_per_epoch, progress.total_steps))

    told = []
    run = training(tmp_path, Train(epochs=2, batch_size=80), 0.5 * Told())
    runs.finish(run)
    assert told == [(step, 3, 6) for step in range(6)]
    assert run.objective.parts[0].seen == run.task.pool.ids.tolist()


def test_without_anything_to_build_there_is_no_dry_run(tmp_path):
    asked = {}
    for name, objective in {"plain": KD() + CrossEntropy(), "built": KD() + Hint()}.items():
        steps = asked.setdefault(name, [])
        watch = lambda step, student, steps=steps: steps.append((step, student.training))  # noqa: E731
        runs.finish(training(tmp_path / name, Train(epochs=1, batch_size=80), objective, watch=watch))
    assert asked["plain"] == [(0, True), (1, True), (2, True)]
    assert asked["built"] == [(0, False), *asked["plain"]]
    assert has_to_build(0.5 * (CrossEntropy() + 2 * Hint()))
    assert not has_to_build(0.5 * (CrossEntropy() + 2 * KD()))


# ------------------------------------------------------------------------------------------------ kills


def train_and_die(folder, objective, plan, step):
    def watch(now, student):
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    loop.SAVE_EVERY = 0.0
    finish(training(folder, plan, objective, student="dropout", watch=watch))


def test_killed_and_resumed(tmp_path):
    plan = Train(epochs=2, batch_size=20, ema=0.9, optimizer="adamw", micro_batches=2)
    options = {"objective": "remembering", "plan": plan, "student": "dropout"}
    whole = finish(training(tmp_path / "whole", **options))
    for step in (5, 16):
        assert runs.killed(train_and_die, tmp_path / "killed", "remembering", plan, step)
        state = checkpoint.load(tmp_path / "killed" / "checkpoint.pt")
        assert 0 < state["step"] <= step
        assert {"parts.0.adapter.weight", "parts.0.adapter.bias", "parts.0.bank"} == set(state["objective"])
    weights, history = finish(training(tmp_path / "killed", **options))
    assert history == whole[1]
    assert weights.keys() == whole[0].keys()
    for name, value in weights.items():
        assert torch.equal(value, whole[0][name]), name


# ------------------------------------------------------------------------------------------------ teacher and student


def test_the_teacher_is_looked_into_and_not_touched(tmp_path):
    run = training(tmp_path, Train(epochs=2, batch_size=60, weight_decay=0.1), "hint-of-convnet", student="convnet")
    teacher, keys = run.teacher.model, list(run.model.state_dict())
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    teacher.train()  # as a wrapper's train() would
    runs.finish(run)
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None and p.requires_grad for p in teacher.parameters())

    saved = checkpoint.load(tmp_path / "checkpoint.pt")
    adapter = {"parts.0.adapter.weight", "parts.0.adapter.bias"}
    assert set(saved["objective"]) == adapter
    assert list(saved["model"]) == keys
    optimised = sum(len(group["params"]) for group in saved["optimizer"]["param_groups"])
    assert optimised == len(list(run.model.parameters())) + len(adapter)

    # and the student is a plain student: its keys, no hooks, a whole graph
    assert list(run.model.state_dict()) == keys
    for module in (*run.model.modules(), *teacher.modules()):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    fresh = str(torch.export.export(runs.convnet(1).eval(), (torch.zeros(2, 1, 8, 8),)).graph)
    assert str(torch.export.export(run.model, (torch.zeros(2, 1, 8, 8),)).graph) == fresh


def test_features_that_are_not_finite_are_named(tmp_path):
    class Broken:
        def __init__(self, teacher, example):
            self.teacher, self.example = teacher, example

        def __call__(self, batch, needs):
            target = self.teacher(batch, needs)
            values = {path: value.clone() for path, value in target.get(Features).values.items()}
            values["fc:in"][batch.ids == self.example] = torch.nan
            return Target((target.columns[0], Features(values)))

    run = training(tmp_path, Train(epochs=1, batch_size=40))
    example = int(run.source.next(1, run.model).ids[3])
    run = dataclasses.replace(run, teacher=Broken(run.teacher, example))
    with pytest.raises(NotFinite, match=rf"step 1 .*teacher's features at 'fc:in'.* example {example}\."):
        loop.fit(run, Accelerator(cpu=True))


# ------------------------------------------------------------------------------------------------ a whole run


def distilled(out, objective, **options):
    bunch = load_digits()
    images, labels = (bunch.images * (255 / 16)).round().astype("uint8"), bunch.target
    return distill(
        teacher=runs.convnet(2),
        student=runs.plain(1),
        train=(images[:200], labels[:200]),
        validation=(images[200:260], labels[200:260]),
        test=(images[-60:], labels[-60:]),
        objective=objective,
        train_plan=Train(epochs=1, batch_size=50),
        out=out,
        device="cpu",
        **options,
    )


def test_a_run_that_needs_features_says_that_the_teacher_is_live(tmp_path, capsys):
    objective = 0.5 * Hint() + CrossEntropy()
    given = copy.deepcopy(objective)
    result = distilled(tmp_path / "run", objective)
    said = capsys.readouterr().err
    assert (
        said.count("hint needs the teacher's features, which are not stored: the teacher is asked at every step") == 1
    )
    assert not (tmp_path / "run" / "stages" / "targets").exists()
    assert not list(tmp_path.rglob("*.arrow"))
    assert list(result.student.model.state_dict()) == list(runs.plain(1).state_dict())
    assert result.results["export"]["parity"]["passed"] is True
    assert "targets" not in result.results["timings"]
    assert str(objective) == str(given)  # what was given is not built upon
    assert distilled(tmp_path / "run", objective).results == result.results


def test_other_features_are_another_stage(tmp_path, monkeypatch):
    jobs = []
    monkeypatch.setattr("limbeck.api.distil", lambda job: jobs.append(job) or (_ for _ in ()).throw(InterruptedError))
    for objective in (Hint(), Hint(), Hint("3"), Hint("3", "stages.1"), KD() + Hint()):
        with pytest.raises(InterruptedError):
            distilled(tmp_path / "run", objective)
    assert str(Hint("3")) == str(Hint())  # though the objective's own words do not tell them apart
    stages = {name: [] for name in ("student", "baseline")}
    for job in jobs:
        teacher = the_teacher(job)
        arms = the_arms(job, teacher, the_targets(job, teacher))
        for name, folders in stages.items():
            folders.append(member_stage(job, arms[name], 0).folder.name)
    first, second, *others = stages["student"]
    assert first == second
    assert len({first, *others}) == 4
    assert len(set(stages["baseline"])) == 1


class Unfit(Hint):
    def build(self, student, target, batch, ids_N):
        raise ValueError("a hint needs maps of one size")


@pytest.mark.parametrize(
    ("objective", "options", "message"),
    [
        (Hint("6:in"), {}, r"student's features: there is no module at '6:in'.* There are: 0, 1, 2, 3, 4, 5\."),
        (Hint(teacher="stages.4"), {}, r"teacher's features: .*'stages\.4'.* Did you mean 'stages\.\d'"),
        (Hint("0"), {}, None),
        (Unfit(), {}, "objective: a hint needs maps of one size"),
        (KD() + Hint(), {"targets": Targets(average=True)}, r"targets\.average needs stored answers, and hint needs"),
    ],
    ids=["student", "teacher", "fits", "unfit", "average"],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(objective, options, message, tmp_path, monkeypatch):
    if message is None:  # told apart: this one would begin
        monkeypatch.setattr("limbeck.api.distil", lambda job: (_ for _ in ()).throw(InterruptedError))
        with pytest.raises(InterruptedError):
            distilled(tmp_path / "run", objective)
        return
    with pytest.raises(BadInput, match=message) as refused:
        distilled(tmp_path / "run", objective, **options)
    assert refused.value.exit_code == 2
    assert not (tmp_path / "run").exists()
