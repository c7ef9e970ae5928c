"""Initial weights from a seed alone, with torch's random state left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .. import randomness


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within: what torch draws on the CPU depends on ``seed`` alone. Afterwards its random state is as it was."""
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which also reseeds the accelerators; those are not restored here.
        torch.default_generator.manual_seed(randomness.torch_seed(seed, "init"))
        yield
