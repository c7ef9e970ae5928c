"""Limbeck: knowledge distillation as a finished tool.

``import limbeck`` is quick: torch is imported when something that needs it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .api import Distilled, distill
    from .errors import BadInput, LimbeckError
    from .objectives import functional
    from .objectives.modules import KD, CrossEntropy
    from .recipe import Preprocess, Targets, Train, Views

__all__ = [
    "KD",
    "BadInput",
    "CrossEntropy",
    "Distilled",
    "LimbeckError",
    "Preprocess",
    "Targets",
    "Train",
    "Views",
    "distill",
    "functional",
]

_HOMES = {
    "distill": "api",
    "Distilled": "api",
    "BadInput": "errors",
    "LimbeckError": "errors",
    "KD": "objectives.modules",
    "CrossEntropy": "objectives.modules",
    "functional": "objectives.functional",
    "Preprocess": "recipe",
    "Targets": "recipe",
    "Train": "recipe",
    "Views": "recipe",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'limbeck' has no attribute '{name}'")
    module = import_module(f".{_HOMES[name]}", __name__)
    return module if name == "functional" else getattr(module, name)
