"""Batches of texts: every example once, of like length, and nothing that padding could change."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from limbeck.data.examples import HeldOut, pooled
from limbeck.interfaces import IGNORED, DenseLogits, Target
from limbeck.modalities.text.examples import TextSplits
from limbeck.modalities.text.recipe import WordViews
from limbeck.modalities.text.task import TextClassification
from limbeck.nlp.tokens import joined
from limbeck.objectives.modules import KD, CrossEntropy
from limbeck.training.loop import on_validation
from tests.helpers.textual import VOCABULARY, examples

NOBODY = nn.Identity()


def splits(several: int = 0, count: int = 90) -> TextSplits:
    whole = examples(count + 40, several=several)
    rows = torch.arange(count + 40)
    return TextSplits(
        train=whole.take(rows[:count]),
        validation=whole.take(rows[count : count + 20]),
        test=HeldOut(lambda notes: whole.take(rows[count + 20 :])),
        transfer=dataclasses.replace(examples(30, seed=5), labels=None),
        classes=tuple(f"class {k}" for k in range(several or 2)),
        fingerprint="made up",
        labelled="made up",
        vocabulary=VOCABULARY,
    )


SPLITS = splits()
TASK = TextClassification(SPLITS, view_seed=0, chunk=4)


def encoder(classes: int = 2) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=classes,
        initializer_range=0.3,
    )
    return transformers.BertForSequenceClassification(config).eval()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 95), st.integers(0, 3), st.integers(0, 9), st.integers(1, 6))
def test_an_epoch_is_every_example_once(count, batch_size, epoch, seed, chunk):
    task = TextClassification(SPLITS, view_seed=0, chunk=chunk)
    kept = SPLITS.train.take(torch.arange(count))
    source = task.source(kept, views=WordViews(), seed=seed, batch_size=batch_size)
    steps = source.steps_per_epoch()
    batches = [source.next(epoch * steps + place, NOBODY) for place in range(steps)]
    sizes = [len(batch.ids) for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    assert 1 <= min(sizes) <= max(sizes) <= batch_size
    assert sorted(torch.cat([batch.ids for batch in batches]).tolist()) == sorted(kept.ids.tolist())
    assert all((batch.view == epoch).all() for batch in batches)
    # however the examples are stored
    turned = dataclasses.replace(source, examples=kept.take(torch.arange(count).flip(0)))
    other = turned.next(epoch * steps, NOBODY)
    assert torch.equal(other.ids, batches[0].ids)
    assert torch.equal(other.inputs["input_ids"], batches[0].inputs["input_ids"])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 95), st.integers(1, 6), st.integers(0, 30))
def test_the_parts_are_the_batch(batch_size, parts, step):
    views = WordViews(replace=0.3, drop=0.2)
    whole = TASK.source(SPLITS.train, views=views, seed=1, batch_size=batch_size).next(step, NOBODY)
    source = TASK.source(SPLITS.train, views=views, seed=1, batch_size=batch_size)
    pieces = [source.next(step, NOBODY, part, parts) for part in range(parts)]
    for name in ("ids", "view", "labels"):
        assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(whole, name))
    length = whole.inputs["input_ids"].shape[1]
    for name in ("input_ids", "attention_mask"):
        rows = [F.pad(piece.inputs[name], (0, length - piece.inputs[name].shape[1])) for piece in pieces]
        assert torch.equal(torch.cat(rows), whole.inputs[name])


def test_batches_are_of_like_length_and_their_order_says_nothing_of_it():
    def padding(chunk: int) -> tuple[float, list[int]]:
        task = TextClassification(SPLITS, view_seed=0, chunk=chunk)
        source = task.source(SPLITS.train, views=WordViews(), seed=3, batch_size=6)
        masks = [source.next(step, NOBODY).inputs["attention_mask"] for step in range(source.steps_per_epoch())]
        positions = sum(mask.numel() for mask in masks)
        return positions / int(sum(mask.sum() for mask in masks)) - 1, [mask.shape[1] for mask in masks]

    (bucketed, lengths), (drawn, _) = padding(15), padding(1)
    assert bucketed < 0.1 < 0.3 < drawn
    assert lengths not in (sorted(lengths), sorted(lengths, reverse=True))


@pytest.mark.parametrize("several", [0, 3])
def test_no_loss_depends_on_padding_or_bucketing(several):
    """The same texts, each with its teacher's answer: one batch, and many padded otherwise, weigh the same."""
    data = splits(several, count=20)
    model, teacher = encoder(several or 2), encoder(several or 2)
    for parameter in teacher.parameters():
        parameter.data.mul_(1.1)
    objective = KD(temperature=2.0) + CrossEntropy()

    def whole_loss(chunk: int, multiple_of: int, batch_size: int) -> tuple[dict[str, float], torch.Tensor]:
        task = TextClassification(data, view_seed=0, chunk=chunk, multiple_of=multiple_of)
        source = task.source(data.train, views=WordViews(), seed=0, batch_size=batch_size)
        totals: dict[str, torch.Tensor] = {}
        model.zero_grad()
        for step in range(source.steps_per_epoch()):
            batch = source.next(step, NOBODY)
            output = task.forward(model, batch)
            if several:
                assert output.logits is not None
                loss = F.binary_cross_entropy_with_logits(output.logits, batch.labels, reduction="sum")
                totals["bce"] = totals.get("bce", 0) + loss.detach()
                loss.backward()
                continue
            with torch.no_grad():
                target = Target((DenseLogits(task.answer(teacher, batch)),))
            terms = objective(output, target, batch)
            torch.stack([term.total for term in terms.values()]).sum().backward()
            for name, term in terms.items():
                totals[name] = totals.get(name, 0) + term.total.detach()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        return {name: float(total) for name, total in totals.items()}, gradient.clone()

    expected, gradient = whole_loss(chunk=1, multiple_of=1, batch_size=1)  # nothing is padded
    for chunk, multiple_of, batch_size in ((1, 32, 20), (3, 8, 4)):
        found, other = whole_loss(chunk, multiple_of, batch_size)
        assert found == pytest.approx(expected, rel=1e-5)
        torch.testing.assert_close(other, gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()))


