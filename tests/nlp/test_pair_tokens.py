"""Claims about pairs in tokens: they are transformers' own, whatever the tokenizer, its layout and where pairs are cut off."""

from __future__ import annotations

import random
import time

import pytest

pytest.importorskip("transformers")

import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, processors

from limbeck.modalities.text.predict import Metadata, model_inputs
from limbeck.nlp.pairs import encoded, longest_first, segment_kinds, separator
from tests.helpers.text_pair_runs import tokenizer_of_pairs
from tests.helpers.tiny_text import SPECIAL, WORDS, tiny_tokenizer


def roberta_like():
    """Byte-level BPE with two separators between the sides, and no segment ids."""
    backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(WORDS, trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=512, **{f"{name}_token": token for name, token in names.items()}
    )


def with_layout(pair: str, **settings):
    """The tiny tokenizer with another template for pairs."""
    tokenizer = tiny_tokenizer(model_input_names=["input_ids", "token_type_ids", "attention_mask"], **settings)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair=pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


KINDS = {
    "bert": tokenizer_of_pairs(),
    "distilbert": tokenizer_of_pairs(segments=False),
    "roberta": roberta_like(),
    "xlnet": with_layout("$A [SEP] $B:1 [SEP]:1 [CLS]:2", padding_side="left", pad_token_type_id=3),
    "from the left": with_layout("[CLS] $A [SEP] $B:1 [SEP]:1", truncation_side="left"),
}


def some_pairs(count: int, longest: int) -> list[tuple[str, str]]:
    draw = random.Random(0)
    sides = [
        " ".join(draw.choices([*WORDS, "unbright", "filmly", "?!"], k=draw.randint(1, longest)))
        for _ in range(2 * count)
    ]
    return list(zip(sides[::2], sides[1::2], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_ids_and_segment_ids_are_those_of_the_tokenizer_at_every_length(kind: str) -> None:
    tokenizer, pairs = KINDS[kind], some_pairs(80, 12)
    firsts, seconds = [one for one, _ in pairs], [two for _, two in pairs]
    for max_length in (6, 7, 12, 19, 64):
        wanted = tokenizer(firsts, seconds, truncation=True, max_length=max_length)
        ours = encoded(tokenizer, pairs, max_length)
        assert ours.tokens == wanted["input_ids"]
        assert ours.segments == wanted.get("token_type_ids")
        whole = [len(ids) for ids in tokenizer(firsts, seconds)["input_ids"]]
        assert ours.cut == sum(length > max_length for length in whole)


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_that_stands_alone_gives_a_model_the_same(kind: str) -> None:
    tokenizer, pairs = KINDS[kind], some_pairs(40, 12)
    given = tokenizer(
        [one for one, _ in pairs], [two for _, two in pairs], truncation=True, max_length=15, padding=True
    )
    alone = tokenizers.Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    alone.enable_truncation(15, direction=tokenizer.truncation_side)
    alone.enable_padding(
        direction=tokenizer.padding_side, pad_id=tokenizer.pad_token_id, pad_type_id=tokenizer.pad_token_type_id
    )
    segments = "token_type_ids" in tokenizer.model_input_names
    metadata = Metadata("", ("a",), False, 15, len(tokenizer), "", ("one", "two"), segments)
    made = model_inputs(alone, pairs, metadata)
    assert {name: column.tolist() for name, column in made.items()} == {name: given[name] for name in given}
    assert list(made) == ["input_ids", "attention_mask", *(["token_type_ids"] if segments else [])]


def test_two_long_sides_take_no_longer_than_their_length() -> None:
    """The library's own truncation makes (20,000 / 5) ** 2 pieces of this pair, which end in the memory."""
    long = " ".join(random.Random(0).choices(WORDS, k=20_000))
    start = time.monotonic()
    tokens, segments, cut = encoded(KINDS["bert"], [(long, long)], 13)
    assert (len(tokens[0]), segments, cut) == (13, [[0] * 7 + [1] * 6], 1)
    assert time.monotonic() - start < 5


def test_the_longer_side_gives_way_token_by_token() -> None:
    for first in range(9):
        for second in range(9):
            one, two = first, second
            for room in range(first + second, -1, -1):
                while one + two > room:  # of two sides alike the first gives way
                    one, two = (one - 1, two) if one > two or (one == two and (first <= second)) else (one, two - 1)
                assert longest_first(first, second, room) == (one, two), (first, second, room)


def test_what_tells_the_sides_apart_is_read_off_the_tokenizer() -> None:
    assert {kind: (separator(one), segment_kinds(one)) for kind, one in KINDS.items()} == {
        "bert": (3, 2), "distilbert": (3, 0), "roberta": (2, 0), "xlnet": (3, 3), "from the left": (3, 2),
    }  # fmt: skip
    assert separator(with_layout("$A $B")) is None
    assert separator(with_layout("[SEP] $A [SEP] $B:1")) is None  # it stands before the first side too
    assert SPECIAL[3] == "[SEP]"
