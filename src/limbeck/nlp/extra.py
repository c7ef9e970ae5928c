"""Transformers, for the modules that need it; or a sentence that says how to get it."""

from __future__ import annotations

import logging

from ..errors import not_installed


def _worth_telling(record: logging.LogRecord) -> bool:
    """Not what torchao 0.18, which transformers imports where it is installed, calls in a way that torch 2.15 deprecates."""
    return "Calling register_constant() on Enum subclasses is deprecated" not in record.getMessage()


logging.getLogger("torch.utils._pytree").addFilter(_worth_telling)
try:
    import tokenizers
    import transformers
    from transformers.modeling_outputs import SequenceClassifierOutput
except ModuleNotFoundError as missing:
    raise not_installed("models of transformers", missing, "text") from missing

__all__ = ["SequenceClassifierOutput", "tokenizers", "transformers"]
