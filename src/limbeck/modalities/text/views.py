"""Views of texts: the same words with some replaced, masked or left out, as a pure function of (seed, id, view).

The same (id, view) gives the same tokens whatever the batch a text stands in, how far it is padded, and on whatever
device: draws are integers, one for each place of the text's own tokens and each knob. So a stored soft target belongs
to the very tokens that the student sees. View 0 is the text as it is, and so is every view where all knobs are 0.

The knobs of :class:`limbeck.modalities.text.recipe.WordViews` act in this order, each with draws of its own, so that setting one
leaves the others as they were: ``replace`` (by a token drawn as often as it occurs in the training texts), ``mask`` (by
the mask token; also in place of a replacement), ``drop``. They follow the word-level augmentation of Tang et al. 2019
("Distilling Task-Specific Knowledge from BERT into Simple Neural Networks", section 3.3) and EDA (Wei and Zou 2019).

Shapes: B batch, L positions, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import BadInput
from ...nlp.tokens import TextExamples, Vocabulary
from ...randomness import bits, integers, uniform
from .recipe import WordViews

_MOST_DRAWS = 1 << 31


@dataclass(frozen=True)
class Substitutes:
    """What replaces a token: a drawing of the training texts' tokens, and which tokens are never touched.

    ``upto_V`` (V,) int64 counts the tokens up to each id, special ones left out; ``special_V`` (V,) bool. The vocabulary
    names a separator where texts are pairs.
    """

    upto_V: Tensor
    special_V: Tensor
    vocabulary: Vocabulary

    @staticmethod
    def of(train: TextExamples, vocabulary: Vocabulary) -> Substitutes:
        """Those of a training set, on its device; the same in whatever order its texts are stored."""
        special_V = torch.zeros(vocabulary.size, dtype=torch.bool)
        special_V[list(vocabulary.special)] = True
        counts_V = torch.bincount(train.tokens.cpu(), minlength=vocabulary.size).masked_fill(special_V, 0)
        while int(counts_V.sum()) > _MOST_DRAWS:  # one draw has 31 bits; what occurs at all stays possible
            counts_V = (counts_V + 1) // 2
        device = train.tokens.device
        return Substitutes(counts_V.cumsum(0).to(device), special_V.to(device), vocabulary)


class Varied(NamedTuple):
    """Tokens (B, L) int64, which of them are there (B, L) bool, and their segment ids (B, L) int64 where they have any."""

    tokens: Tensor
    there: Tensor
    segments: Tensor | None


def vary(
    views: WordViews,
    seed: int,
    tokens_BL: Tensor,
    there_BL: Tensor,
    ids_B: Tensor,
    view_B: Tensor,
    by: Substitutes,
    segments_BL: Tensor | None = None,
) -> Varied:
    """Each text in its view: (B, L').

    ``tokens_BL`` are padded on the right; L' is smaller than L where dropping makes every text shorter. A text, or either
    side of a pair, keeps at least one token beside its special ones, if it had one.

    Raises ``BadInput`` where tokens are to be masked and the tokenizer has no mask token.
    """
    check(views, by.vocabulary)
    if not (views.replace or views.mask or views.drop) or not len(tokens_BL):
        return Varied(tokens_BL, there_BL, segments_BL)
    # A text's place in its own tokens is drawn for after id and view, so that padding moves nothing.
    text_B1 = bits(seed, ids_B, view_B, "words")[:, None]
    place_1L = torch.arange(tokens_BL.shape[1], device=tokens_BL.device)[None]
    free_BL = there_BL & ~by.special_V[tokens_BL] & (view_B != 0)[:, None]

    def hit(knob: str, rate: float) -> Tensor:
        return free_BL & (uniform(seed, text_B1, place_1L, knob) < rate)

    varied_BL = tokens_BL
    if views.replace and int(by.upto_V[-1]):
        draw_BL = integers(seed, text_B1, place_1L, "substitute", int(by.upto_V[-1]))
        varied_BL = torch.where(
            hit("replace", views.replace), torch.searchsorted(by.upto_V, draw_BL, right=True), varied_BL
        )
    if views.mask:
        assert by.vocabulary.mask is not None
        varied_BL = varied_BL.masked_fill(hit("mask", views.mask), by.vocabulary.mask)
    if not views.drop:
        return Varied(varied_BL, there_BL, segments_BL)
    dropped_BL = hit("drop", views.drop)
    for side_BL in _sides(tokens_BL, free_BL, by.vocabulary.separator):
        dropped_BL &= ~side_BL | (side_BL & ~dropped_BL).any(dim=1, keepdim=True)
    kept_BL = there_BL & ~dropped_BL
    order_BL = torch.argsort((~kept_BL).to(torch.uint8), dim=1, stable=True)[:, : int(kept_BL.sum(1).max())]
    there_BL = kept_BL.gather(1, order_BL)
    if segments_BL is not None:
        segments_BL = segments_BL.gather(1, order_BL).masked_fill(~there_BL, by.vocabulary.segment_pad)
    return Varied(varied_BL.gather(1, order_BL).masked_fill(~there_BL, by.vocabulary.pad), there_BL, segments_BL)


def _sides(tokens_BL: Tensor, free_BL: Tensor, separator: int | None) -> tuple[Tensor, ...]:
    """Those of the ``free_BL`` tokens that belong together: all, or those before and those after the separator."""
    if separator is None:
        return (free_BL,)
    second_BL = (tokens_BL == separator).cumsum(1) > 0
    return free_BL & ~second_BL, free_BL & second_BL


def check(views: WordViews, vocabulary: Vocabulary) -> None:
    """Raises ``BadInput`` for views that texts of this vocabulary cannot have."""
    if views.mask and vocabulary.mask is None:
        raise BadInput("views.mask: the tokenizer has no mask token: use views.replace or views.drop instead.")
