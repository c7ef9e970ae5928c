"""A training run's state on disk: whole or absent, and never unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..errors import LimbeckError
from ..files import atomic_path

# Bumped by hand when the meaning of what is saved changes; an older checkpoint is then refused.
CHECKPOINT_VERSION = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values atomically."""
    with atomic_path(path) as temporary:
        torch.save({"version": CHECKPOINT_VERSION, **state}, temporary)


def load(path: Path) -> dict[str, Any] | None:
    """What :func:`save` wrote, on the CPU; None where there is nothing. Raises :class:`LimbeckError` if damaged."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        version = state["version"]
    except Exception as error:
        raise LimbeckError(
            f"the checkpoint {path} is damaged ({type(error).__name__}): delete it, and the stage starts from its beginning."
        ) from error
    if version != CHECKPOINT_VERSION:
        raise LimbeckError(
            f"the checkpoint {path} was written by another version of limbeck: delete it, and the stage starts again."
        )
    return state
