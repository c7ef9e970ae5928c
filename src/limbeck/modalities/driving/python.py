"""What ``limbeck.distill`` and ``limbeck.load`` know of driving: nothing to distil from a program's own modules and data, since states are driven to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from ...errors import BadInput
from ...sections.recipe import Recipe
from .predict import Metadata

RECIPES: dict[str, type[Recipe]] = {}
OWN: dict[str, tuple[str, ...]] = {}
ARGUMENTS: tuple[tuple[str, str], ...] = ()


def load(folder: Path, metadata: Metadata, *, model: nn.Module | None, trust_code: bool) -> Any:
    """Raises :class:`BadInput`: a driver is published as a graph."""
    raise BadInput(
        f"{folder} holds a driver, which is asked as its ONNX file: limbeck predict {folder} STATE, or predict(...) of the predict.py beside it."
    )
