"""Texts to tokens, once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from ..data.ids import Text
from ..errors import BadInput
from ..progress import Bar
from .pairs import Encoded, encoded, special_tokens
from .tokens import Vocabulary

_BATCH = 1000


class Tokeniser:
    """A fast Hugging Face tokenizer, and where it cuts texts off.

    Args:
        tokenizer: what ``AutoTokenizer.from_pretrained`` gives.
        max_length: tokens of a text, special ones included.
        progress: ``limbeck.progress.bar`` or its like; None: silent.
        pairs: whether texts are pairs.

    Raises:
        BadInput: the tokenizer is not fast, or ``max_length`` more than it was made for, or too few for any word.
    """

    def __init__(self, tokenizer: Any, max_length: int, progress: Bar | None = None, *, pairs: bool = False) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise BadInput("the tokenizer has no fast form (tokenizer.json): save it with one, or take another.")
        if max_length > tokenizer.model_max_length:
            raise BadInput(
                f"data.max_length: {max_length} is more than the {tokenizer.model_max_length} tokens that the teacher's "
                "tokenizer is made for."
            )
        special = special_tokens(tokenizer)[pairs]
        if max_length <= special + pairs:  # either side of a pair keeps a token
            raise BadInput(f"data.max_length: {max_length} leaves no room beside {special} special tokens.")
        self.tokenizer, self.max_length, self.progress = tokenizer, max_length, progress
        self.vocabulary = Vocabulary.of(tokenizer, pairs=pairs)

    def __call__(self, texts: Sequence[Text], split: str) -> Encoded:
        """The tokens of each text, and how many texts were cut off."""
        tokens: list[list[int]] = []
        segments: list[list[int]] = []
        cut = 0
        report = self.progress(len(texts), f"tokenising {split}") if self.progress else nullcontext(lambda n=1: None)
        with report as advance:
            for start in range(0, len(texts), _BATCH):
                batch = encoded(self.tokenizer, texts[start : start + _BATCH], self.max_length)
                tokens += batch.tokens
                segments += batch.segments or []
                cut += batch.cut
                advance(len(batch.tokens))
        return Encoded(tokens, segments if self.vocabulary.segments else None, cut)
