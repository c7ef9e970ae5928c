"""The Trainer of transformers with an objective of ours: the same loss however a step is cut up, from a live or stored teacher."""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import datasets
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

import limbeck
from limbeck.errors import BadInput
from limbeck.trainer.cast_dataset import EXAMPLE_ID, ask
from limbeck.trainer.trainer import DistillationTrainer
from tests.helpers.tiny_text import CLASSES, TEXTS, encode, logits_of, tiny_classifier, tiny_tokenizer
from tests.helpers.trainers import LABELS, ROOT, plan, rows, student, trainer, weights

UNLABELLED = [0, -100, -100, 0, 1, -100, 0, 1]


def after_a_step_by_hand(teacher, labels, temperature=3.0) -> tuple[torch.Tensor, float]:
    """0.9 KD + 0.1 cross-entropy over all eight rows, and one step of gradient descent, in formulas of PyTorch's own."""
    model, inputs = student().train(), encode(tiny_tokenizer(), TEXTS)
    p = (logits_of(teacher, inputs) / temperature).softmax(1)
    logits = model(**inputs).logits
    kl = (p * (p.log() - (logits / temperature).log_softmax(1))).sum(1).mean()
    loss = 0.9 * temperature**2 * kl + 0.1 * torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    return weights(model), loss.item()


@pytest.mark.parametrize("source", ["live", "stored"])
@pytest.mark.parametrize(("batch", "accumulate"), [(8, 1), (2, 4), (3, 3)])
@pytest.mark.parametrize("labels", [LABELS, UNLABELLED], ids=["labelled", "some without"])
def test_a_step_is_the_same_however_its_rows_are_cut_into_batches(
    tmp_path, teacher, stored, source, batch, accumulate, labels
):
    """G.2 bug 15. Rows without a label count for the teacher's part alone."""
    data = rows(labels).add_column(EXAMPLE_ID, np.array(stored[0][EXAMPLE_ID]))
    objective = 0.9 * limbeck.KD(temperature=3) + 0.1 * limbeck.CrossEntropy()
    run = trainer(
        tmp_path, teacher if source == "live" else stored[1], objective, data=data, batch=batch, accumulate=accumulate
    )
    run.train()
    expected, loss = after_a_step_by_hand(teacher, labels)
    # answers are stored in half precision
    torch.testing.assert_close(weights(run.model), expected, atol=1e-6 if source == "live" else 3e-4, rtol=0)
    assert (expected - weights(student())).abs().max() > 0.01
    assert run.state.log_history[0]["loss"] == pytest.approx(loss, rel=1e-5 if source == "live" else 1e-3)


@pytest.mark.parametrize("kind", ["bert", "bag"])
def test_the_same_without_labels_and_for_a_model_that_takes_no_count(tmp_path, teacher, kind):
    """There the Trainer counts no items, and would divide the loss by the number of accumulated batches once more."""
    from limbeck.modalities.text.students import text_student

    def fresh():
        if kind == "bert":
            return student()
        bag = text_student("bag", teacher, tiny_tokenizer(), hidden=12).model
        bag.head[0].p = 0.0
        return bag

    data = rows() if kind == "bag" else rows().remove_columns("labels")
    after = []
    for accumulate in (1, 4):
        run = trainer(
            tmp_path, teacher, limbeck.KD(), model=fresh(), data=data, batch=8 // accumulate, accumulate=accumulate
        )
        run.train()
        after.append(weights(run.model))
    torch.testing.assert_close(*after, atol=1e-6, rtol=0)
    assert (after[0] - weights(fresh())).abs().max() > 1e-3


