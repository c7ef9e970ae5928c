"""Students of every kind: padding, seeds, embeddings, and knobs that cannot be."""

from __future__ import annotations

import pytest
import torch
import transformers

from limbeck.errors import BadInput
from limbeck.modalities.text.students import text_student
from limbeck.nlp.folder import save_folder
from tests.helpers.tiny_text import (
    CLASSES,
    PIECES,
    SPECIAL,
    TEXTS,
    WORDS,
    encode,
    logits_of,
    tiny_classifier,
    tiny_tokenizer,
)

pytest.importorskip("transformers")


KINDS = ["shrunk", "fresh", "bag", "conv"]


# All kinds


def small_student(kind: str, **knobs):
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    return tokenizer, text_student(kind, teacher, tokenizer, texts=TEXTS, hidden=12, vocabulary="used", **knobs)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing_and_folders_load(kind, tmp_path):
    _, student = small_student(kind)
    inputs = encode(student.tokenizer, [TEXTS[1]])
    alone = logits_of(student.model, inputs)
    padded = {name: torch.nn.functional.pad(value, (0, 9)) for name, value in inputs.items()}
    padded["input_ids"][0, -4:] = 7  # whatever stands where the mask is 0
    torch.testing.assert_close(logits_of(student.model, padded), alone, atol=1e-5, rtol=0)
    assert not torch.allclose(logits_of(student.model, encode(student.tokenizer, [TEXTS[4]])), alone, atol=1e-5)

    save_folder(student.for_teacher_ids(), student.tokenizer, tmp_path / "student")
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    torch.testing.assert_close(logits_of(loaded, inputs), alone, atol=1e-6, rtol=0)
    said = transformers.pipeline("text-classification", model=str(tmp_path / "student"))(TEXTS[1])
    assert said[0]["label"] == CLASSES[int(alone.argmax())]
    answer = student.model(**inputs, labels=torch.tensor([2]))
    torch.testing.assert_close(answer.loss, torch.nn.functional.cross_entropy(answer.logits, torch.tensor([2])))


@pytest.mark.parametrize("kind", ["fresh", "bag", "conv"])
def test_a_fresh_student_comes_from_its_seed_alone(kind):
    torch.manual_seed(1)
    one = small_student(kind, seed=4)[1].model.state_dict()
    torch.manual_seed(2)
    same = small_student(kind, seed=4)[1].model.state_dict()
    other = small_student(kind, seed=5)[1].model.state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_a_bag_forgets_the_order_and_a_convolution_does_not():
    texts = ["good film never bad", "bad film never good"]
    for kind, same in (("bag", True), ("conv", False)):
        _, student = small_student(kind)
        first, second = logits_of(student.model, encode(student.tokenizer, texts))
        assert torch.allclose(first, second, atol=1e-6) is same


def test_embeddings_start_as_the_teachers_turned():
    """With as many dimensions as the teacher's, distances between tokens are the teacher's but for one factor."""
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    bag = text_student("bag", teacher, tokenizer, hidden=24).model
    theirs = torch.pdist(teacher.get_input_embeddings().weight.detach())
    ratio = torch.pdist(bag.get_input_embeddings().weight.detach()) / theirs
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("kind", "knobs", "sentence"),
    [
        ("shrink", {}, r"no kind of text student 'shrink'.*Did you mean 'shrunk'"),
        ("shrunk", {"hidden": 10, "heads": 4}, r"hidden 10 cannot be divided into 4 heads"),
        ("shrunk", {"hidden": 48}, r"hidden is 48 and the teacher's is 24"),
        ("shrunk", {"heads": 2}, r"makes them 12 wide, and the teacher's are 6: take at least 4 heads"),
        ("shrunk", {"layers": 5}, r"layers is 5; the teacher has 4"),
        ("shrunk", {"layers": [2, 1]}, r"layers is \[2, 1\]"),
        ("shrunk", {"feed_forward": 0}, r"feed_forward is 0"),
        ("shrunk", {"hidden": 12, "texts": None}, r"texts are needed to measure what matters"),
        ("shrunk", {"vocabulary": "some"}, r"vocabulary is 'some'; it must be all or used"),
        ("shrunk", {"vocabulary": "used", "min_count": 0}, r"min_count is 0"),
        ("shrunk", {"classes": ["a", "b"]}, r"answers 3 classes and 2 are wanted"),
        ("bag", {"heads": 2}, r"no attention heads"),
        ("bag", {"layers": 2}, r"a bag student has none"),
        ("conv", {"hidden": -1}, r"hidden is -1"),
    ],
)
def test_knobs_that_cannot_be_are_refused(kind, knobs, sentence):
    with pytest.raises(BadInput, match=sentence):
        text_student(kind, tiny_classifier(), tiny_tokenizer(), **{"texts": TEXTS, **knobs})


def test_other_families_and_tokenizers_are_refused():
    config = transformers.AutoConfig.for_model(
        "electra", vocab_size=40, hidden_size=8, num_attention_heads=2, num_hidden_layers=1
    )
    electra = transformers.AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(BadInput, match=r"family 'electra' cannot be made smaller here; bert, roberta, distilbert can"):
        text_student("shrunk", electra, tiny_tokenizer(), layers=1)
    import tokenizers

    backend = tokenizers.Tokenizer(tokenizers.models.BPE(dict(zip([*SPECIAL, *WORDS, *PIECES], range(99))), []))
    bpe = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]")
    with pytest.raises(BadInput, match=r"of the kind BPE.*keep all"):
        text_student("bag", tiny_classifier(), bpe, texts=TEXTS, vocabulary="used")
