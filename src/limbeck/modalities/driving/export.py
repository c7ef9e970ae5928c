"""A driver as a graph to be exported, its standardisation folded away, and what its file says of itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...interfaces import Exportable, Input
from ...interfaces.exportable import BATCH
from ...version import __version__
from .network import MLP
from .predict import SCHEMA_VERSION
from .simulator import World


def exportable(
    model: nn.Module, *, role: str, classes: tuple[str, ...], numbers: int, world: World | None
) -> Exportable:
    """What takes a ``state`` (batch, numbers) and answers ``logits`` (batch, actions)."""
    metadata: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "task": "control",
        "name": role,
        "classes": list(classes),
        "input": {
            "numbers": numbers,
            "environment": "" if world is None else world.name,
            "settings": {} if world is None else world.said,
        },
        "limbeck_version": __version__,
    }
    state = Input(torch.linspace(-1, 1, 2 * numbers).view(2, numbers), (BATCH, numbers))
    answer = (BATCH, len(classes))
    ours = isinstance(model, MLP)
    return Exportable(
        name=type(model).__name__,
        module=model.folded() if ours else model,
        inputs={"state": state},
        answer=answer,
        metadata=metadata,
        parts=_parts(model, state, answer) if ours else None,
    )


def _parts(model: MLP, state: Input, answer: tuple[str | int, ...]) -> tuple[Exportable, Exportable]:
    """The standardisation in float32 and the layers behind it: 256 levels from -1 to 1 are 1.6 m each, before weights that make much of it."""
    with torch.no_grad():
        standardised = Input(model.standardise(state.example), state.shape)
    front = Exportable("Standardise", model.standardise, {"state": state}, state.shape, {}, says="standardised")
    return front, Exportable("Layers", model.layers, {"standardised": standardised}, answer, {})
