"""What a page gives a model of images: JavaScript that does as ``predict.py`` does, and the libraries that it reads files with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LIBRARIES = ("fast-png", "@jsquash/jpeg")
"""Of npm (:data:`limbeck.serving.npm.PACKAGES`)."""


def beside(said: Mapping[str, Any]) -> tuple[str, ...]:
    """The files beside a model that its front end reads; ``said`` is what it says of itself."""
    del said
    return ()
