"""Segment ids: which models read those that a tokenizer gives to the sides of a pair."""

from __future__ import annotations

import inspect
from typing import Any

from .pairs import SEGMENTS, segment_kinds
from .vocabulary import inner


def segments_read(model: Any, tokenizer: Any) -> int:
    """How many kinds of segment id ``tokenizer`` gives to pairs, where ``model`` has an embedding for each; else 0.

    RoBERTa has one kind alone and DistilBERT none: they tell the sides apart by separators. So do students without
    attention (:mod:`.text_small`), whatever they are called with.
    """
    model = inner(model)
    kinds = segment_kinds(tokenizer)
    if not kinds or SEGMENTS not in inspect.signature(model.forward).parameters:
        return 0
    if not hasattr(model, "config"):  # a person's own, which says by its argument that it reads them
        return kinds
    # XLNet has no table of them, and tells kinds from one another
    there = kinds if model.config.model_type == "xlnet" else getattr(model.config, "type_vocab_size", 0)
    return kinds if there >= kinds else 0
