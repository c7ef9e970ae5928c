"""A trained classifier of texts as a person calls it: texts in, logits out.

Shapes: N texts, B of them at a time, L tokens, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...data.ids import Text
from ...errors import BadInput
from ...models.inference import ask
from ...nlp.pairs import SEGMENTS, are_pairs, encoded
from .predict import BATCH


class Classifier(nn.Module):
    """Logits (N, C) of texts, or of pairs of them: what the exported model answers to the same.

    Attributes:
        model: the bare module, called with ``input_ids`` and ``attention_mask`` (B, L), and ``token_type_ids`` where
            ``segments`` says so; a transformers model, or a person's own.
        tokenizer: of its own ids.
        classes: their names, in the order of the logits.
        max_length: tokens at which texts are cut off, special ones included.
        multi_label: whether a text may have several of the classes: each logit is then one of yes against no.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        classes: Sequence[str],
        max_length: int,
        multi_label: bool = False,
        segments: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.classes = model, tokenizer, tuple(classes)
        self.max_length, self.multi_label, self.segments = max_length, multi_label, segments

    def forward(self, texts: str | Sequence[Text]) -> Tensor:
        """Logits (N, C), float32, of N texts or pairs of texts; of one, (1, C).

        Raises :class:`BadInput` where these are no texts.
        """
        given = [texts] if isinstance(texts, str) else list(texts)
        _check(given)
        logits = []
        for start in range(0, len(given), BATCH):
            said = encoded(self.tokenizer, given[start : start + BATCH], self.max_length)
            inputs = {"input_ids": said.tokens}
            if self.segments and said.segments is not None:
                inputs[SEGMENTS] = said.segments
            padded = self.tokenizer.pad(inputs, return_attention_mask=True, return_tensors="pt", verbose=False)
            logits.append(ask(self.model, {name: padded[name] for name in (*inputs, "attention_mask")}).float().cpu())
        return torch.cat(logits) if logits else torch.zeros(0, len(self.classes))

    def predict(self, texts: str | Sequence[Text]) -> list[str] | list[tuple[str, ...]]:
        """The class of each text; where a text may have several, those that hold."""
        logits_NC = self(texts)
        if self.multi_label:
            return [tuple(self.classes[at] for at in row.nonzero().flatten().tolist()) for row in logits_NC > 0]
        return [self.classes[at] for at in logits_NC.argmax(dim=1).tolist()]


def _check(texts: Sequence[Any]) -> None:
    pairs = are_pairs(texts)
    for place, text in enumerate(texts):
        sides = text if pairs and isinstance(text, (tuple, list)) else (text,)
        if len(sides) != 1 + pairs or not all(isinstance(side, str) for side in sides):
            what = "pairs of texts" if pairs else "texts"
            raise BadInput(f"place {place} of {len(texts)} holds {str(text)[:60]!r}: {what} are needed throughout.")
