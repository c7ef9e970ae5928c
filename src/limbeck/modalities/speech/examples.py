"""Clips with their labels and ids, and their splits.

Shapes: N clips, P samples of all clips one after another, B batch, S samples of a clip in a batch, T symbols.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...data.examples import Identified, SplitsOf, check_groups
from ...data.groups import Groups, taken
from ...interfaces import IGNORED


@dataclass(frozen=True, eq=False)
class Clips(Identified):
    """Clips of any length with their labels and ids; what training indexes and what views are rendered from.

    ``samples`` (P,) float32 in [-1, 1] are those of all clips, at ``rate`` a second; clip n has ``lengths[n]`` of them (at least
    one) from ``starts[n]`` on, both (N,) int64. ``labels`` are (N,) int64 class ids, (N, T) int64 symbols of an alphabet with
    IGNORED beyond a clip's own, or None; ``ids`` (N,) int64, at least 0, no two equal; ``texts`` the transcripts that symbols
    were made of, as they were read. Raises ``BadInput`` where two ids are equal and ``ValueError`` where shapes or types do not
    fit one another.
    """

    samples: Tensor
    starts: Tensor
    lengths: Tensor
    labels: Tensor | None
    ids: Tensor
    rate: int
    groups: Groups | None = None
    texts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.dtype != torch.float32:
            raise ValueError(f"samples must be (P,) float32, not {tuple(self.samples.shape)} {self.samples.dtype}")
        count = len(self.ids)
        self._check_ids(count)
        check_groups(self.groups, count)
        for name in ("starts", "lengths"):
            tensor: Tensor = getattr(self, name)
            if tensor.shape != (count,) or tensor.dtype != torch.int64:
                raise ValueError(f"{name} must be ({count},) int64, not {tuple(tensor.shape)} {tensor.dtype}")
        if self.texts is not None and len(self.texts) != count:
            raise ValueError(f"texts must be of {count} clips, not {len(self.texts)}")
        labels = self.labels
        if labels is not None and (labels.ndim not in (1, 2) or len(labels) != count or labels.dtype != torch.int64):
            raise ValueError(
                f"labels must be ({count},) or ({count}, T) int64, not {tuple(labels.shape)} {labels.dtype}"
            )

    def take(self, index: Tensor) -> Clips:
        """The clips at positions ``index`` (B,) int64, in that order; a position may not come twice. The samples are shared."""
        texts = None if self.texts is None else tuple(self.texts[at] for at in index.tolist())
        labels = None if self.labels is None else self.labels[index]
        return Clips(
            self.samples,
            self.starts[index],
            self.lengths[index],
            labels,
            self.ids[index],
            self.rate,
            taken(self.groups, index),
            texts,
        )

    def to(self, device: torch.device | str) -> Clips:
        """The same clips on a device."""
        labels = None if self.labels is None else self.labels.to(device)
        groups = None if self.groups is None else self.groups.to(device)
        samples, starts, lengths = (tensor.to(device) for tensor in (self.samples, self.starts, self.lengths))
        return Clips(samples, starts, lengths, labels, self.ids.to(device), self.rate, groups, self.texts)

    def padded(self, index_B: Tensor, samples: int | None) -> tuple[Tensor, Tensor]:
        """The clips at these positions as they are, (B, S) float32, and how many samples (B,) int64 of each are its own.

        With ``samples`` each is put into the middle of a window of so many: zeros before it, one fewer or as many as after it,
        or of a longer clip its middle (:func:`window_start`). With None each begins its row, zeros follow it, and S is the
        longest's.
        """
        lengths_B = self.lengths[index_B]
        if samples is None:
            return self.gathered(index_B, torch.zeros_like(lengths_B), int(lengths_B.max())), lengths_B
        return self.gathered(index_B, window_start(lengths_B, samples), samples), lengths_B.clamp(max=samples)

    def gathered(self, index_B: Tensor, place_B: Tensor, width: int) -> Tensor:
        """(B, ``width``) float32: each clip with its first sample at column ``place_B``, which may be negative; zeros about it."""
        column_BS = torch.arange(width, device=index_B.device) - place_B[:, None]
        inside_BS = (column_BS >= 0) & (column_BS < self.lengths[index_B][:, None])
        at_BS = torch.where(inside_BS, self.starts[index_B][:, None] + column_BS, 0)
        return torch.where(inside_BS, self.samples[at_BS], 0.0)

    def waveform(self, position: int) -> Tensor:
        """The samples (S,) of one clip."""
        start = int(self.starts[position])
        return self.samples[start : start + int(self.lengths[position])]

    @property
    def seconds(self) -> float:
        """How long all of them are together."""
        return int(self.lengths.sum()) / self.rate


def window_start(lengths_B: Tensor, samples: int) -> Tensor:
    """The column (B,) int64 of a window of ``samples`` at which clips of these lengths begin, so that they lie in its middle.

    Half of what is left over, rounded down; for a clip that is longer than the window, minus half of what is cut, rounded down.
    """
    left_B = samples - lengths_B
    return torch.where(left_B >= 0, left_B // 2, -((-left_B) // 2))


def joined(first: Clips, second: Clips, labels: Tensor | None) -> Clips:
    """The clips of both, one after the other, with these labels. Those of one alone have no groups."""
    starts = torch.cat([first.starts, second.starts + len(first.samples)])
    texts = None if first.texts is None or second.texts is None else first.texts + second.texts
    samples, lengths, ids = (torch.cat([getattr(part, name) for part in (first, second)]) for name in ("samples", "lengths", "ids"))  # fmt: skip
    return Clips(samples, starts, lengths, labels, ids, first.rate, None, texts)


def symbols_of(texts: tuple[str, ...], alphabet: tuple[str, ...]) -> Tensor:
    """Texts as numbers in the alphabet, (N, T) int64, IGNORED beyond each; T is the longest's, and at least 1.

    ``KeyError`` for a letter that the alphabet lacks.
    """
    number = {symbol: at for at, symbol in enumerate(alphabet) if at}  # 0 is the blank
    rows = [np.array([number[letter] for letter in text], dtype=np.int64) for text in texts]
    width = max([1, *map(len, rows)])
    labels = torch.full((len(rows), width), IGNORED)
    for at, row in enumerate(rows):
        labels[at, : len(row)] = torch.from_numpy(row)
    return labels


def text_of(symbols_T: Tensor, alphabet: tuple[str, ...]) -> str:
    """What a clip's symbols (T,) spell; IGNORED and the blank spell nothing."""
    return "".join(alphabet[int(symbol)] for symbol in symbols_T if symbol > 0)


def widened(labels: Tensor, width: int) -> Tensor:
    """Symbols (N, T) as (N, ``width``), with IGNORED beyond."""
    return F.pad(labels, (0, width - labels.shape[1]), value=IGNORED)


@dataclass(frozen=True, eq=False, kw_only=True)
class Splits(SplitsOf[Clips]):
    """Clips, all at ``rate`` samples a second.

    ``samples`` is the window that each is put into, None where each keeps its length. ``counted`` says by split, then by
    reason, how many clips are unlike the rest: ``cut`` (longer than the window), ``long`` (left out), ``silent``, ``corrupt``
    (left out), ``resampled``, ``mixed`` (of several channels), ``unfit`` (a transcript with letters that the alphabet lacks),
    ``empty`` (an empty transcript).
    """

    rate: int
    samples: int | None
    counted: dict[str, dict[str, int]]

    def __post_init__(self) -> None:
        super().__post_init__()
        for part in (self.train, self.validation, self.transfer):
            if part is not None and part.rate != self.rate:
                raise ValueError(f"clips at {part.rate} samples a second in splits at {self.rate}")