@pytest.mark.slow
def test_a_step_is_the_same_on_two_processes(tmp_path):
    """The processes hold unequal numbers of labelled rows, so the mean of their means would be another loss."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "from tests.trainer import test_trainer as t\n"
        "teacher = t.tiny_classifier(seed=0)\n"
        "objective = 0.9 * t.limbeck.KD(temperature=3) + 0.1 * t.limbeck.CrossEntropy()\n"
        "run = t.trainer('out', teacher, objective, data=t.rows(t.UNLABELLED), batch=2, accumulate=2, ddp_backend='gloo')\n"
        "run.train()\n"
        "assert run.accelerator.num_processes == 2\n"
        "expected, loss = t.after_a_step_by_hand(teacher, t.UNLABELLED)\n"
        "torch.testing.assert_close(t.weights(run.model), expected, atol=1e-6, rtol=0)\n"
        "assert abs(run.state.log_history[0]['loss'] - loss) < 1e-5\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_teacher_never_changes_and_is_in_no_optimiser_and_no_checkpoint(tmp_path, teacher):
    """G.2 bugs 20 and 21; the teacher's dropout would show if it trained."""
    mine = copy.deepcopy(teacher).train()
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    run = trainer(tmp_path, mine, max_steps=3, save_strategy="steps", save_steps=3, weight_decay=0.5)
    modes = []
    mine.register_forward_hook(lambda module, given, answer: modes.append((module.training, answer.logits.grad_fn)))
    mine.train()
    run.train()
    assert modes == [(False, None)] * 3
    assert all(torch.equal(value, before[name]) for name, value in mine.state_dict().items())
    assert all(parameter.grad is None for parameter in mine.parameters())
    teachers = {id(parameter) for parameter in mine.parameters()}
    optimised = [parameter for group in run.optimizer.param_groups for parameter in group["params"]]
    assert {id(parameter) for parameter in optimised} == {id(parameter) for parameter in run.model.parameters()}
    assert not teachers & {id(parameter) for parameter in optimised}
    kept = load_file(tmp_path / "checkpoint-3" / "model.safetensors")
    assert set(kept) == set(student().state_dict())
    assert run.model.training  # the student was not left in eval mode by its teacher


def test_evaluation_is_that_of_a_plain_trainer(tmp_path, teacher, stored):
    data, store = stored

    def figures(kind, **more):
        run = kind(
            model=student(),
            args=plan(tmp_path),
            train_dataset=data,
            eval_dataset=data,
            processing_class=tiny_tokenizer(),
            compute_metrics=lambda answers: {"right": (answers.predictions.argmax(1) == answers.label_ids).mean()},
            **more,
        )
        unlabelled = run.predict(data.remove_columns("labels")).predictions
        return {key: value for key, value in run.evaluate().items() if key in ("eval_loss", "eval_right")}, unlabelled

    plain, logits = figures(transformers.Trainer)
    for source in (teacher, store):
        distilled, same = figures(DistillationTrainer, teacher=source)
        assert distilled == plain
        np.testing.assert_array_equal(same, logits)


def test_classes_are_matched_by_name(tmp_path, teacher):
    """A teacher that names the same classes in another order teaches the same."""
    turned = copy.deepcopy(teacher)
    with torch.no_grad():
        turned.classifier.weight.copy_(teacher.classifier.weight.flip(0))
        turned.classifier.bias.copy_(teacher.classifier.bias.flip(0))
    turned.config.id2label = dict(enumerate(reversed(CLASSES)))
    data, store = ask(turned, rows(), tmp_path / "turned", tiny_tokenizer())
    expected = after_a_step_by_hand(teacher, LABELS)[0]
    objective = 0.9 * limbeck.KD(temperature=3) + 0.1 * limbeck.CrossEntropy()
    for source, tolerance in ((turned, 1e-6), (store, 3e-4)):
        run = trainer(tmp_path, source, objective, data=data)
        run.train()
        torch.testing.assert_close(weights(run.model), expected, atol=tolerance, rtol=0)


