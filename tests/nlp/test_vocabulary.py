"""A smaller vocabulary says the same of its texts."""

from __future__ import annotations

import pytest
import torch
import transformers

from limbeck.errors import BadInput
from limbeck.modalities.text.students import text_student
from limbeck.nlp.folder import save_folder
from limbeck.nlp.vocabulary import FromTeacherIds, from_teacher_ids, smaller_tokenizer, unknown_share
from tests.helpers.tiny_text import (
    SPECIAL,
    TEXTS,
    encode,
    logits_of,
    tiny_classifier,
    tiny_tokenizer,
)

pytest.importorskip("transformers")


# Vocabulary


def test_a_smaller_vocabulary_says_the_same_of_its_texts(tmp_path):
    teacher, tokenizer = tiny_classifier(), tiny_tokenizer()
    student = text_student("shrunk", teacher, tokenizer, texts=TEXTS[:4], vocabulary="used")
    inputs = encode(tokenizer, TEXTS[:4])
    own = encode(student.tokenizer, TEXTS[:4])
    tokens = [tokenizer.convert_ids_to_tokens(row) for row in inputs["input_ids"].tolist()]
    assert [student.tokenizer.convert_ids_to_tokens(row) for row in own["input_ids"].tolist()] == tokens
    assert set(student.tokenizer.get_vocab()) == {token for row in tokens for token in row} | set(SPECIAL)
    expected = logits_of(teacher, inputs)
    torch.testing.assert_close(logits_of(student.model, own), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(logits_of(student.for_teacher_ids(), inputs), expected, atol=1e-6, rtol=0)

    save_folder(student.for_teacher_ids(), student.tokenizer, tmp_path / "student")
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "student")
    torch.testing.assert_close(logits_of(plain, encode(loaded, TEXTS[:4])), expected, atol=1e-6, rtol=0)
    again = from_teacher_ids(plain, tmp_path / "student")
    assert isinstance(again, FromTeacherIds)
    torch.testing.assert_close(logits_of(again, inputs), expected, atol=1e-6, rtol=0)
    (tmp_path / "student" / "teacher_vocabulary.json").write_text(
        '{"teacher_tokens": 3, "unknown": 0, "kept_ids": [1]}'
    )
    with pytest.raises(BadInput, match="does not list the tokens of the model"):
        from_teacher_ids(plain, tmp_path / "student")


def test_unknown_tokens_are_counted_as_trained_and_as_deployed():
    tokenizer = tiny_tokenizer([*SPECIAL, "good", "go", "##od", "bad"])
    kept = torch.tensor([0, 1, 2, 3, 4, 6, 7])  # without good and bad
    share = unknown_share(tokenizer, smaller_tokenizer(tokenizer, kept), kept, ["good go", "bad xyz", "go"])
    assert share["tokens"] == 4 + 4 + 3
    assert share["tokens_after"] == 5 + 4 + 3  # good becomes go ##od
    assert share["unknown_before"] == pytest.approx(1 / 11)  # xyz
    assert share["unknown_looked_up"] == pytest.approx(3 / 11)  # good, bad, xyz
    assert share["unknown_after"] == pytest.approx(2 / 12)  # bad, xyz
    assert share["same"] == pytest.approx(2 / 3)
