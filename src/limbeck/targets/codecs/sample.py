"""Classes drawn from the teacher's distribution, and how often each was. Shapes: N rows, C classes, D draws, W width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ... import randomness
from ...interfaces import Sampled
from .base import Column, Rows, in_chunks, to_float16, wide
from .ids import id_column, pack, unpack

MOST_DRAWS = 255  # a count is one byte
# Probabilities are held as whole numbers, the largest class's being 2 to this: sums of whole numbers are exact, so no batch
# changes a draw, and a device hardly ever (its exp may differ in the last bit). A class below half of the smallest such
# share of the largest is never drawn. With more than 65,536 classes it is less, so that a row's sum is at most 2 ** 54.
MOST_BITS, BITS_OF_ALL = 38, 54


@dataclass(frozen=True)
class SampleCodec:
    """W classes drawn from the teacher's probabilities at one temperature, and how D draws fall to them.

    Random sampling knowledge distillation (Anshumann et al. 2025, "Sparse Logit Sampling"): counts / D is an
    unbiased estimate of the whole distribution, so the gradient of the cross-entropy with it is that of KD, on average,
    from a handful of classes. What a student loses by it is noise, and it falls with that of the estimate; so bytes are
    not spent on what chance need not decide, or what follows from the others:

    * The K = W // 4 largest classes come first, each with a count of its own: its share of the D draws, rounded up
      or down at random so that it is right on average, and never off by one or more.
    * The other W - K are chosen from what is left, each class as often as its share of it, on average: at equal steps
      along the classes in order of id, from a random start (systematic sampling, Madow 1949), which is less noisy for
      each class than independent draws. They share the draws that are left, equally, and so need no counts. One that is
      due more than once stands more than once.
    * All draws are pure functions of (seed, id, view, position).

    With ``proposal``, draws are made at that temperature, and with each class log(p / r) is kept, the weight that makes
    the estimate one of p at ``temperature``: a proposal above it visits rare classes more often. (Below it, what p has
    and the proposal has not would be missing, and so it is refused.)

    Bytes of a row: W ids (:mod:`.ids`) and K, and 2 W more with a proposal. Where there are no more than W classes, all
    have counts of their own, and need no ids: C bytes.

    Args:
        draws: D, 1 to 255: what the counts add up to, and so how fine they are.
        temperature: T of the distribution that is estimated; an objective must use the same.
        proposal: T that the draws are made at, where it is another; above ``temperature``.
        width: W, at least 1.
        seed: of the draws.

    Raises:
        ValueError: draws, temperature, proposal or width out of range.
    """

    draws: int = MOST_DRAWS
    temperature: float = 1.0
    proposal: float | None = None
    width: int = 18
    seed: int = 0

    name: ClassVar[str] = "sample"
    kind: ClassVar[type] = Sampled

    def __post_init__(self) -> None:
        if not 1 <= self.draws <= MOST_DRAWS:
            raise ValueError(f"draws must be between 1 and {MOST_DRAWS}, not {self.draws}")
        for name, value in (("temperature", self.temperature), ("proposal", self.proposal)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, not {value}")
        if self.proposal is not None and self.proposal <= self.temperature:
            raise ValueError(f"proposal must be above the temperature, {self.temperature}, not {self.proposal}")
        if self.width < 1:
            raise ValueError(f"width must be at least 1, not {self.width}")

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "draws": self.draws,
            "temperature": self.temperature,
            "proposal": self.proposal,
            "width": self.width,
            "seed": self.seed,
        }

    def layout(self, classes: int) -> tuple[Column, ...]:
        width, counted = self._widths(classes)
        ids = () if counted == classes else (id_column(width, classes),)
        counts = (Column("counts", np.dtype(np.uint8), counted),) if counted else ()
        weights = () if self.proposal is None else (Column("log_weights", np.dtype(np.float16), width),)
        return *ids, *counts, *weights

    def encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        return in_chunks(self._encode, logits_NC, rows)

    def decode(self, columns: Mapping[str, Tensor], classes: int) -> Sampled:
        counted = self.counted(classes)
        if counted == classes:
            ids_NW = torch.arange(classes, device=columns["counts"].device).expand(columns["counts"].shape)
        else:
            ids_NW = unpack(columns["ids"], classes)
        counts_NW = self._shared(columns.get("counts"), ids_NW, counted)
        weights = columns["log_weights"].to(torch.float32).exp() if self.proposal is not None else None
        return Sampled(ids_NW.masked_fill(counts_NW == 0, -1), counts_NW, self.temperature, weights)

    def counted(self, classes: int) -> int:
        """K of so many classes; all of them where all have counts of their own."""
        return self._widths(classes)[1]

    def _widths(self, classes: int) -> tuple[int, int]:
        """How many classes a row has room for, and how many of them have counts of their own."""
        # Every count takes room from the others, whose noise is most of it; the largest few are worth theirs.
        return (classes, classes) if classes <= self.width else (self.width, self.width // 4)

    def _shared(self, counts_NK: Tensor | None, ids_NW: Tensor, counted: int) -> Tensor:
        """How many draws fall to each of W classes (N, W) float32; the last share equally what the first K leave."""
        if counts_NK is None:
            counts_NK = ids_NW[:, :0]
        counts_NK, others = counts_NK.to(torch.float32), ids_NW.shape[1] - counted
        if not others:
            return counts_NK
        left_N1 = self.draws - counts_NK.sum(1, keepdim=True)
        return torch.cat([counts_NK, (left_N1 / others).expand(-1, others)], 1)

    def _encode(self, logits_NC: Tensor, rows: Rows) -> dict[str, Tensor]:
        classes = logits_NC.shape[1]
        width, counted = self._widths(classes)
        below_NC = wide(logits_NC)
        below_NC = below_NC - below_NC.amax(1, keepdim=True)
        start_N1, share_N1 = _uniform(self.seed, rows, 2).to(below_NC.device).split(1, dim=1)
        mass_NC = _masses(below_NC / (self.proposal or self.temperature), classes)
        if counted == classes:
            ids_NK, mass_NK = torch.arange(classes, device=mass_NC.device).expand(mass_NC.shape), mass_NC
        else:
            ids_NK, mass_NK = _largest(mass_NC, counted)
        others_NC = mass_NC.scatter(1, ids_NK, 0)
        ids_NW = torch.cat([ids_NK, _systematic(others_NC, start_N1, width - counted)], 1)
        counts_NK = _rounded(torch.cat([mass_NK, others_NC.sum(1, keepdim=True)], 1), self.draws, share_N1)[:, :-1]
        there_NW = self._shared(counts_NK, ids_NW, counted) > 0
        ids_NW = ids_NW.masked_fill(~there_NW, 0)
        columns = {} if counted == classes else {"ids": pack(ids_NW, classes)}
        if counted:
            columns["counts"] = counts_NK.to(torch.uint8)
        if self.proposal is not None:
            log_p_NC, log_r_NC = ((below_NC / t).log_softmax(1) for t in (self.temperature, self.proposal))
            log_weights_NW = log_p_NC.gather(1, ids_NW) - log_r_NC.gather(1, ids_NW)
            columns["log_weights"] = to_float16(log_weights_NW.masked_fill(~there_NW, 0.0))
        return columns


def _uniform(seed: int, rows: Rows, number: int) -> Tensor:
    """(N, number) float64 in [0, 1), multiples of 2 ** -53, by (seed, id, view, position, draw)."""
    row_N = randomness.bits(seed, rows.ids_N, rows.view, "targets.sample")
    row_N = randomness.bits(seed, row_N, rows.position_N.to(row_N.device), "targets.sample.position")
    draw_D = torch.arange(number, device=row_N.device)
    return (randomness.bits(seed, row_N[:, None], draw_D, "targets.sample.draw") >> 10).to(torch.float64) * 2.0**-53


def _masses(scaled_NC: Tensor, classes: int) -> Tensor:
    """softmax(scaled) as whole numbers (N, C) int64, up to a factor. The largest of a row of ``scaled`` is 0."""
    one = 2.0 ** min(MOST_BITS, BITS_OF_ALL - (classes - 1).bit_length())
    return (scaled_NC.exp() * one).round().to(torch.int64)


def _largest(mass_NC: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Ids and masses (N, K) of the largest, in that order; of equals the one of the lower id is the larger."""
    places = 2 ** (mass_NC.shape[1] - 1).bit_length()
    last_C = torch.arange(mass_NC.shape[1] - 1, -1, -1, device=mass_NC.device)
    ids_NK = (mass_NC * places + last_C).topk(number, dim=1).indices
    return ids_NK, mass_NC.gather(1, ids_NK)


def _systematic(mass_NC: Tensor, start_N1: Tensor, number: int) -> Tensor:
    """So many classes (N, number), ascending, each as often as its share of the mass, on average; any, where there is none."""
    below_NC = mass_NC.cumsum(1)
    whole_N1 = below_NC[:, -1:]
    nth = torch.arange(number, device=mass_NC.device)
    point = ((nth + start_N1) * whole_N1 / max(number, 1)).to(torch.int64).minimum(whole_N1 - 1)
    return torch.searchsorted(below_NC, point, right=True).clamp(max=mass_NC.shape[1] - 1)


def _rounded(mass_NM: Tensor, draws: int, share_N1: Tensor) -> Tensor:
    """Whole numbers (N, M) that sum to D, each the mass's share of D rounded up or down, right on average."""
    below_NM = mass_NM.cumsum(1)
    whole_N1 = below_NM[:, -1:].clamp(min=1)  # nothing at all is of what is no number
    due_NM = below_NM * draws  # at most 2 ** 62
    upper_NM = due_NM // whole_N1 + (due_NM % whole_N1 > share_N1 * whole_N1)
    return upper_NM.diff(dim=1, prepend=torch.zeros_like(whole_N1))
