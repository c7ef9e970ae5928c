"""The objectives as plain functions on tensors, for a loop of one's own: ``from limbeck.functional import kd``."""

from .objectives import functional as _functional
from .objectives.functional import *  # noqa: F403

__all__ = _functional.__all__  # pyright: ignore[reportUnsupportedDunderAll]
