"""A classifier asked once about every row: the answers belong to the rows, whatever their order."""

from __future__ import annotations

import copy
import re

import datasets
import numpy as np
import pytest
import torch

import limbeck
from limbeck.errors import BadInput
from limbeck.trainer.cast_dataset import EXAMPLE_ID, ask
from limbeck.trainer.trainer import DistillationTrainer
from tests.helpers.tiny_text import TEXTS, encode, logits_of, tiny_classifier, tiny_tokenizer
from tests.helpers.trainers import LABELS, ROOT, plan, rows, student, trainer, weights


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


def test_ids_of_a_recipes_run_can_be_given_to_the_trainer(stored):
    """The page's lines make the ids that a recipe's store knows its texts by."""
    from limbeck.modalities.text.load import TextPart
    from limbeck.nlp.tokenizer import Tokeniser

    texts, labels = [*TEXTS, TEXTS[2]], torch.tensor([*LABELS, 0])
    names = {"texts": texts, "labels": labels.tolist(), "train": rows(labels.tolist(), texts)}
    page = (ROOT / "docs" / "trainer.md").read_text(encoding="utf-8")
    (lines,) = [block for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "text_ids" in block]
    exec(compile(lines, "docs/trainer.md", "exec", dont_inherit=True), names)
    part = TextPart.of(texts, labels, "train", Tokeniser(tiny_tokenizer(), 64), []).examples()
    assert list(names["train"][EXAMPLE_ID]) == part.ids.tolist()


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