def test_answers_come_in_the_order_of_the_examples():
    model = encoder()
    found = TextClassification(SPLITS, view_seed=0, batch_size=7).logits(model, SPLITS.train)
    one_by_one = []
    for row in range(len(SPLITS.train)):
        tokens, there = SPLITS.train.padded(torch.tensor([row]), 0)
        with torch.no_grad():
            one_by_one.append(model(input_ids=tokens, attention_mask=there.long()).logits)
    torch.testing.assert_close(found, torch.cat(one_by_one), rtol=1e-4, atol=1e-5)


class Counting(nn.Module):
    """Answers with a tensor: how often each of the last tokens stands in a text."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(60, classes, generator=torch.Generator().manual_seed(1)))

    def forward(self, input_ids, attention_mask):
        return (self.weight[input_ids] * attention_mask[..., None]).sum(1)


def test_validation_figures_of_one_label_and_of_several():
    for several in (0, 3):
        data = splits(several)
        task, model = TextClassification(data, view_seed=0), Counting(several or 2)
        figures = on_validation(task, model)
        logits, labels = task.logits(model, data.validation), data.validation.labels
        if not several:
            assert figures["accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
            assert figures["nll"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
            continue
        told = (logits > 0).numpy()
        assert figures["accuracy"] == pytest.approx((told == labels.bool().numpy()).all(1).mean())
        nll = F.binary_cross_entropy_with_logits(logits, labels.float()).item()
        assert figures["nll"] == pytest.approx(nll, rel=1e-5)


def test_the_transfer_set_joins_without_labels():
    assert len(TASK.pool) == 120
    assert (TASK.pool.labels[90:] == IGNORED).all()
    data = splits(several=3)
    several = pooled(data, "cpu", joined)
    assert several.labels.shape == (120, 3)
    assert (several.labels[90:] == IGNORED).all()
    known = joined(SPLITS.transfer, SPLITS.train.take(torch.arange(5)), None)
    again = pooled(dataclasses.replace(SPLITS, transfer=known), "cpu", joined)
    assert torch.equal(again.ids, TASK.pool.ids)
