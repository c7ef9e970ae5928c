"""How a model is served. Stands alone"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Settings(NamedTuple):
    """How a model is served."""

    model: Path
    host: str = "127.0.0.1"
    port: int = 8000
    batch: int = 32  # examples of a batch
    wait_ms: float = 0.0  # that an example waits for others
    max_mb: float = 16.0  # of a request
    max_size: int | None = None  # of an example, in what its modality counts; None: what that thinks right
    teacher: Path | None = None  # is asked where the student is less sure than the threshold
    threshold: float | None = None
