"""Tokenised texts in memory, each with a stable id, and their splits.

Shapes: N examples, T tokens of all of them, B batch, L positions, K classes, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .. import randomness
from ..data.examples import Identified, check_groups
from ..data.groups import Groups, taken
from ..data.ids import Text, text_ids
from ..errors import BadInput
from ..models.identity import PROBES
from .pairs import SEGMENTS, segment_kinds, separator

_NO_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Vocabulary:
    """What has to be known of a tokenizer once the texts are tokens."""

    size: int  # V, added tokens included
    pad: int
    special: frozenset[int]  # ids that no view touches: [CLS], [SEP], [PAD], [UNK] ...
    mask: int | None = None
    separator: int | None = None  # of pairs: what stands after the first side, and nowhere before it
    segments: int = 0  # of pairs: how many segment ids tell the sides apart; 0: none do
    segment_pad: int = 0  # the segment id of padding

    @staticmethod
    def of(tokenizer: Any, *, pairs: bool = False) -> Vocabulary:
        """That of a Hugging Face tokenizer. Where it has no padding token, its end-of-text token takes its place.

        What is of ``pairs`` is left out where the texts are none.
        """
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        if pad is None:
            raise BadInput("the tokenizer has neither a padding nor an end-of-text token: give it one of them.")
        special = frozenset((*tokenizer.all_special_ids, pad))
        known = Vocabulary(len(tokenizer), pad, special, tokenizer.mask_token_id)
        if not pairs:
            return known
        kinds = segment_kinds(tokenizer)
        return dataclasses.replace(
            known,
            separator=separator(tokenizer),
            segments=kinds,
            segment_pad=tokenizer.pad_token_type_id if kinds else 0,
        )


@dataclass(frozen=True, eq=False)
class TextExamples(Identified):
    """Texts as tokens, one after another, with their labels and ids.

    ``tokens`` (T,) int32, special ones included; ``offsets`` (N + 1,) int64: text n is ``tokens[offsets[n] :
    offsets[n + 1]]``; ``labels`` (N,) int64 class numbers, (N, K) float32 of 0 and 1 where a text may have several, or
    None; ``ids`` (N,) int64, at least 0, no two equal; ``texts``: N strings, or pairs of them, as they were read;
    ``groups`` of N examples, or None where none are known; ``segments`` (T,) int8, the segment id of each token, or None.
    Raises ``BadInput`` where two ids are equal and ``ValueError`` where shapes or types do not fit one another.
    """

    tokens: Tensor
    offsets: Tensor
    labels: Tensor | None
    ids: Tensor
    texts: tuple[Text, ...]
    groups: Groups | None = None
    segments: Tensor | None = None

    def __post_init__(self) -> None:
        count = len(self.texts)
        if self.tokens.ndim != 1 or self.tokens.dtype != torch.int32:
            raise ValueError(f"tokens must be (T,) int32, not {tuple(self.tokens.shape)} {self.tokens.dtype}")
        if self.segments is not None and (
            self.segments.shape != self.tokens.shape or self.segments.dtype != torch.int8
        ):
            raise ValueError(f"segments must be (T,) int8, not {tuple(self.segments.shape)} {self.segments.dtype}")
        if self.offsets.shape != (count + 1,) or self.offsets.dtype != torch.int64:
            raise ValueError(f"offsets must be ({count + 1},) int64, not {tuple(self.offsets.shape)}")
        if self.offsets.device.type == "cpu" and (
            int(self.offsets[0]) != 0 or int(self.offsets[-1]) != len(self.tokens) or (self.offsets.diff() < 1).any()
        ):
            raise ValueError("offsets must rise from 0 to the number of tokens, by at least one a text")
        kinds = {1: torch.int64, 2: torch.float32}
        if (labels := self.labels) is not None and (
            len(labels) != count or labels.ndim not in kinds or labels.dtype != kinds[labels.ndim]
        ):
            raise ValueError(
                f"labels must be ({count},) int64 or ({count}, K) float32, not {tuple(labels.shape)} {labels.dtype}"
            )
        self._check_ids(count)
        check_groups(self.groups, count)

    @cached_property
    def lengths(self) -> Tensor:
        """Tokens of each text, (N,) int64."""
        return self.offsets.diff()

    def take(self, index: Tensor) -> TextExamples:
        """The examples at positions ``index`` (B,) int64, in that order; a position may not come twice."""
        length_B = self.lengths[index]
        place = _places(self.offsets[index], length_B)
        return TextExamples(
            tokens=self.tokens[place],
            offsets=_offsets(length_B),
            labels=None if self.labels is None else self.labels[index],
            ids=self.ids[index],
            texts=tuple(self.texts[row] for row in index.tolist()),
            groups=taken(self.groups, index),
            segments=None if self.segments is None else self.segments[place],
        )

    def to(self, device: torch.device | str) -> TextExamples:
        """The same examples on a device; the strings stay where they are."""
        labels, segments = (None if one is None else one.to(device) for one in (self.labels, self.segments))
        tokens, offsets, ids = (one.to(device) for one in (self.tokens, self.offsets, self.ids))
        groups = None if self.groups is None else self.groups.to(device)
        return TextExamples(tokens, offsets, labels, ids, self.texts, groups, segments)

    def padded(self, index_B: Tensor, pad: int) -> tuple[Tensor, Tensor]:
        """Tokens (B, L) int64, padded on the right to the longest of these texts, and which of them are there (bool).

        Of no texts at all, which a part of a small batch may be, L is 1.
        """
        at_BL, there_BL = self._places_in(index_B)
        return self.tokens[at_BL].long().masked_fill(~there_BL, pad), there_BL

    def padded_segments(self, index_B: Tensor, pad: int) -> Tensor | None:
        """The segment ids (B, L) int64 of the tokens that :meth:`padded` gives, where there are any."""
        if self.segments is None:
            return None
        at_BL, there_BL = self._places_in(index_B)
        return self.segments[at_BL].long().masked_fill(~there_BL, pad)

    def _places_in(self, index_B: Tensor) -> tuple[Tensor, Tensor]:
        """Where the tokens of these texts stand among all, (B, L), and which of those are theirs (bool)."""
        length_B = self.lengths[index_B]
        place_L = torch.arange(int(length_B.max()) if len(length_B) else 1, device=self.tokens.device)
        there_BL = place_L < length_B[:, None]
        return (self.offsets[index_B][:, None] + place_L).clamp(max=len(self.tokens) - 1), there_BL


def from_tokens(
    token_lists: Sequence[Sequence[int]],
    labels: Tensor | None,
    ids: Tensor,
    texts: Sequence[Text],
    groups: Groups | None = None,
    segment_lists: Sequence[Sequence[int]] | None = None,
) -> TextExamples:
    """Examples from the tokens of each text, and their segment ids where they have any."""
    flat = torch.tensor([token for tokens in token_lists for token in tokens], dtype=torch.int32)
    lengths = torch.tensor([len(tokens) for tokens in token_lists], dtype=torch.int64)
    segments = None
    if segment_lists is not None:
        segments = torch.tensor([kind for segments in segment_lists for kind in segments], dtype=torch.int8)
    return TextExamples(flat, _offsets(lengths), labels, ids, tuple(texts), groups, segments)


def joined(first: TextExamples, second: TextExamples, labels: Tensor | None) -> TextExamples:
    """The examples of both, one after the other, with these labels."""
    segments = None
    if first.segments is not None and second.segments is not None:
        segments = torch.cat([first.segments, second.segments])
    return TextExamples(
        tokens=torch.cat([first.tokens, second.tokens]),
        offsets=torch.cat([first.offsets, second.offsets[1:] + len(first.tokens)]),
        labels=labels,
        ids=torch.cat([first.ids, second.ids]),
        texts=first.texts + second.texts,
        segments=segments,
    )


def _offsets(length_N: Tensor) -> Tensor:
    return torch.cat([length_N.new_zeros(1), length_N.cumsum(0)])


def _places(start_B: Tensor, length_B: Tensor) -> Tensor:
    """Where the tokens of texts that start there, so long, stand among all tokens: (their number,) int64."""
    first_B = _offsets(length_B)[:-1]
    total = torch.arange(int(length_B.sum()), device=start_B.device)
    return total + (start_B - first_B).repeat_interleave(length_B)


def letters_ids(texts: Sequence[Text]) -> Tensor:
    """A hash (N,) int64 of each text's letters and digits without case: equal where only spacing and the like differ."""

    def reduced(text: str) -> str:
        # a text without any, such as ":-)", stands for itself
        return _NO_LETTERS.sub("", text.casefold()) or text.strip()

    return text_ids(
        [reduced(text) if isinstance(text, str) else (reduced(text[0]), reduced(text[1])) for text in texts], "texts"
    )


def probe_texts(vocabulary: int, length: int, segments: int = 0) -> dict[str, Tensor]:
    """Fixed tokens and a mask, (4, length) int64, every text one shorter than the last; the same on every machine.

    With so many kinds of ``segments`` a text has all of them, one after another.
    """
    places = torch.arange(PROBES * length)
    tokens = (randomness.uniform(0, places, 0, "models.probe").double() * vocabulary).long().clamp(max=vocabulary - 1)
    there = torch.arange(length) < (length - torch.arange(PROBES)).clamp(min=1)[:, None]
    inputs = {"input_ids": tokens.view(PROBES, length), "attention_mask": there.long()}
    if segments:
        inputs[SEGMENTS] = (torch.arange(length) * segments // length).expand(PROBES, length).contiguous()
    return inputs
