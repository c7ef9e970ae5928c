"""What a page gives a model of texts: JavaScript that does as ``predict.py`` does, and the library that splits texts into tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LIBRARIES = ("@huggingface/tokenizers",)
"""Of npm (:data:`limbeck.serving.npm.PACKAGES`)."""


def beside(said: Mapping[str, Any]) -> tuple[str, ...]:
    """The files beside a model that its front end reads; ``said`` is what it says of itself."""
    return (said["input"]["tokenizer"],)
