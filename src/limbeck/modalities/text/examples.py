"""The splits of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...data.examples import SplitsOf
from ...errors import BadInput
from ...nlp.tokens import TextExamples, Vocabulary


@dataclass(frozen=True, eq=False, kw_only=True)
class TextSplits(SplitsOf[TextExamples]):
    """Texts. ``fingerprint`` covers tokens and segment ids too, and so the tokenizer and where texts were cut off."""

    vocabulary: Vocabulary
    tokenizer: Any = None  # that made the tokens
    max_length: int = 128  # tokens of a text, special ones included
    pair: tuple[str, str] | None = None  # of pairs: what their sides are called

    @property
    def multi_label(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.train.labels is not None and self.train.labels.ndim == 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for split, examples in (("train", self.train), ("validation", self.validation), ("transfer", self.transfer)):
            if examples is not None and int(examples.tokens.max()) >= self.vocabulary.size:
                raise BadInput(
                    f"split '{split}' has token {int(examples.tokens.max())}, but the vocabulary ends at "
                    f"{self.vocabulary.size - 1}: tokenise with the tokenizer that the vocabulary is of."
                )
