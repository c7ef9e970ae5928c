"""Claims about models of pairs: who reads segment ids, what a student makes of the sides, and that padding changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from limbeck.deploy.int8 import quantise
from limbeck.errors import BadInput
from limbeck.modalities.text.export import INT8, export_text_onnx, inputs_of, text_metadata
from limbeck.modalities.text.students import sample_batches, text_student
from limbeck.nlp.pairs import encoded
from limbeck.nlp.segments import segments_read
from limbeck.nlp.tokens import probe_texts
from tests.helpers.text_pair_runs import CLASSES, pairs, tokenizer_of_pairs
from tests.helpers.tiny_text import logits_of, text_parity, tiny_classifier, tiny_tokenizer

PAIRS = [pair for pair, _ in pairs(64)]
TOKENIZER = tokenizer_of_pairs()


def by_transformers(model, texts, tokenizer=TOKENIZER) -> torch.Tensor:
    """Logits (N, C), one pair at a time, as the tokenizer gives it."""
    given = [tokenizer(*pair, return_tensors="pt") for pair in texts]
    return torch.cat([logits_of(model, {name: one[name] for name in one}) for one in given])


def together(tokenizer, texts) -> dict[str, torch.Tensor]:
    return dict(tokenizer(*map(list, zip(*texts, strict=True)), padding=True, return_tensors="pt"))


@pytest.mark.parametrize(("family", "kinds"), [("bert", 2), ("roberta", 0), ("distilbert", 0), ("electra", 2)])
def test_segment_ids_are_for_models_that_have_an_embedding_for_each(family, kinds):
    # published RoBERTas have one kind of segment, though the default of transformers is two
    sizes: dict[str, Any] = {"type_vocab_size": 1} if family == "roberta" else {}
    model = tiny_classifier(family, **sizes)
    assert segments_read(model, TOKENIZER) == kinds
    assert segments_read(model, tokenizer_of_pairs(segments=False)) == 0
    inputs = probe_texts(37, 10, kinds)
    assert set(inputs) == {"input_ids", "attention_mask", *(["token_type_ids"] if kinds else [])}
    answer = logits_of(model, inputs)
    if kinds:  # a probe tells models apart that read segments otherwise
        assert inputs["token_type_ids"][0].tolist() == [0] * 5 + [1] * 5
        with torch.no_grad():
            model.get_submodule(family).embeddings.token_type_embeddings.weight[1] *= -3
        assert (logits_of(model, inputs) - answer).abs().max() > 1e-3


def test_what_matters_in_a_teacher_is_measured_on_pairs_with_their_segments():
    found = list(sample_batches(TOKENIZER, PAIRS, segments=True))
    wanted = together(TOKENIZER, PAIRS[:32])
    assert {name: value.tolist() for name, value in found[0].items()} == {n: wanted[n].tolist() for n in found[0]}
    assert "token_type_ids" in found[0]
    assert "token_type_ids" not in next(iter(sample_batches(TOKENIZER, PAIRS)))
    teacher = tiny_classifier("bert", list(CLASSES))
    whole = text_student("shrunk", teacher, TOKENIZER, texts=PAIRS).model
    torch.testing.assert_close(by_transformers(whole, PAIRS), by_transformers(teacher, PAIRS))
    narrow = text_student("shrunk", teacher, TOKENIZER, texts=PAIRS, feed_forward=20).model
    with torch.no_grad():  # with another second segment other units matter
        teacher.bert.embeddings.token_type_embeddings.weight[1] *= -3
    other = text_student("shrunk", teacher, TOKENIZER, texts=PAIRS, feed_forward=20).model
    assert not torch.equal(
        narrow.bert.encoder.layer[0].intermediate.dense.weight, other.bert.encoder.layer[0].intermediate.dense.weight
    )


@pytest.mark.parametrize("kind", ["bag", "conv"])
@pytest.mark.parametrize("vocabulary", ["all", "used"])
def test_a_student_without_attention_reads_either_side_by_itself(kind, vocabulary, tmp_path):
    teacher = tiny_classifier("distilbert", list(CLASSES))
    plain = tokenizer_of_pairs(segments=False)
    made = text_student(kind, teacher, plain, texts=PAIRS, hidden=16, vocabulary=vocabulary)
    model, tokenizer = made.model, made.tokenizer
    with torch.no_grad():
        list(model.parameters())[-2].mul_(20)
    one, two = PAIRS[0]
    answers = by_transformers(model, [(one, two), (two, one), (f"{one} {two}", two)], tokenizer)
    assert (answers[:1] - answers[1:]).abs().min() > 1e-4
    padded = logits_of(model, together(tokenizer, PAIRS))
    torch.testing.assert_close(padded, by_transformers(model, PAIRS, tokenizer), atol=1e-5, rtol=1e-5)
    if kind == "bag":  # worked out again, side by side
        ids = tokenizer(one, two)["input_ids"]
        middle = ids.index(tokenizer.sep_token_id) + 1
        table = model.embeddings.weight.detach()
        u, v = (torch.cat([table[side].mean(0), table[side].amax(0)]) for side in (ids[:middle], ids[middle:]))
        wanted = model.head(torch.cat([u, v, (u - v).abs(), u * v]))
        torch.testing.assert_close(answers[0], wanted.detach(), atol=1e-5, rtol=1e-5)
    path = tmp_path / "student.onnx"
    metadata = text_metadata(name="x", classes=CLASSES, vocabulary=len(tokenizer), max_length=16, pair=("a", "b"))
    export_text_onnx(model, tokenizer, path, metadata)
    assert inputs_of(path) == ("input_ids", "attention_mask")
    assert text_parity(model, path, [together(tokenizer, PAIRS)], 1e-4, 1.0)["passed"]


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_onnx_has_a_segment_input_where_the_model_reads_one(family, tmp_path):
    model = tiny_classifier(family, list(CLASSES), num_hidden_layers=2)
    tokenizer = tokenizer_of_pairs(segments=family == "bert")
    path, int8 = tmp_path / "model.onnx", tmp_path / "int8.onnx"
    metadata = text_metadata(
        name="x", classes=CLASSES, vocabulary=37, max_length=16, pair=("a", "b"), segments=family == "bert"
    )
    export_text_onnx(model, tokenizer, path, metadata)
    quantise(path, int8, INT8)
    for file in (path, int8):
        assert inputs_of(file) == ("input_ids", "attention_mask", *(["token_type_ids"] if family == "bert" else []))
    batches = [together(tokenizer, PAIRS[:20]), together(tokenizer, PAIRS[20:21])]
    assert text_parity(model, path, batches, 1e-4, 1.0)["passed"]
    spread = float(by_transformers(model, PAIRS, tokenizer).std())
    assert text_parity(model, int8, batches, spread, 0.8)["passed"]
    if family == "bert":  # they matter
        flat = [{**batch, "token_type_ids": torch.zeros_like(batch["token_type_ids"])} for batch in batches]
        assert text_parity(model, path, flat, 1e-4, 1.0)["passed"]
        assert (logits_of(model, flat[0]) - logits_of(model, batches[0])).abs().max() > 1e-2


def test_a_tokenizer_with_nothing_between_the_sides_is_no_good_for_these():
    tokenizer = tiny_tokenizer()
    from tokenizers import processors

    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A", pair="$A $B", special_tokens=[]
    )
    with pytest.raises(BadInput, match="a bag student tells the sides of a pair by the token between them"):
        text_student("bag", tiny_classifier(), tokenizer, texts=PAIRS)
    assert encoded(tokenizer, PAIRS[:1], 16).segments is None
