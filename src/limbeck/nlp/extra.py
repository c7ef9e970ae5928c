"""Transformers, for the modules that need it; or a sentence that says how to get it."""

from __future__ import annotations

from ..errors import BadInput

try:
    import tokenizers
    import transformers
    from transformers.modeling_outputs import SequenceClassifierOutput
except ModuleNotFoundError as missing:
    raise BadInput(
        f"text models need {missing.name}, which is not installed: pip install 'limbeck[text]', or in a copy of the "
        "repository uv run --extra text limbeck ... (pip install '.[text]' without uv)."
    ) from missing

__all__ = ["SequenceClassifierOutput", "tokenizers", "transformers"]
