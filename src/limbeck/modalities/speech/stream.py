"""Sound that comes block by block, and what a model says of it as it comes. Stands alone.

A model that hears no future is asked about what is new, with as much sound before it as its answers depend on: it then says what it says
of the whole file. Of any other keyword model the last window is asked, again and again.

Shapes: S samples, L frames of answers, V symbols, C classes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...models.exported import softmax

Ask = Callable[[np.ndarray], np.ndarray]
"""Samples (S,) to logits, (C,) of the whole or (L, V) of its frames."""


class Frames(NamedTuple):
    """How a model parts its sound, in samples: a frame of answers ``every`` so many, the first after ``first`` of them, each dependent on
    ``before`` frames of answers before it."""

    every: int
    first: int
    before: int


class Growing:
    """What was heard so far, of which no more is kept than is asked for again."""

    def __init__(self) -> None:
        self.samples = np.zeros(0, np.float32)
        self.start = 0  # of what is kept, counted from the beginning of the stream

    @property
    def end(self) -> int:
        return self.start + len(self.samples)

    def add(self, block_S: np.ndarray) -> None:
        self.samples = np.concatenate([self.samples, block_S])

    def keep_from(self, place: int) -> None:
        if place > self.start:
            self.samples, self.start = self.samples[place - self.start :], place


class CausalFrames:
    """Frames of answers that depend on the sound before them alone: those of a stream are those of the file.

    ``ask`` answers (L, V); it is asked whenever ``at_once`` more frames can be told.
    """

    def __init__(self, ask: Ask, frames: Frames, at_once: int) -> None:
        self.ask, self.frames, self.at_once = ask, frames, at_once
        self.heard, self.told = Growing(), 0

    def feed(self, block_S: np.ndarray, last: bool = False) -> np.ndarray | None:
        """The logits (L, V) of the frames that are new, in their order; None where there is none yet."""
        self.heard.add(block_S)
        every, first, before = self.frames
        known = max(0, (self.heard.end - first) // every + 1)
        if known - self.told < (1 if last else self.at_once):
            return None
        begin = max(0, self.told - before)
        self.heard.keep_from(begin * every)
        logits_LV = self.ask(self.heard.samples[: (known - 1 - begin) * every + first])[self.told - begin :]
        self.told = known
        return logits_LV


class CausalMean:
    """The mean over frames of answers that depend on the sound before them alone, over the last ``window`` of them.

    ``ask`` answers (C,), the mean over all frames of what it is given; of the new ones it is what remains of their sum without that of
    those before them.
    """

    def __init__(self, ask: Ask, frames: Frames, at_once: int, window: int) -> None:
        self.ask, self.frames, self.at_once, self.window = ask, frames, at_once, window
        self.heard, self.told = Growing(), 0
        self.sums: deque[tuple[int, np.ndarray]] = deque()

    def feed(self, block_S: np.ndarray, last: bool = False) -> np.ndarray | None:
        """The logits (1, C) by now; None where nothing is new."""
        self.heard.add(block_S)
        every, first, before = self.frames
        known = max(0, (self.heard.end - first) // every + 1)
        if known - self.told < (1 if last else self.at_once):
            return None
        begin = max(0, self.told - before)
        self.heard.keep_from(begin * every)
        new = self._sum(known - begin) - self._sum(self.told - begin)
        self.sums.append((known - self.told, new))
        self.told = known
        while sum(count for count, _ in self.sums) - self.sums[0][0] >= self.window:
            self.sums.popleft()
        return np.sum([one for _, one in self.sums], axis=0)[None] / sum(count for count, _ in self.sums)

    def _sum(self, count: int) -> np.ndarray:
        if not count:
            return np.zeros(())
        every, first, _ = self.frames
        return count * self.ask(self.heard.samples[: (count - 1) * every + first]).astype(np.float64)


class Sliding:
    """The last ``window`` samples, asked about each time that ``every`` are new; silence before the beginning. ``ask`` answers (C,)."""

    def __init__(self, ask: Ask, window: int, every: int) -> None:
        self.ask, self.window, self.every = ask, window, every
        self.last, self.new = np.zeros(window, np.float32), 0

    def feed(self, block_S: np.ndarray, last: bool = False) -> np.ndarray | None:
        """The logits (1, C) by now; None where too little is new."""
        self.last = np.concatenate([self.last, block_S])[-self.window :]
        self.new += len(block_S)
        if self.new < (1 if last else self.every):
            return None
        self.new = 0
        return self.ask(self.last)[None]


class Words:
    """Words of classes: one is heard where its probability reaches a threshold under which it was, or another's, just before."""

    def __init__(self, names: tuple[str, ...], threshold: float) -> None:
        self.names, self.threshold, self.was = names, threshold, -1

    def of(self, logits_1C: np.ndarray) -> str:
        """The word that is new, with its probability; empty where none is."""
        shares_C = softmax(logits_1C)[0]
        best = int(shares_C.argmax())
        now = best if shares_C[best] >= self.threshold else -1
        new, self.was = now not in (-1, self.was), now
        return f"{self.names[now]} ({shares_C[now]:.0%})" if new else ""


class Letters:
    """The likeliest path of frames that come bit by bit, as text."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names, self.was = names, 0

    def of(self, logits_LV: np.ndarray) -> str:
        """The text that is new."""
        text = ""
        for best in logits_LV.argmax(axis=1):
            text += self.names[best] if best not in (0, self.was) else ""
            self.was = int(best)
        return text
