"""A training run's state on disk: whole or absent, and never unpickled."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from ..errors import BadInput
from ..files import atomic_path

# Bumped by hand when the meaning of what is saved changes; an older checkpoint is then refused.
CHECKPOINT_VERSION = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values atomically. Raises :class:`BadInput` where the disk is full."""
    # Serialised in memory first: torch's own error for a full disk is not an OSError and does not say so.
    buffer = io.BytesIO()
    torch.save({"version": CHECKPOINT_VERSION, **state}, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load(path: Path) -> dict[str, Any] | None:
    """What :func:`save` wrote, on the CPU; None where there is nothing. Raises :class:`BadInput` if damaged."""
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
            if (name := archive.testzip()) is not None:
                raise ValueError(f"wrong checksum of {name}")
        state = torch.load(path, map_location="cpu", weights_only=True)
        version = state["version"]
    except Exception as error:
        raise BadInput(
            f"the checkpoint {path} is damaged ({type(error).__name__}): delete it, and the stage starts from its beginning."
        ) from error
    if version != CHECKPOINT_VERSION:
        raise BadInput(
            f"the checkpoint {path} was written by another version of limbeck: delete it, and the stage starts again."
        )
    return state
