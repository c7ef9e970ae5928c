"""Temperatures and weights that change over a run: constant, linear, cosine, or at once."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    step: int  # from 0
    steps_per_epoch: int
    total_steps: int

    @property
    def epoch(self) -> float:
        """Epochs behind us, with the fraction."""
        return self.step / max(self.steps_per_epoch, 1)


@dataclass(frozen=True)
class Linear:
    """From ``start`` to ``end`` in equal steps over the first ``epochs`` (None: the whole run), and ``end`` thereafter.

    ``Linear(0, 1, epochs=20)`` is a warm-up.
    """

    start: float
    end: float
    epochs: float | None = None

    def at(self, progress: Progress) -> float:
        return self.start + (self.end - self.start) * _share(progress, self.epochs)


@dataclass(frozen=True)
class Cosine:
    """From ``start`` to ``end`` along half a cosine over the first ``epochs`` (None: the whole run)."""

    start: float
    end: float
    epochs: float | None = None

    def at(self, progress: Progress) -> float:
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * _share(progress, self.epochs))) / 2


@dataclass(frozen=True)
class Step:
    """``start`` for the first ``epochs``, and ``end`` thereafter.

    A term of weight ``Step(1, 0, epochs=2)`` counts for two epochs and is not worked out after them; one of weight
    ``Step(0, 1, epochs=2)`` takes over there.
    """

    start: float
    end: float
    epochs: float

    def at(self, progress: Progress) -> float:
        return self.start if progress.step < self.epochs * progress.steps_per_epoch else self.end


Scheduled = float | Linear | Cosine | Step
"""A number, or how it changes."""


def now(value: Scheduled, progress: Progress | None) -> float:
    """The number at that point of a run; a schedule's start where nobody says how far the run is."""
    if isinstance(value, Linear | Cosine | Step):
        return value.start if progress is None else value.at(progress)
    return value


def extremes(value: Scheduled) -> tuple[float, ...]:
    """What bounds the values it takes: for checking a setting before the run."""
    return (value.start, value.end) if isinstance(value, Linear | Cosine | Step) else (value,)


def _share(progress: Progress, epochs: float | None) -> float:
    steps = progress.total_steps - 1 if epochs is None else epochs * progress.steps_per_epoch
    return 1.0 if steps <= 0 else min(progress.step / steps, 1.0)