def test_what_an_objective_keeps_from_step_to_step_is_in_the_checkpoint(tmp_path, teacher):
    def run(out, steps, resume=None):
        one = trainer(
            out,
            teacher,
            limbeck.TAID(t0=0.1, alpha=1.0),
            batch=2,
            accumulate=2,
            max_steps=6,
            save_strategy="steps",
            save_steps=3,
        )
        if steps < 6:
            one.add_callback(_StopAt(steps))
        one.train(resume_from_checkpoint=resume)
        return one

    whole = run(tmp_path / "whole", 6)
    run(tmp_path / "cut", 3)
    resumed = run(tmp_path / "cut", 6, resume=str(tmp_path / "cut" / "checkpoint-3"))
    for name, value in whole.objective.state_dict().items():
        torch.testing.assert_close(resumed.objective.state_dict()[name], value, rtol=0, atol=0)
    assert torch.equal(weights(whole.model), weights(resumed.model))
    assert whole.objective.schedule.t > 0.1 + 0.9 * 5 / 6  # it moved faster than progress alone
    (tmp_path / "cut" / "checkpoint-3" / "objective.safetensors").unlink()
    with pytest.raises(BadInput, match="another objective"):
        run(tmp_path / "cut", 6, resume=str(tmp_path / "cut" / "checkpoint-3"))


class _StopAt(transformers.TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step


def test_schedules_follow_the_run(tmp_path, teacher):
    """A weight that falls to 0 in the first epoch leaves the second without a loss."""
    objective = limbeck.KD(weight=limbeck.Linear(1.0, 0.0, epochs=1))
    run = trainer(tmp_path, teacher, objective, batch=2, accumulate=2, max_steps=-1, num_train_epochs=2)
    run.train()
    losses = [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    assert len(losses) == 4
    assert losses[0] > losses[1] > 0
    assert losses[2] == losses[3] == 0


def test_what_cannot_work_is_refused_before_training(tmp_path, teacher, stored):
    data, store = stored
    other = rows(LABELS, [f"{text} and bad" for text in TEXTS])
    elsewhere = ask(teacher, other, tmp_path / "other", tiny_tokenizer())[0]
    foreign = int(elsewhere[1][EXAMPLE_ID])
    one_foreign = datasets.concatenate_datasets([data, elsewhere.select([1])])
    hidden = limbeck.HiddenStates("bert.encoder.layer.{}", "bert.encoder.layer.{}", layers=(2, 4))
    several = {"problem_type": "multi_label_classification"}
    shared = student()
    many = ["angry", "calm", "sad"]
    cases = [
        (f"no soft target for example id {foreign}: it was cast", store, {"data": one_foreign}),
        ("no column example_id", store, {"data": rows()}),
        ("example_id holds", store, {"data": rows().add_column(EXAMPLE_ID, [f"row {n}" for n in range(8)])}),
        ("label_smoothing_factor is 0.1", teacher, {"label_smoothing_factor": 0.1}),
        ("hiddenstates|hidden_states matches inner layers", teacher, {"objective": limbeck.KD() + hidden}),
        ("problem_type is multi_label", teacher, {"model": student(**several)}),
        ("share weights", shared, {"model": shared}),
        ("cannot be matched by name", tiny_classifier(classes=many), {}),
        ("cannot be matched by name", store, {"model": student(id2label=dict(enumerate(many)))}),
        ("knows 2 labels and the data has 3", tiny_classifier(classes=["a", "b"]), {}),
        ("different vocabularies", tiny_classifier(vocab_size=9), {}),
        ("no such folder", tmp_path / "nowhere", {}),
    ]
    for message, source, changes in cases:
        with pytest.raises(BadInput, match=message):
            trainer(tmp_path, source, **changes)
    teacher.save_pretrained(tmp_path / "model")
    with pytest.raises(BadInput, match=r"is a model's folder: load it with AutoModelForSequenceClassification"):
        trainer(tmp_path / "out", tmp_path / "model")
    with pytest.raises(BadInput, match="two losses"):
        DistillationTrainer(
            model=student(), args=plan(tmp_path), teacher=teacher, compute_loss_func=lambda *given, **named: 0
        )
    late = trainer(tmp_path, store, data=data)
    late.train_dataset = one_foreign
    with pytest.raises(BadInput, match=str(foreign)):
        late.train()
    assert late.state.global_step == 0
    with pytest.raises(BadInput, match="tokenise it first"):
        ask(teacher, datasets.Dataset.from_dict({"text": TEXTS}), tmp_path / "raw", tiny_tokenizer())


def test_importing_limbeck_imports_no_transformers():
    code = "import sys, limbeck; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    assert limbeck.DistillationTrainer is DistillationTrainer
    assert limbeck.trainer.ask is ask
