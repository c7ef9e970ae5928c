"""How a graph is shown to ``torch.export``: what of its inputs may vary."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ...interfaces import Exportable


def dynamic_shapes(graph: Exportable, most: Mapping[str, int]) -> tuple[dict[int, Any], ...]:
    """Of each input the dimensions that may vary; ``most`` limits them, by their word, beside what the graph says itself."""
    limits = {**graph.most, **most}
    words = dict.fromkeys(word for one in graph.inputs.values() for word in one.shape if isinstance(word, str))
    free = {word: torch.export.Dim(word, min=1, max=limits.get(word)) for word in words}
    return tuple(
        {place: free[word] for place, word in enumerate(one.shape) if isinstance(word, str)}
        for one in graph.inputs.values()
    )


def of_call(module: nn.Module, shapes: tuple[dict[int, Any], ...]) -> Any:
    """The same as the arguments of a module are told apart: those of one that takes any number of inputs are one."""
    takes = inspect.signature(module.forward).parameters.values()
    return (shapes,) if any(one.kind is one.VAR_POSITIONAL for one in takes) else shapes
