"""What is classified where texts are: one string, or a pair of them, in the tokens of a Hugging Face tokenizer. No torch.

The tokenizer itself puts its special tokens round the sides of a pair and gives their segment ids. Cutting a pair off is
done here, by the rule of ``transformers``' ``longest_first``: the library's own makes all combinations of what it cut from
either side, whether anybody asks for them or not, so that two long sides end in gigabytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..data.ids import Text

SEGMENTS = "token_type_ids"
"""What transformers calls the segment ids of tokens, which some tokenizers give and some models read."""


class Encoded(NamedTuple):
    """Texts as tokens: ids, segment ids (None: of single texts, or where the tokenizer gives none), and how many texts
    were cut off."""

    tokens: list[list[int]]
    segments: list[list[int]] | None
    cut: int


def are_pairs(texts: Sequence[Text] | None) -> bool:
    """Whether these are pairs; all are, or none."""
    return bool(texts) and not isinstance(texts[0], str)


def sides(texts: Sequence[Text]) -> tuple[list[str], ...]:
    """What a tokenizer is called with: the texts, or of pairs all first sides and all second ones."""
    if not are_pairs(texts):
        return ([str(text) for text in texts],)
    return [pair[0] for pair in texts], [pair[1] for pair in texts]


def encoded(tokenizer: Any, texts: Sequence[Text], max_length: int) -> Encoded:
    """The tokens of ``texts``, special ones included, at most ``max_length`` of each: what the fast ``tokenizer`` gives
    with ``truncation=True``."""
    if not are_pairs(texts):
        given = tokenizer(
            *sides(texts),
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        cut = sum(len(one) == max_length and bool(one.overflowing) for one in given.encodings)
        return Encoded(given["input_ids"], None, cut)
    whole = tokenizer(*sides(texts), truncation=False, padding=False, return_attention_mask=False, verbose=False)
    last = tokenizer.truncation_side == "left"
    kept = [_kept(one, max_length, last) for one in whole.encodings]
    tokens = [_at(one.ids, places) for one, places in zip(whole.encodings, kept)]
    segments = None
    if SEGMENTS in tokenizer.model_input_names:
        segments = [_at(one.type_ids, places) for one, places in zip(whole.encodings, kept)]
    return Encoded(tokens, segments, sum(places is not None for places in kept))


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens stay of two sides that have ``room`` together: the longer one gives way until both are alike.

    >>> longest_first(3, 10, 8), longest_first(10, 10, 7)
    ((3, 5), (3, 4))
    """
    if first + second <= room:
        return first, second
    short = min(first, second, room // 2)
    return (short, room - short) if first <= second else (room - short, short)


def special_tokens(tokenizer: Any) -> tuple[int, int]:
    """How many special tokens stand in a text, and how many in a pair."""
    return tokenizer.num_special_tokens_to_add(), tokenizer.num_special_tokens_to_add(pair=True)


def separator(tokenizer: Any) -> int | None:
    """The token that stands after the first side of a pair and nowhere before it; None where there is no such token."""
    one = _sample(tokenizer)
    before, after = one.sequence_ids.index(0), one.sequence_ids.index(1)
    between = one.ids[before:after][one.sequence_ids[before:after].count(0) :]
    return between[0] if between and between[0] not in one.ids[:before] else None


def segment_kinds(tokenizer: Any) -> int:
    """How many segment ids the tokenizer tells the sides of a pair apart by; 0 where it does not."""
    kinds = max(_sample(tokenizer).type_ids) + 1 if SEGMENTS in tokenizer.model_input_names else 0
    return kinds if kinds > 1 else 0


def _sample(tokenizer: Any) -> Any:
    return tokenizer(["a text"], ["another"], verbose=False).encodings[0]


def _kept(one: Any, max_length: int, last: bool) -> list[int] | None:
    """The places that stay of a pair's tokens; None: all."""
    if len(one) <= max_length:
        return None
    side_of = one.sequence_ids
    places = [[place for place, side in enumerate(side_of) if side == number] for number in (0, 1)]
    special = len(side_of) - len(places[0]) - len(places[1])
    stay = longest_first(len(places[0]), len(places[1]), max(0, max_length - special))
    gone: set[int] = set()
    for here, count in zip(places, stay):
        gone.update(here[: len(here) - count] if last else here[count:])
    return [place for place in range(len(side_of)) if place not in gone]


def _at(values: list[int], places: list[int] | None) -> list[int]:
    return values if places is None else [values[place] for place in places]
