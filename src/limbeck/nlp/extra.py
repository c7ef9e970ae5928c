"""Transformers, for the modules that need it; or a sentence that says how to get it."""

from __future__ import annotations

from ..errors import not_installed

try:
    import tokenizers
    import transformers
    from transformers.modeling_outputs import SequenceClassifierOutput
except ModuleNotFoundError as missing:
    raise not_installed("text models", missing, "text") from missing

__all__ = ["SequenceClassifierOutput", "tokenizers", "transformers"]
